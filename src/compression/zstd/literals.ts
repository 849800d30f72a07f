/**
 * The literals section of a Zstandard block: bytes that no match gives, Huffman-coded where that is
 * shorter.
 *
 * @see RFC 8878, sections 3.1.1.3.1 and 4.2
 */

import { BitWriter } from '../bit-writer.ts';
import { codeLengths } from '../huffman.ts';
import { buildTable, distribute, encodeDistribution, initialState, putSymbol } from './fse.ts';

const MAX_CODE_LENGTH = 11;
/** Of the table that codes the weights. */
const MAX_WEIGHT_LOG = 6;
/** More weights cannot be sent as they are. */
const MAX_PLAIN_WEIGHTS = 128;
/** From so many literals on there are four streams, which decode side by side. */
const FOUR_STREAMS = 256;

const RAW = 0;
const RLE = 1;
const COMPRESSED = 2;

export function encodeLiterals(literals: Uint8Array): Uint8Array {
  const raw = plain(RAW, literals.length, literals);
  if (literals.length === 0) return raw;
  const frequencies = new Uint32Array(256);
  for (const byte of literals) frequencies[byte] = (frequencies[byte] as number) + 1;
  if (frequencies[literals[0] as number] === literals.length) {
    return plain(RLE, literals.length, literals.subarray(0, 1));
  }
  const packed = huffman(literals, frequencies);
  return packed !== undefined && packed.length < raw.length ? packed : raw;
}

/** A section without a code: its type, the number of literals, and the bytes. */
function plain(type: number, size: number, bytes: Uint8Array): Uint8Array {
  const head =
    size < 32
      ? [type | (size << 3)]
      : size < 4096
        ? [type | 4 | ((size & 15) << 4), size >> 4]
        : [type | 12 | ((size & 15) << 4), (size >> 4) & 0xff, size >> 12];
  return concat([Uint8Array.from(head), bytes]);
}

function huffman(literals: Uint8Array, frequencies: Uint32Array): Uint8Array | undefined {
  const lengths = codeLengths(frequencies, MAX_CODE_LENGTH);
  const tree = encodeTree(lengths);
  if (tree === undefined) return undefined;
  const codes = assignCodes(lengths);
  const streams: Uint8Array[] = [];
  if (literals.length < FOUR_STREAMS) {
    streams.push(encodeStream(literals, lengths, codes));
  } else {
    const quarter = Math.ceil(literals.length / 4);
    const jump = new Uint8Array(6);
    streams.push(jump);
    for (let part = 0; part < 4; part += 1) {
      const end = Math.min((part + 1) * quarter, literals.length);
      const stream = encodeStream(literals.subarray(part * quarter, end), lengths, codes);
      streams.push(stream);
      if (part < 3) {
        jump[2 * part] = stream.length & 0xff;
        jump[2 * part + 1] = stream.length >> 8;
      }
    }
  }
  const body = concat([tree, ...streams]);
  const size = literals.length;
  // Both sizes in as few bits as the larger takes.
  const [format, bits] =
    size < FOUR_STREAMS ? [0, 10] : size < 1024 ? [1, 10] : size < 16384 ? [2, 14] : [3, 18];
  if (body.length >= 2 ** bits) return undefined;
  const head = new BitWriter(5);
  head.put(COMPRESSED | (format << 2), 4);
  head.put(size, bits);
  head.put(body.length, bits);
  return concat([head.finish(), body]);
}

/** Codes in the order of RFC 8878, 4.2.1: the longest first, from 0 on. */
function assignCodes(lengths: Uint8Array): Uint16Array {
  const next = new Uint16Array(MAX_CODE_LENGTH + 2);
  for (const length of lengths) next[length] = (next[length] as number) + 1;
  let first = 0;
  for (let length = MAX_CODE_LENGTH; length > 0; length -= 1) {
    const count = next[length] as number;
    next[length] = first;
    first = (first + count) >> 1;
  }
  const codes = new Uint16Array(lengths.length);
  for (let symbol = 0; symbol < lengths.length; symbol += 1) {
    const length = lengths[symbol] as number;
    if (length === 0) continue;
    codes[symbol] = next[length] as number;
    next[length] = (next[length] as number) + 1;
  }
  return codes;
}

/** Written from the last literal to the first, as it is read from its end. */
function encodeStream(literals: Uint8Array, lengths: Uint8Array, codes: Uint16Array): Uint8Array {
  const out = new BitWriter(literals.length + 8);
  for (let at = literals.length - 1; at >= 0; at -= 1) {
    const literal = literals[at] as number;
    out.put(codes[literal] as number, lengths[literal] as number);
  }
  out.put(1, 1);
  return out.finish();
}

/** The weights of all symbols but the last, whose weight follows from the others. */
function encodeTree(lengths: Uint8Array): Uint8Array | undefined {
  let last = lengths.length - 1;
  while (lengths[last] === 0) last -= 1;
  const longest = lengths.reduce((most, length) => Math.max(most, length), 0);
  const weights = lengths
    .subarray(0, last)
    .map((length) => (length === 0 ? 0 : longest + 1 - length));
  const packed = encodeWeights(weights);
  const plainSize = (weights.length + 1) >> 1;
  if (packed !== undefined && packed.length < 128) {
    if (weights.length > MAX_PLAIN_WEIGHTS || packed.length < plainSize) {
      return concat([Uint8Array.of(packed.length), packed]);
    }
  }
  if (weights.length > MAX_PLAIN_WEIGHTS) return undefined;
  const out = new Uint8Array(1 + plainSize);
  out[0] = 127 + weights.length;
  for (let at = 0; at < weights.length; at += 1) {
    const nibble = (weights[at] as number) << (at % 2 === 0 ? 4 : 0);
    out[1 + (at >> 1)] = (out[1 + (at >> 1)] as number) | nibble;
  }
  return out;
}

/** The weights with two states by turns; undefined when they are too few or all the same. */
function encodeWeights(weights: Uint8Array): Uint8Array | undefined {
  const frequencies = new Uint32Array(MAX_CODE_LENGTH + 1);
  for (const weight of weights) frequencies[weight] = (frequencies[weight] as number) + 1;
  if (weights.length < 3 || frequencies.includes(weights.length)) return undefined;
  const distribution = distribute(frequencies, MAX_WEIGHT_LOG);
  const table = buildTable(distribution);
  const out = new BitWriter(128);
  // The decoder starts with the first state at the first weight, so the last weight tells whose turn it is.
  const states = [0, 0];
  for (let at = weights.length - 1; at >= 0; at -= 1) {
    const weight = weights[at] as number;
    states[at % 2] =
      at >= weights.length - 2
        ? initialState(table, weight)
        : putSymbol(out, table, states[at % 2] as number, weight);
  }
  const mask = (1 << table.tableLog) - 1;
  out.put((states[1] as number) & mask, table.tableLog);
  out.put((states[0] as number) & mask, table.tableLog);
  out.put(1, 1);
  return concat([encodeDistribution(distribution), out.finish()]);
}

export function concat(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

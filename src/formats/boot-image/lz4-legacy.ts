/**
 * The legacy LZ4 stream that Linux compresses itself with (`lz4 -l`), decoder only.
 *
 * FORMAT
 * - u32le 0x184c2102
 * - blocks: u32le compressed size, one LZ4 block of at most 8 MiB when decoded
 *
 * @see lz4_Frame_format.md, "Legacy frame", and lz4_Block_format.md of LZ4
 */

import { FormatError } from '../../core/errors.ts';

const LZ4_LEGACY_MAGIC = 0x184c2102;
/** What one block may decode to. */
const LEGACY_BLOCK_SIZE = 8 << 20;

function refuse(why: string, offset: number): never {
  throw new FormatError('lz4', 'bad-value', `Cannot decode LZ4: ${why}`, { offset });
}

/** A length nibble of 15 goes on in bytes, each but the last 255. */
function readLength(source: Uint8Array, at: number, end: number): { length: number; at: number } {
  let length = 15;
  for (let next = at; next < end; next++) {
    const byte = source[next] ?? 0;
    length += byte;
    if (byte !== 255) return { length, at: next + 1 };
  }
  return refuse('a length does not end', at);
}

/**
 * Decodes one LZ4 block into `target` from `targetStart` on. Matches may not reach before that.
 *
 * @returns how many bytes were decoded.
 * @throws {FormatError} when the block reads or writes outside of its bounds.
 */
export function decodeLz4Block(
  source: Uint8Array,
  start: number,
  end: number,
  target: Uint8Array,
  targetStart: number,
  targetEnd: number,
): number {
  let at = start;
  let to = targetStart;
  while (at < end) {
    const token = source[at++] ?? 0;
    let literals = token >> 4;
    if (literals === 15) ({ length: literals, at } = readLength(source, at, end));
    if (literals > end - at) refuse('literals end behind the block', at);
    if (literals > targetEnd - to) refuse('the block decodes to more than was announced', at);
    target.set(source.subarray(at, at + literals), to);
    at += literals;
    to += literals;
    // The last sequence of a block has literals only.
    if (at === end) return to - targetStart;
    if (end - at < 2) refuse('a match has no offset', at);
    const distance = (source[at] ?? 0) | ((source[at + 1] ?? 0) << 8);
    at += 2;
    if (distance === 0 || distance > to - targetStart) {
      refuse(`a match begins ${distance} bytes back, ${to - targetStart} are there`, at - 2);
    }
    let match = token & 15;
    if (match === 15) ({ length: match, at } = readLength(source, at, end));
    match += 4;
    if (match > targetEnd - to) refuse('the block decodes to more than was announced', at);
    if (distance >= match) {
      target.copyWithin(to, to - distance, to - distance + match);
      to += match;
    } else {
      // The match overlaps its own output: what was just written is read again.
      for (const stop = to + match; to < stop; to++) target[to] = target[to - distance] ?? 0;
    }
  }
  return refuse('the block ends behind a match', end);
}

/**
 * Decodes a whole legacy stream.
 *
 * @param size What it must decode to, in bytes: allocated once, never exceeded.
 * @throws {FormatError} when it is not such a stream, or decodes to another size.
 */
export function decodeLz4Legacy(source: Uint8Array, size: number): Uint8Array {
  checkMagic(source);
  // Each byte of a block yields at most 255, so that a short stream cannot ask for much memory.
  if (size > source.length * 255) refuse(`${source.length} bytes cannot decode to ${size}`, 0);
  const target = new Uint8Array(size);
  let to = 0;
  for (const { at, end } of blocksOf(source)) {
    const limit = Math.min(size, to + LEGACY_BLOCK_SIZE);
    to += decodeLz4Block(source, at, end, target, to, limit);
  }
  if (to !== size) refuse(`the stream decodes to ${to} bytes, expected ${size}`, source.length);
  return target;
}

/**
 * Decodes a stream that does not say what it decodes to. The kernel's build may put that number, 4
 * bytes, behind it.
 *
 * @param maxSize A stream that yields more bytes is refused.
 * @throws {FormatError} when it is not such a stream, or yields too much.
 */
export function decodeLz4LegacyUpTo(source: Uint8Array, maxSize: number): Uint8Array {
  checkMagic(source);
  const parts: Uint8Array[] = [];
  let size = 0;
  for (const { at, end } of blocksOf(source, () => size)) {
    // A block yields no more than 255 bytes for each of its own.
    const part = new Uint8Array(Math.min(LEGACY_BLOCK_SIZE, (end - at) * 255));
    const length = decodeLz4Block(source, at, end, part, 0, part.length);
    parts.push(part.subarray(0, length));
    size += length;
    if (size > maxSize) refuse(`the stream decodes to more than ${maxSize} bytes`, at);
  }
  return new Uint8Array(Buffer.concat(parts, size));
}

function checkMagic(source: Uint8Array): void {
  const view = new DataView(source.buffer, source.byteOffset, source.length);
  if (source.length < 4 || view.getUint32(0, true) !== LZ4_LEGACY_MAGIC) {
    refuse('the magic of a legacy stream is missing', 0);
  }
}

/** @param decoded How many bytes there are so far, where the stream may end with that number. */
function* blocksOf(
  source: Uint8Array,
  decoded?: () => number,
): Generator<{ readonly at: number; readonly end: number }> {
  const view = new DataView(source.buffer, source.byteOffset, source.length);
  for (let at = 4; at < source.length;) {
    if (source.length - at < 4) refuse('a block has no size', at);
    const blockSize = view.getUint32(at, true);
    if (decoded !== undefined && source.length - at === 4 && blockSize === decoded()) return;
    at += 4;
    if (blockSize > source.length - at) {
      refuse(`a block of ${blockSize} bytes ends behind the stream`, at - 4);
    }
    yield { at, end: at + blockSize };
    at += blockSize;
  }
}

/** String pools: every name and text of a binary XML file, referred to by index. */

import { alignUp } from '../../core/math.ts';
import {
  axmlError,
  NO_STRING,
  RES_STRING_POOL_TYPE,
  ResChunkHeader,
  ResStringPoolHeader,
  STRING_POOL_UTF8,
} from './layout.ts';

const HEADER_SIZE = ResChunkHeader.size + ResStringPoolHeader.size;

/** The top bit of a length marks one that takes two units. */
const MAX_SHORT_LENGTH = 0x7fff;

/**
 * Encodes strings as a UTF-16 pool, the form that every Android release reads in a manifest.
 *
 * @throws {RangeError} for a string of more than 32767 UTF-16 units.
 */
export function encodeStringPool(strings: readonly string[]): Uint8Array {
  const stringsStart = HEADER_SIZE + 4 * strings.length;
  const dataSize = strings.reduce((sum, text) => sum + 2 * text.length + 4, 0);
  const size = alignUp(stringsStart + dataSize, 4);
  const out = new Uint8Array(size);
  const view = new DataView(out.buffer);
  ResChunkHeader.encodeInto(view, 0, {
    type: RES_STRING_POOL_TYPE,
    headerSize: HEADER_SIZE,
    size,
  });
  ResStringPoolHeader.encodeInto(view, ResChunkHeader.size, {
    stringCount: strings.length,
    styleCount: 0,
    flags: 0,
    stringsStart,
    stylesStart: 0,
  });
  let at = stringsStart;
  for (const [index, text] of strings.entries()) {
    if (text.length > MAX_SHORT_LENGTH) {
      throw new RangeError(`Cannot encode a string of ${text.length} UTF-16 units in binary XML`);
    }
    view.setUint32(HEADER_SIZE + 4 * index, at - stringsStart, true);
    view.setUint16(at, text.length, true);
    for (let unit = 0; unit < text.length; unit++) {
      view.setUint16(at + 2 + 2 * unit, text.charCodeAt(unit), true);
    }
    at += 2 * text.length + 4;
  }
  return out;
}

/** Looks strings up by index. */
export interface StringPool {
  readonly count: number;
  /** @throws {FormatError} when there is no such string, or it is not inside the pool. */
  get(index: number): string;
  /** As `get`; undefined for `NO_STRING`. */
  find(index: number): string | undefined;
}

/** A length in one or two units, each of one (UTF-8) or two bytes (UTF-16). */
function readLength(
  view: DataView,
  at: number,
  unitSize: 1 | 2,
): { readonly length: number; readonly next: number } {
  const unit = (offset: number): number => {
    if (offset + unitSize > view.byteLength) throw axmlError('truncated', 'a string is cut off');
    return unitSize === 1 ? view.getUint8(offset) : view.getUint16(offset, true);
  };
  const bits = unitSize * 8;
  const first = unit(at);
  const mark = 1 << (bits - 1);
  if ((first & mark) === 0) return { length: first, next: at + unitSize };
  const length = (first & (mark - 1)) * 2 ** bits + unit(at + unitSize);
  return { length, next: at + 2 * unitSize };
}

/**
 * Decodes a pool; strings are decoded when they are asked for.
 *
 * @param chunk The whole chunk with its header.
 * @param budget How many bytes of strings may be decoded in all: strings may overlap, so a small
 *   pool could otherwise stand for any amount of text.
 * @throws {FormatError} when the tables are not inside the chunk.
 */
export function decodeStringPool(chunk: Uint8Array, budget: number): StringPool {
  const { headerSize } = ResChunkHeader.decode(chunk);
  const { stringCount, flags, stringsStart } = ResStringPoolHeader.decode(
    chunk,
    ResChunkHeader.size,
  );
  if (headerSize < HEADER_SIZE || headerSize + 4 * stringCount > chunk.length) {
    throw axmlError(
      'out-of-range',
      `a string pool of ${stringCount} strings does not fit its chunk`,
    );
  }
  if (stringCount > 0 && stringsStart > chunk.length) {
    throw axmlError('out-of-range', 'the strings start beyond their chunk');
  }
  const view = new DataView(chunk.buffer, chunk.byteOffset, chunk.length);
  const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  const utf16 = new TextDecoder('utf-16le', { fatal: true, ignoreBOM: true });
  const known = new Map<number, string>();
  let spent = 0;

  const decode = (index: number): string => {
    const offset = stringsStart + view.getUint32(headerSize + 4 * index, true);
    let length: { readonly length: number; readonly next: number };
    let size: number;
    if (flags & STRING_POOL_UTF8) {
      // The length in UTF-16 units, which we do not need, then the length in bytes.
      length = readLength(view, readLength(view, offset, 1).next, 1);
      size = length.length;
    } else {
      length = readLength(view, offset, 2);
      size = 2 * length.length;
    }
    if (length.next + size > chunk.length) {
      throw axmlError('out-of-range', `string ${index} reaches beyond its pool`);
    }
    spent += size;
    if (spent > budget) throw axmlError('too-large', `its strings pass ${budget} bytes`);
    const bytes = chunk.subarray(length.next, length.next + size);
    try {
      return (flags & STRING_POOL_UTF8 ? utf8 : utf16).decode(bytes);
    } catch (cause) {
      throw axmlError('bad-value', `string ${index} is not valid Unicode`, { cause });
    }
  };

  const get = (index: number): string => {
    if (index >= stringCount) {
      throw axmlError('out-of-range', `string ${index} of ${stringCount} is referred to`);
    }
    const text = known.get(index) ?? decode(index);
    known.set(index, text);
    return text;
  };
  return {
    count: stringCount,
    get,
    find: (index) => (index === NO_STRING ? undefined : get(index)),
  };
}

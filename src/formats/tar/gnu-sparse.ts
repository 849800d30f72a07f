/**
 * Sparse files as GNU tar writes them: by default (type `S`) the header lists what is stored, blocks behind it
 * list the rest, and the data of all of it follows. In extended headers (version 1.0) the list is the front of the
 * data.
 *
 * @see GNU tar manual, "Storing Sparse Files", `struct oldgnu_header`, `struct sparse_header`
 */

import { FormatError } from '../../core/errors.ts';
import type { Piece } from '../../io/archive-entry.ts';
import { bytes, struct } from '../struct.ts';
import { headerChecksum, posixHeader, TAR_BLOCK } from './layout.ts';
import { decodeNumber } from './values.ts';

/** `struct sparse`: offset and size of one stored part. */
const PART_SIZE = 24;

/** `struct oldgnu_header`, from its 345th byte on. */
const oldGnuHeader = struct('oldgnu_header', TAR_BLOCK, {
  before: bytes(345),
  atime: bytes(12),
  ctime: bytes(12),
  offset: bytes(12),
  longnames: bytes(4),
  unused_pad2: bytes(1),
  sp: bytes(4 * PART_SIZE),
  isextended: bytes(1),
  realsize: bytes(12),
  pad: bytes(17),
});

/** `struct sparse_header`. */
const sparseHeader = struct('sparse_header', TAR_BLOCK, {
  sp: bytes(21 * PART_SIZE),
  isextended: bytes(1),
  pad: bytes(7),
});

/** More parts than any file of a system has; each takes memory. */
const MAX_PARTS = 1 << 16;

/** Reads the map of one sparse file, block by block. */
export interface SparseMap {
  /** Whether no more blocks of it follow. */
  isWhole(): boolean;
  /** Takes the next block. */
  extend(block: Uint8Array): void;
  /**
   * Where the parts stand.
   *
   * @param offset Of the data in the archive. @param stored How much of it there is.
   */
  place(
    offset: number,
    stored: number,
  ): { readonly size: number; readonly pieces: readonly Piece[] };
}

interface SparseFile {
  readonly archive: string;
  /** Its name, for errors. */
  readonly entry: string;
  /** With its holes, in bytes. */
  readonly size: number;
}

interface Parts extends Pick<SparseMap, 'place'> {
  add(at: number | undefined, size: number | undefined): void;
  refuse(why: string): never;
}

function partList({ archive, entry, size: total }: SparseFile): Parts {
  const parts: { at: number; size: number }[] = [];
  const refuse = (why: string): never => {
    throw new FormatError(
      'tar',
      'bad-value',
      `Cannot read ${archive}: sparse entry ${entry} ${why}`,
    );
  };
  return {
    refuse,
    add(at, size) {
      if (at === undefined || size === undefined) return refuse('has a broken map');
      const last = parts.at(-1);
      if (at < (last === undefined ? 0 : last.at + last.size)) {
        refuse('has a map that is not in order');
      }
      if (at + size > total) refuse('has a map beyond its end');
      if (parts.length === MAX_PARTS) refuse(`has more than ${MAX_PARTS} parts`);
      parts.push({ at, size });
    },
    place(offset, stored) {
      let sum = 0;
      const pieces = parts.map(({ at, size }) => {
        const piece = { at, offset: offset + sum, size };
        sum += size;
        return piece;
      });
      if (sum !== stored) refuse('does not have as much data as its map says');
      return { size: total, pieces: pieces.filter(({ size }) => size > 0) };
    },
  };
}

/** The map of an entry of type `S`, which begins in its header. */
export function oldGnuMap(header: Uint8Array, file: Omit<SparseFile, 'size'>): SparseMap {
  const { sp, isextended, realsize } = oldGnuHeader.decode(header);
  const size = decodeNumber(realsize);
  const parts = partList({ ...file, size: size ?? 0 });
  if (size === undefined) parts.refuse('has no valid size');
  let isWhole = false;
  let hasEnded = false;
  const read = (list: Uint8Array, isExtended: Uint8Array): void => {
    isWhole = isExtended[0] === 0;
    for (let from = 0; from < list.length; from += PART_SIZE) {
      const part = list.subarray(from, from + PART_SIZE);
      // A list ends with the first part that is not filled in.
      if (part.every((byte) => byte === 0)) {
        hasEnded = true;
        continue;
      }
      if (hasEnded) parts.refuse('has a map that is not in order');
      parts.add(decodeNumber(part.subarray(0, 12)), decodeNumber(part.subarray(12)));
    }
  };
  read(sp, isextended);
  return {
    isWhole: () => isWhole,
    extend(block) {
      const more = sparseHeader.decode(block);
      read(more.sp, more.isextended);
    },
    place: parts.place,
  };
}

/** The map of version 1.0 in the extended format, which stands before the data: decimal lines, and zeros to a block. */
export function paxMap(file: SparseFile): SparseMap {
  const parts = partList(file);
  const numbers: number[] = [];
  let rest = '';
  const isWhole = (): boolean => numbers.length > 0 && numbers.length === 1 + 2 * (numbers[0] ?? 0);
  return {
    isWhole,
    extend(block) {
      const text = rest + Buffer.from(block).toString('latin1');
      let from = 0;
      while (!isWhole()) {
        const end = text.indexOf('\n', from);
        if (end === -1) break;
        const line = text.slice(from, end);
        if (!/^(?:0|[1-9]\d{0,14})$/.test(line)) parts.refuse('has a broken map');
        numbers.push(Number(line));
        if ((numbers[0] ?? 0) > MAX_PARTS) parts.refuse(`has more than ${MAX_PARTS} parts`);
        if (numbers.length > 1 && numbers.length % 2 === 1)
          parts.add(numbers.at(-2), numbers.at(-1));
        from = end + 1;
      }
      rest = text.slice(from);
      if (isWhole() ? /[^\0]/.test(rest) : rest.length > MAX_LINE) parts.refuse('has a broken map');
    },
    place: parts.place,
  };
}

/** Longest number, and its end. */
const MAX_LINE = 16;

/** The header of the plain file that is left when the map is taken away, of `size` bytes. */
export function asPlainHeader(header: Uint8Array, size: number): Uint8Array {
  const plain = {
    ...posixHeader.decode(header),
    typeflag: Buffer.from('0'),
    size: Buffer.from(`${size.toString(8).padStart(11, '0')}\0`),
  };
  const sum = headerChecksum(posixHeader.encode(plain));
  return posixHeader.encode({
    ...plain,
    chksum: Buffer.from(`${sum.toString(8).padStart(6, '0')}\0 `),
  });
}

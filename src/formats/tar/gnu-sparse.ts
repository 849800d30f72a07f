/**
 * Sparse files as GNU tar writes them by default (type `S`): the header lists what is stored, blocks behind
 * it list the rest, and the data of all of it follows.
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
export class SparseMap {
  readonly #archive: string;
  readonly #entry: string;
  readonly #size: number;
  readonly #parts: { at: number; size: number }[] = [];
  #isWhole = false;
  #hasEnded = false;

  /** @param header Of the entry. @param entry Its name, for errors. */
  constructor(header: Uint8Array, archive: string, entry: string) {
    this.#archive = archive;
    this.#entry = entry;
    const { sp, isextended, realsize } = oldGnuHeader.decode(header);
    this.#size = decodeNumber(realsize) ?? this.#refuse('has no valid size');
    this.#read(sp, isextended);
  }

  /** Whether no more blocks of it follow. */
  get isWhole(): boolean {
    return this.#isWhole;
  }

  /** Takes the next block. */
  extend(block: Uint8Array): void {
    const { sp, isextended } = sparseHeader.decode(block);
    this.#read(sp, isextended);
  }

  /**
   * Where the parts stand.
   *
   * @param offset Of the data in the archive. @param stored How much of it there is.
   */
  place(
    offset: number,
    stored: number,
  ): { readonly size: number; readonly pieces: readonly Piece[] } {
    let sum = 0;
    const pieces = this.#parts.map(({ at, size }) => {
      const piece = { at, offset: offset + sum, size };
      sum += size;
      return piece;
    });
    if (sum !== stored) this.#refuse('does not have as much data as its map says');
    return { size: this.#size, pieces: pieces.filter(({ size }) => size > 0) };
  }

  #refuse(why: string): never {
    throw new FormatError(
      'tar',
      'bad-value',
      `Cannot read ${this.#archive}: sparse entry ${this.#entry} ${why}`,
    );
  }

  #read(parts: Uint8Array, isExtended: Uint8Array): void {
    this.#isWhole = isExtended[0] === 0;
    for (let from = 0; from < parts.length; from += PART_SIZE) {
      const part = parts.subarray(from, from + PART_SIZE);
      // A list ends with the first part that is not filled in.
      if (part.every((byte) => byte === 0)) {
        this.#hasEnded = true;
        continue;
      }
      const at = decodeNumber(part.subarray(0, 12)) ?? this.#refuse('has a broken map');
      const size = decodeNumber(part.subarray(12)) ?? this.#refuse('has a broken map');
      const last = this.#parts.at(-1);
      if (this.#hasEnded || at < (last === undefined ? 0 : last.at + last.size)) {
        this.#refuse('has a map that is not in order');
      }
      if (at + size > this.#size) this.#refuse('has a map beyond its end');
      if (this.#parts.length === MAX_PARTS) this.#refuse(`has more than ${MAX_PARTS} parts`);
      this.#parts.push({ at, size });
    }
  }
}

/** The header of the plain file that is left when the map is taken away. */
export function asPlainHeader(header: Uint8Array): Uint8Array {
  const plain = { ...posixHeader.decode(header), typeflag: Buffer.from('0') };
  const sum = headerChecksum(posixHeader.encode(plain));
  return posixHeader.encode({
    ...plain,
    chksum: Buffer.from(`${sum.toString(8).padStart(6, '0')}\0 `),
  });
}

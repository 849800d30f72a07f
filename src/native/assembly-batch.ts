/** Pieces of an image as the native library takes them: `native/src/assemble/batch.rs` has the form. */

import type { ImagePiece } from '../io/image-pieces.ts';

/** Large enough to make the calls cheap, small enough that the library can begin soon. */
const BLOB_SIZE = 1 << 20;
const RECORD_WORDS = 1 << 15;
const BYTES_WORDS = 5;
const FILE_WORDS = 7;
const SLICE_WORDS = FILE_WORDS + 2;
const COPY_WORDS = 7;
const EXTENT_WORDS = 7;

const RECORD = { bytes: 0, sharedBytes: 1, file: 2, slice: 3, copy: 4 } as const;

function putLong(words: Uint32Array, at: number, value: number): void {
  words[at] = value >>> 0;
  words[at + 1] = value / 2 ** 32;
}

export interface Batch {
  /**
   * @param number Of the file, for errors.
   * @returns false when there is no room: send the batch, and put the piece into the next one.
   */
  put(piece: ImagePiece, number: number): boolean;
  contents(): { readonly blob: Uint8Array; readonly words: Uint32Array };
  clear(): void;
}

export function createBatch(): Batch {
  let blob = Buffer.allocUnsafeSlow(BLOB_SIZE);
  let words = new Uint32Array(RECORD_WORDS);
  let used = 0;
  let count = 0;
  /** Whether there is room; an empty batch makes some. */
  const hasRoom = (bytes: number, records: number): boolean => {
    if (used + bytes <= blob.length && count + records <= words.length) return true;
    if (count > 0) return false;
    if (bytes > blob.length) blob = Buffer.allocUnsafeSlow(bytes);
    if (records > words.length) words = new Uint32Array(records);
    return true;
  };

  const putBytes = (shared: boolean, to: number, bytes: Uint8Array): boolean => {
    if (!hasRoom(bytes.length, BYTES_WORDS)) return false;
    words[count] = shared ? RECORD.sharedBytes : RECORD.bytes;
    putLong(words, count + 1, to);
    words[count + 3] = used;
    words[count + 4] = bytes.length;
    count += BYTES_WORDS;
    blob.set(bytes, used);
    used += bytes.length;
    return true;
  };
  const putFile = (
    { content, extents }: Extract<ImagePiece, { kind: 'content' }>,
    number: number,
  ): boolean => {
    const { slice } = content;
    const path = slice?.path ?? content.file?.path ?? '';
    const room = SLICE_WORDS + (extents.length + 1) * EXTENT_WORDS;
    if (!hasRoom(path.length * 3, room)) return false;
    const length = blob.write(path, used);
    const last = extents.at(-1);
    const endsThere = last !== undefined && last.from + last.size === content.size;
    words[count] = slice === undefined ? RECORD.file : RECORD.slice;
    words[count + 1] = number;
    words[count + 2] = used;
    words[count + 3] = length;
    putLong(words, count + 4, content.size);
    words[count + 6] = extents.length + (endsThere ? 0 : 1);
    count += FILE_WORDS;
    if (slice !== undefined) {
      putLong(words, count, slice.offset);
      count += SLICE_WORDS - FILE_WORDS;
    }
    used += length;
    for (const { from, to, size, shared } of extents) {
      words[count] = shared ? 1 : 0;
      putLong(words, count + 1, from);
      putLong(words, count + 3, to);
      putLong(words, count + 5, size);
      count += EXTENT_WORDS;
    }
    if (!endsThere) {
      // Reading the end checks the size; without that it is asked for, by an extent of nothing.
      words.fill(0, count, count + EXTENT_WORDS);
      count += EXTENT_WORDS;
    }
    return true;
  };

  const putCopy = (from: number, to: number, size: number): boolean => {
    if (!hasRoom(0, COPY_WORDS)) return false;
    words[count] = RECORD.copy;
    putLong(words, count + 1, from);
    putLong(words, count + 3, to);
    putLong(words, count + 5, size);
    count += COPY_WORDS;
    return true;
  };

  return {
    put(piece, number) {
      switch (piece.kind) {
        case 'bytes':
          return putBytes(piece.shared, piece.to, piece.bytes);
        case 'copy':
          return putCopy(piece.from, piece.to, piece.size);
        case 'content':
          return putFile(piece, number);
      }
    },
    contents: () => ({ blob: blob.subarray(0, used), words: words.subarray(0, count) }),
    clear() {
      used = 0;
      count = 0;
    },
  };
}

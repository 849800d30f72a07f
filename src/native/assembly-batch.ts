/** Pieces of an image as the native library takes them: `native/src/assemble/batch.rs` has the form. */

import type { ImagePiece } from '../io/image-pieces.ts';

/** Large enough to make the calls cheap, small enough that the library can begin soon. */
const BLOB_SIZE = 1 << 20;
const RECORD_WORDS = 1 << 15;
const EXTENT_WORDS = 7;

const RECORD = { bytes: 0, sharedBytes: 1, file: 2 } as const;

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
  const word = (value: number): void => {
    words[count] = value;
    count += 1;
  };
  const long = (value: number): void => {
    word(value >>> 0);
    word(Math.floor(value / 2 ** 32));
  };
  /** Whether there is room; an empty batch makes some. */
  const hasRoom = (bytes: number, records: number): boolean => {
    if (used + bytes <= blob.length && count + records <= words.length) return true;
    if (count > 0) return false;
    if (bytes > blob.length) blob = Buffer.allocUnsafeSlow(bytes);
    if (records > words.length) words = new Uint32Array(records);
    return true;
  };

  const putBytes = (shared: boolean, to: number, bytes: Uint8Array): boolean => {
    if (!hasRoom(bytes.length, 5)) return false;
    word(shared ? RECORD.sharedBytes : RECORD.bytes);
    long(to);
    word(used);
    word(bytes.length);
    blob.set(bytes, used);
    used += bytes.length;
    return true;
  };
  const putFile = (
    { content, extents }: Extract<ImagePiece, { kind: 'content' }>,
    number: number,
  ): boolean => {
    const path = content.file?.path ?? '';
    if (!hasRoom(path.length * 3, 7 + (extents.length + 1) * EXTENT_WORDS)) return false;
    const length = blob.write(path, used);
    const last = extents.at(-1);
    const endsThere = last !== undefined && last.from + last.size === content.size;
    word(RECORD.file);
    word(number);
    word(used);
    word(length);
    used += length;
    long(content.size);
    word(extents.length + (endsThere ? 0 : 1));
    for (const { from, to, size, shared } of extents) {
      word(shared ? 1 : 0);
      long(from);
      long(to);
      long(size);
    }
    // Reading the end checks the size; without that it is asked for.
    if (!endsThere) for (let i = 0; i < EXTENT_WORDS; i += 1) word(0);
    return true;
  };

  return {
    put: (piece, number) =>
      piece.kind === 'bytes'
        ? putBytes(piece.shared, piece.to, piece.bytes)
        : putFile(piece, number),
    contents: () => ({ blob: blob.subarray(0, used), words: words.subarray(0, count) }),
    clear() {
      used = 0;
      count = 0;
    },
  };
}

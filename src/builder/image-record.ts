/**
 * What is known of the image of a partition: where it has which content. With it, and the image itself,
 * the next image takes what both have, instead of reading, compressing and hashing it.
 *
 *   magic, version      8 bytes
 *   parameters          32 bytes: SHA-256 of what decides about bytes besides the tree
 *   place               8-byte floats: offset and size of the image, offset and size of its hash tree
 *   counts              two words: files, and words of all clusters
 *   files               80 bytes each
 *   clusters            words, those of one file after the other
 */

import { FormatError } from '../core/errors.ts';
import type { StoredFile } from '../formats/erofs/reuse.ts';

export interface ImageRecord {
  /** SHA-256, in hexadecimal, of what decides about the bytes of the image besides its tree. */
  readonly parameters: string;
  /** Where in its file the image starts, in bytes. */
  readonly offset: number;
  /** Of the file system, in bytes. */
  readonly size: number;
  /** Of the hash tree, from the start of the image. */
  readonly treeOffset: number;
  readonly treeSize: number;
  /** By the digest of their content, a character for each of its bytes. */
  readonly files: ReadonlyMap<string, StoredFile>;
}

const MAGIC = 0x5249_424d; // MBIR
const VERSION = 1;
const DIGEST_SIZE = 32;
const PLACE = 8 + DIGEST_SIZE;
const COUNTS = PLACE + 4 * 8;
const HEADER_SIZE = COUNTS + 8;
/** Digest, then four 8-byte floats, then four words. */
const FILE_SIZE = DIGEST_SIZE + 4 * 8 + 4 * 4;
/** Numbers of an extent. */
const EXTENT_WORDS = 2;

export function encodeImageRecord(record: ImageRecord): Uint8Array {
  const { files } = record;
  let words = 0;
  for (const { clusters } of files.values()) words += clusters?.extents.length ?? 0;
  const bytes = Buffer.alloc(HEADER_SIZE + files.size * FILE_SIZE + words * 4);
  bytes.writeUInt32LE(MAGIC, 0);
  bytes.writeUInt32LE(VERSION, 4);
  bytes.write(record.parameters, 8, 'hex');
  const putFloats = (at: number, ...values: number[]): void => {
    for (const [index, value] of values.entries()) bytes.writeDoubleLE(value, at + index * 8);
  };
  putFloats(PLACE, record.offset, record.size, record.treeOffset, record.treeSize);
  bytes.writeUInt32LE(files.size, COUNTS);
  bytes.writeUInt32LE(words, COUNTS + 4);
  let at = HEADER_SIZE;
  let next = HEADER_SIZE + files.size * FILE_SIZE;
  for (const [key, { size, bodyOffset, bodySize, tailOffset, clusters, ...stored }] of files) {
    bytes.write(key, at, 'latin1');
    putFloats(at + DIGEST_SIZE, size, bodyOffset, bodySize, tailOffset);
    const numbers = at + DIGEST_SIZE + 4 * 8;
    bytes.writeUInt32LE(stored.recordSize, numbers);
    if (clusters !== undefined) {
      // A compressed file has extents, so that none says that it is not.
      bytes.writeUInt32LE(clusters.extents.length, numbers + 4);
      bytes.writeUInt32LE(clusters.tailSize, numbers + 8);
      for (const word of clusters.extents) {
        bytes.writeUInt32LE(word, next);
        next += 4;
      }
    }
    at += FILE_SIZE;
  }
  return bytes;
}

/** @throws {FormatError} on bytes that are no record of this version, or point out of the image. */
export function decodeImageRecord(encoded: Uint8Array): ImageRecord {
  const bytes = Buffer.from(encoded.buffer, encoded.byteOffset, encoded.length);
  const refuse = (problem: string, offset: number): never => {
    throw new FormatError('image-record', 'bad-value', `Cannot use an image's record: ${problem}`, {
      offset,
    });
  };
  if (bytes.length < HEADER_SIZE) refuse('it is cut off', bytes.length);
  if (bytes.readUInt32LE(0) !== MAGIC || bytes.readUInt32LE(4) !== VERSION) {
    refuse('it is none of this version', 0);
  }
  const sizeAt = (at: number, limit: number): number => {
    const value = bytes.readDoubleLE(at);
    if (!Number.isSafeInteger(value) || value < 0 || value > limit) refuse('a bad size', at);
    return value;
  };
  const [offset, size, treeOffset, treeSize] = [0, 8, 16, 24].map((at) =>
    sizeAt(PLACE + at, Number.MAX_SAFE_INTEGER / 4),
  ) as [number, number, number, number];
  const [count, words] = [bytes.readUInt32LE(COUNTS), bytes.readUInt32LE(COUNTS + 4)];
  if (bytes.length !== HEADER_SIZE + count * FILE_SIZE + words * 4) {
    refuse('its size is not that of its files', COUNTS);
  }
  const files = new Map<string, StoredFile>();
  let at = HEADER_SIZE;
  let next = HEADER_SIZE + count * FILE_SIZE;
  for (let index = 0; index < count; index += 1, at += FILE_SIZE) {
    const key = bytes.toString('latin1', at, at + DIGEST_SIZE);
    const floats = at + DIGEST_SIZE;
    const numbers = floats + 4 * 8;
    const extents = bytes.readUInt32LE(numbers + 4);
    const tailSize = bytes.readUInt32LE(numbers + 8);
    const isEven = extents % EXTENT_WORDS === 0;
    if (!isEven || next + extents * 4 > bytes.length) refuse('bad clusters', numbers);
    const stored = {
      size: sizeAt(floats, Number.MAX_SAFE_INTEGER),
      bodyOffset: sizeAt(floats + 8, size),
      bodySize: sizeAt(floats + 16, size),
      tailOffset: sizeAt(floats + 24, size),
      recordSize: bytes.readUInt32LE(numbers),
    };
    const behindIndex = extents > 0 ? tailSize : Math.max(stored.size - stored.bodySize, 0);
    if (stored.bodyOffset + stored.bodySize > size || stored.tailOffset + behindIndex > size) {
      refuse('a file outside of the image', floats);
    }
    const clusters = extents > 0 && {
      tailSize,
      extents: Uint32Array.from({ length: extents }, (_, word) =>
        bytes.readUInt32LE(next + word * 4),
      ),
    };
    next += extents * 4;
    files.set(key, { ...stored, ...(clusters && { clusters }) });
  }
  if (next !== bytes.length) refuse('clusters of no file', next);
  const parameters = bytes.toString('hex', 8, PLACE);
  return { parameters, offset, size, treeOffset, treeSize, files };
}

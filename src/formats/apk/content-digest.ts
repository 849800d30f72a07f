/**
 * The digests of an APK's content that v2 and v3 sign: chunked SHA-256 and SHA-512.
 *
 * Entries, central directory and EOCD are cut into chunks of 1 MiB, each section for itself.
 * Chunk: H(0xa5, u32 length, chunk); content: H(0x5a, u32 count, digests of the chunks).
 *
 * @see https://source.android.com/docs/security/features/apksigning/v2#integrity-protected-contents
 */

import { createHash, type Hash } from 'node:crypto';
import { divCeil } from '../../core/math.ts';
import { EOCD_CENTRAL_DIRECTORY_OFFSET_AT } from '../zip/layout.ts';
import { concat } from './length-prefixed.ts';

export type ContentHash = 'sha256' | 'sha512';

const CHUNK_SIZE = 1 << 20;
const DIGEST_SIZE = { sha256: 32, sha512: 64 } as const;

function prefix(tag: number, count: number): Uint8Array {
  const out = new Uint8Array(5);
  out[0] = tag;
  new DataView(out.buffer).setUint32(1, count, true);
  return out;
}

/** Hashes sections while they pass by. */
export interface ContentHasher {
  /** Starts a section of `size` bytes; the one before must be complete. */
  startSection(size: number): void;
  /** The next bytes of the section, in pieces of any size. */
  update(piece: Uint8Array): void;
  /**
   * Takes a whole section of `size` bytes that somebody else hashes.
   *
   * @returns where the digests of its chunks go, before `finish`.
   */
  chunkDigests(size: number): Uint8Array;
  /** The content digest. */
  finish(): Uint8Array;
}

export function createContentHasher(algorithm: ContentHash): ContentHasher {
  const digests: Uint8Array[] = [];
  let count = 0;
  let hash: Hash | undefined;
  let sectionLeft = 0;
  let chunkLeft = 0;

  const checkComplete = (): void => {
    if (sectionLeft > 0) throw new RangeError(`A section is ${sectionLeft} bytes short`);
  };
  return {
    startSection(size) {
      checkComplete();
      sectionLeft = size;
    },
    update(piece) {
      if (piece.length > sectionLeft) throw new RangeError('A section is longer than announced');
      for (let at = 0; at < piece.length;) {
        if (hash === undefined) {
          chunkLeft = Math.min(CHUNK_SIZE, sectionLeft);
          hash = createHash(algorithm).update(prefix(0xa5, chunkLeft));
        }
        const part = piece.subarray(at, at + chunkLeft);
        hash.update(part);
        at += part.length;
        chunkLeft -= part.length;
        sectionLeft -= part.length;
        if (chunkLeft === 0) {
          digests.push(hash.digest());
          count += 1;
          hash = undefined;
        }
      }
    },
    chunkDigests(size) {
      checkComplete();
      const chunks = divCeil(size, CHUNK_SIZE);
      const out = new Uint8Array(chunks * DIGEST_SIZE[algorithm]);
      digests.push(out);
      count += chunks;
      return out;
    },
    finish() {
      checkComplete();
      const top = createHash(algorithm).update(prefix(0x5a, count));
      return new Uint8Array(top.update(concat(digests)).digest());
    },
  };
}

/** The EOCD as it is digested: its central directory offset is where the signing block starts. */
export function digestedEnd(endBytes: Uint8Array, entriesEnd: number): Uint8Array {
  const out = Uint8Array.from(endBytes);
  new DataView(out.buffer).setUint32(EOCD_CENTRAL_DIRECTORY_OFFSET_AT, entriesEnd, true);
  return out;
}

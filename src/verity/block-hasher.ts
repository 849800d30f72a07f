/**
 * Hashing many blocks of one size: the inner loop of every hash tree.
 *
 * The interface is what a faster implementation replaces; the one here uses node:crypto and is the
 * reference that the others are compared with.
 */

import * as crypto from 'node:crypto';
import { blake2b256 } from '../core/blake2b.ts';
import { digestSize } from '../core/digest.ts';

/** The algorithms of our trees. sha1 is for reading what others made; never choose it. */
export type TreeAlgorithm = 'sha1' | 'sha256' | 'sha384' | 'sha512' | 'blake2b-256';

export interface BlockHashParameters {
  readonly algorithm: TreeAlgorithm;
  /** Bytes a block. */
  readonly blockSize: number;
  /** Hashed before each block; may be empty. */
  readonly salt: Uint8Array;
}

export interface BlockHasher {
  /**
   * Hashes every block of `data`, as `algorithm(salt || block)`.
   *
   * @param data A whole number of blocks; not changed by the caller until the call is done.
   * @param digests Where the digests go, `digestStride` bytes apart; the bytes between two digests
   *   are left as they are. Filled when the call returns, or when its promise resolves.
   */
  hashBlocks(
    parameters: BlockHashParameters,
    data: Uint8Array,
    digests: Uint8Array,
  ): void | Promise<void>;

  /**
   * The same over a range of an open file, which the hasher reads itself: holes and zeros may cost it
   * next to nothing. The last block is padded with zeros.
   *
   * @returns undefined when it cannot with these parameters: read and use `hashBlocks` then. Absent
   *   when it never can.
   * @throws the system's error when reading fails; {FormatError} `truncated` when the file ends early.
   */
  hashFile?(
    parameters: BlockHashParameters,
    range: FileRange,
    digests: Uint8Array,
  ): Promise<void> | undefined;
}

/** Part of an open file, in bytes. */
export interface FileRange {
  readonly fd: number;
  readonly offset: number;
  readonly length: number;
}

/** How far apart digests stand in a tree, in bytes: their size, raised to a power of two. */
export function digestStride(algorithm: TreeAlgorithm): number {
  return 2 ** Math.ceil(Math.log2(digestSize[algorithm]));
}

/**
 * Hashes `salt || block` into `digests`, one `crypto.hash` a block: the cheapest call Node has for it.
 * Blocks of zeros are hashed once.
 */
function hashWithNode(
  { algorithm, blockSize, salt }: BlockHashParameters,
  data: Uint8Array,
  digests: Uint8Array,
): void {
  const stride = digestStride(algorithm);
  const salted = new Uint8Array(salt.length + blockSize);
  salted.set(salt);
  const out = Buffer.from(digests.buffer, digests.byteOffset, digests.length);
  const hashInto = (block: Uint8Array, to: number): void => {
    let message = block;
    if (salt.length > 0) {
      salted.set(block, salt.length);
      message = salted;
    }
    if (algorithm === 'blake2b-256') digests.set(blake2b256(message), to);
    // A string of bytes is made faster than a buffer of them.
    else out.write(crypto.hash(algorithm, message, 'binary'), to, 'latin1');
  };

  const zeros = Buffer.alloc(blockSize);
  const zeroDigest = new Uint8Array(digestSize[algorithm]);
  let isZeroDigestKnown = false;
  for (let at = 0, to = 0; at < data.length; at += blockSize, to += stride) {
    const block = data.subarray(at, at + blockSize);
    if (data[at] === 0 && data[at + blockSize - 1] === 0 && zeros.equals(block)) {
      if (!isZeroDigestKnown) {
        hashInto(block, to);
        zeroDigest.set(digests.subarray(to, to + zeroDigest.length));
        isZeroDigestKnown = true;
      } else {
        digests.set(zeroDigest, to);
      }
    } else {
      hashInto(block, to);
    }
  }
}

/** Hashes on the calling thread, with node:crypto. */
export const nodeBlockHasher: BlockHasher = {
  hashBlocks: (parameters, data, digests) => hashWithNode(parameters, data, digests),
};

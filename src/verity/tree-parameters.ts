/** What a tree is made with, all forms of dm-verity included. */

import { digestOf } from '../core/digest.ts';
import {
  digestStride,
  type BlockHasher,
  type BlockHashParameters,
  type TreeAlgorithm,
} from './block-hasher.ts';
import type { HashType } from './hash-tree-layout.ts';

export interface TreeParameters {
  readonly algorithm: TreeAlgorithm;
  /** Both in bytes, powers of two. */
  readonly dataBlockSize: number;
  readonly hashBlockSize: number;
  /** May be empty. */
  readonly salt: Uint8Array;
  /** dm-verity's: 1 hashes the salt before a block, 0 (Chromium OS) behind it. Default 1. */
  readonly hashType?: HashType | undefined;
}

/** The hasher that treats salts as the parameters say: the given one, unless the salt goes behind. */
export function hasherOf(
  { hashType = 1, salt }: Pick<TreeParameters, 'hashType' | 'salt'>,
  hasher: BlockHasher,
): BlockHasher {
  return hashType === 1 || salt.length === 0 ? hasher : appendingHasher;
}

/** Hashes `block || salt`. Nothing new is made this way, so it is not worth being fast. */
const appendingHasher: BlockHasher = {
  hashBlocks({ algorithm, blockSize, salt }: BlockHashParameters, data, digests) {
    const stride = digestStride(algorithm);
    const salted = new Uint8Array(blockSize + salt.length);
    salted.set(salt, blockSize);
    for (let at = 0, to = 0; at < data.length; at += blockSize, to += stride) {
      salted.set(data.subarray(at, at + blockSize));
      digests.set(digestOf(algorithm, salted), to);
    }
  },
};

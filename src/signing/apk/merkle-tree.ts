/**
 * The Merkle tree of APK Signature Scheme v4 and of the `verity` content digest, over bytes that come
 * in order and whose number is known at the end: a signing block has no size before it is signed.
 *
 * The digests of the blocks go straight to their final place: a tree costs its own size, 8 MiB a GiB.
 *
 * @see https://source.android.com/docs/security/features/apksigning/v4
 */

import { alignUp, divCeil } from '../../core/math.ts';
import { nodeBlockHasher, type BlockHasher } from '../../verity/block-hasher.ts';
import type { HashTree } from '../../verity/hash-tree.ts';
import { hashTreeLevels, type HashTreeLayout } from '../../verity/hash-tree-layout.ts';

export const MERKLE_BLOCK_SIZE = 4096;
const DIGEST_SIZE = 32;
/** For the signing block and central directory of nearly all APKs: growing means two trees at a time. */
const SPARE_BLOCKS = 2048;

export interface MerkleTree {
  /** The next bytes, in pieces of any size. The piece may be reused once the promise resolves. */
  update(piece: Uint8Array): Promise<void>;
  /**
   * Takes the next bytes, whole blocks that somebody else hashes.
   *
   * @returns where their digests go, before the next call.
   */
  leaves(size: number): Uint8Array;
  /** The tree over all bytes, the last block padded with zeros. Once only. */
  finish(): Promise<HashTree>;
}

export interface MerkleTreeOptions {
  /** Hashed before each block, of the data as of the tree. Default none. */
  readonly salt?: Uint8Array;
  /** How many bytes will come, as far as is known; more may come. */
  readonly expectedSize: number;
  /** Default: node:crypto on this thread. */
  readonly hasher?: BlockHasher | undefined;
}

const layoutOf = (blocks: number): HashTreeLayout =>
  hashTreeLevels(blocks, { algorithm: 'sha256', blockSize: MERKLE_BLOCK_SIZE });

/** The bytes of the levels above the leaves: they stand before them. */
const upperSize = (blocks: number): number => layoutOf(blocks).levels[0]?.offset ?? 0;

const leavesSize = (blocks: number): number => alignUp(blocks * DIGEST_SIZE, MERKLE_BLOCK_SIZE);

export function createMerkleTree(options: MerkleTreeOptions): MerkleTree {
  const { salt = new Uint8Array(0), hasher = nodeBlockHasher } = options;
  const parameters = { algorithm: 'sha256', blockSize: MERKLE_BLOCK_SIZE, salt } as const;
  let capacity = divCeil(options.expectedSize, MERKLE_BLOCK_SIZE) + SPARE_BLOCKS;
  let room = upperSize(capacity);
  let bytes = new Uint8Array(room + leavesSize(capacity));
  let blocks = 0;
  const partial = new Uint8Array(MERKLE_BLOCK_SIZE);
  let partialSize = 0;

  const reserve = (more: number): void => {
    if (blocks + more <= capacity) return;
    capacity = Math.max(blocks + more, Math.ceil(capacity * 1.25));
    const grownRoom = upperSize(capacity);
    const grown = new Uint8Array(grownRoom + leavesSize(capacity));
    grown.set(bytes.subarray(room, room + blocks * DIGEST_SIZE), grownRoom);
    bytes = grown;
    room = grownRoom;
  };
  const nextLeaves = (size: number): Uint8Array => {
    const count = size / MERKLE_BLOCK_SIZE;
    reserve(count);
    const at = room + blocks * DIGEST_SIZE;
    blocks += count;
    return bytes.subarray(at, at + count * DIGEST_SIZE);
  };
  const hashWhole = async (data: Uint8Array): Promise<void> =>
    hasher.hashBlocks(parameters, data, nextLeaves(data.length));
  return {
    async update(piece) {
      let rest = piece;
      if (partialSize > 0) {
        const part = rest.subarray(0, MERKLE_BLOCK_SIZE - partialSize);
        partial.set(part, partialSize);
        partialSize += part.length;
        rest = rest.subarray(part.length);
        if (partialSize < MERKLE_BLOCK_SIZE) return;
        await hashWhole(partial);
      }
      partialSize = rest.length % MERKLE_BLOCK_SIZE;
      const whole = rest.length - partialSize;
      if (whole > 0) await hashWhole(rest.subarray(0, whole));
      partial.set(rest.subarray(whole));
    },

    leaves(size) {
      if (partialSize > 0 || size % MERKLE_BLOCK_SIZE !== 0) {
        throw new RangeError(`Cannot take ${size} bytes behind ${partialSize}: not whole blocks`);
      }
      return nextLeaves(size);
    },

    async finish() {
      if (partialSize > 0) await hashWhole(partial.fill(0, partialSize));
      // Where dm-verity has no tree over one block, these formats have one of one digest.
      const layout = layoutOf(blocks);
      const upper = layout.levels[0]?.offset ?? 0;
      const tree = bytes.subarray(room - upper, room + leavesSize(blocks));
      const levelBytes = (level: number): Uint8Array => {
        const at = layout.levels[level];
        return at === undefined
          ? tree
          : tree.subarray(at.offset, at.offset + at.blocks * MERKLE_BLOCK_SIZE);
      };
      const rootDigest = new Uint8Array(DIGEST_SIZE);
      const levels = Math.max(1, layout.levels.length);
      for (let level = 0; level < levels; level++) {
        const above = level + 1 < levels ? levelBytes(level + 1) : rootDigest;
        await hasher.hashBlocks(parameters, levelBytes(level), above);
      }
      return { rootDigest, tree };
    },
  };
}

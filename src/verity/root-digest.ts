/** The root digest of a tree that is there already: the hash of its top block. */

import { digestSize } from '../core/digest.ts';
import { FormatError } from '../core/errors.ts';
import type { ByteSource } from '../io/byte-source.ts';
import { digestStride, nodeBlockHasher } from './block-hasher.ts';
import { layoutOf, treeOffsetOf } from './dm-verity.ts';
import { decodeSuperblock, SUPERBLOCK_SIZE } from './superblock.ts';
import { hasherOf } from './tree-parameters.ts';

/**
 * The root digest that a hash area with a superblock stands for. Nothing below the top block is read.
 *
 * @param hashOffset Where the superblock is, in bytes.
 * @throws {FormatError} when there is no superblock, or the data is so small that it has no tree.
 */
export async function readRootDigest(source: ByteSource, hashOffset: number): Promise<Uint8Array> {
  const superblock = decodeSuperblock(await source.read(hashOffset, SUPERBLOCK_SIZE), hashOffset);
  const { algorithm, hashBlockSize, salt } = superblock;
  if (layoutOf(superblock).levels.length === 0) {
    throw new FormatError(
      'dm-verity',
      'unsupported',
      `Cannot tell the root digest of ${source.name}: data of one block has no tree`,
      { offset: hashOffset },
    );
  }
  const treeOffset = treeOffsetOf({ hashOffset, hasSuperblock: true }, hashBlockSize);
  const top = await source.read(treeOffset, hashBlockSize);
  const digest = new Uint8Array(digestStride(algorithm));
  const parameters = { algorithm, blockSize: hashBlockSize, salt };
  await hasherOf(superblock, nodeBlockHasher).hashBlocks(parameters, top, digest);
  return digest.slice(0, digestSize[algorithm]);
}

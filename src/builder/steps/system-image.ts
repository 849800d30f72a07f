/** The EROFS image of the system tree, plain, in chunks or compressed, and the hash tree behind it. */

import { RecipeError, UsageError } from '../../core/errors.ts';
import { scanChunks } from '../../formats/erofs/chunks.ts';
import { writeCompressedErofs } from '../../formats/erofs/compressed-writer.ts';
import {
  checkErofsSupport,
  erofsKernelNeeds,
  type ErofsNeeds,
} from '../../formats/erofs/kernel-support.ts';
import { planErofs, type ErofsOptions } from '../../formats/erofs/plan.ts';
import { openFileSource, sliceSource } from '../../io/byte-source.ts';
import type { Directory } from '../../io/file-tree.ts';
import type { ImageSink } from '../../io/image-sink.ts';
import { createNativeBlockHasher } from '../../native/block-hasher.ts';
import type { NativeLibrary } from '../../native/library.ts';
import type { Recipe } from '../../recipe/parse.ts';
import type { RecipeData } from '../../recipe/schema.ts';
import { nodeBlockHasher, type BlockHasher } from '../../verity/block-hasher.ts';
import { writeHashTree } from '../../verity/write-hash-tree.ts';
import { createCompressor } from '../compression.ts';
import { writeErofsImage } from '../erofs-image.ts';
import type { KernelFiles } from './kernel.ts';

export type FilesystemOptions = RecipeData['partitions']['system']['filesystem'];

export interface SystemImageOptions extends ErofsOptions {
  readonly blockSize: number;
  readonly filesystem: FilesystemOptions;
  readonly hash: 'sha256' | 'sha512';
  readonly salt: Uint8Array;
  readonly library: NativeLibrary | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** All in bytes, from the start of the image. */
export interface SystemImage {
  readonly size: number;
  readonly tree: {
    readonly rootDigest: Uint8Array;
    readonly treeOffset: number;
    readonly treeSize: number;
  };
}

/**
 * Writes image and tree.
 *
 * @param sink Zeros where they go.
 * @param place The file behind the sink, and where in it the sink starts.
 */
export async function writeSystemImage(
  root: Directory,
  sink: ImageSink,
  place: { readonly path: string; readonly offset: number },
  options: SystemImageOptions,
): Promise<SystemImage> {
  const { size, hasher } = await writeImage(root, sink, options);
  const { hash: algorithm, blockSize, salt, signal } = options;
  const file = await openFileSource(place.path);
  try {
    const treeTarget = {
      write: (at: number, chunk: Uint8Array) => sink.write(size + at, chunk),
    };
    const { rootDigest, layout } = await writeHashTree(
      sliceSource(file, place.offset, size),
      treeTarget,
      { algorithm, dataBlockSize: blockSize, hashBlockSize: blockSize, salt, hasher, signal },
    );
    return { size, tree: { rootDigest, treeOffset: size, treeSize: layout.treeSize } };
  } finally {
    await file.close();
  }
}

async function writeImage(
  root: Directory,
  sink: ImageSink,
  options: SystemImageOptions,
): Promise<{ readonly size: number; readonly hasher: BlockHasher }> {
  const { filesystem, hash, salt, library, signal, blockSize, ...erofs } = options;
  const { compression, level, clusterSize, tails, deduplicate } = filesystem;
  if (compression !== 'none') {
    const compressor = await createCompressor(compression, level, library);
    const { size } = await writeCompressedErofs(
      root,
      { ...erofs, blockSize, compressor, clusterSize, tails, signal },
      sink,
    );
    const hasher = library === undefined ? nodeBlockHasher : createNativeBlockHasher(library);
    return { size, hasher };
  }
  const chunks = deduplicate
    ? await scanChunks(root, { chunkSize: blockSize, blockSize, signal })
    : undefined;
  const plan = planErofs(root, { ...erofs, blockSize, ...(chunks && { chunks }) });
  const hasher = await writeErofsImage(plan, sink, {
    library,
    signal,
    hashing: { algorithm: hash, blockSize, salt },
  });
  return { size: plan.size, hasher };
}

/**
 * Whether the recipe's kernel mounts what its file system says.
 *
 * @throws {RecipeError} at the line that asks for too much.
 */
export function checkKernelMounts(recipe: Recipe, kernel: KernelFiles): void {
  const { compression, clusterSize, tails, deduplicate } = recipe.data.partitions.system.filesystem;
  const isCompressed = compression !== 'none';
  const needs: ErofsNeeds = {
    algorithm: isCompressed ? compression : undefined,
    largeClusters: isCompressed && clusterSize > 4096,
    tailPacking: isCompressed && tails !== 'blocks',
    fragments: isCompressed && tails === 'fragments',
    chunks: deduplicate,
  };
  const fail = (message: string, hint: string | undefined): never => {
    const at = ['partitions', 'system', 'filesystem', isCompressed ? 'compression' : 'deduplicate'];
    throw new RecipeError([recipe.diagnosticAt(at, message, hint)]);
  };
  try {
    checkErofsSupport(needs, kernel.release);
  } catch (error) {
    if (error instanceof UsageError) return fail(error.message, error.hint);
    throw error;
  }
  const { config } = erofsKernelNeeds(needs);
  const missing = config.filter((option) => kernel.erofsConfig?.includes(option) === false);
  if (missing.length > 0) {
    fail(
      `The kernel ${kernel.release} is built without ${missing.join(', ')}`,
      'Choose another compression, or a kernel that is built with it',
    );
  }
}

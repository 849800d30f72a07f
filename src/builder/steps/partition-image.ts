/**
 * The image of a partition: EROFS, plain, in chunks or compressed, the hash tree behind it, and behind
 * both their parity where that is asked for. That is the order of AVB.
 */

import { stat, truncate } from 'node:fs/promises';
import { scanChunks } from '../../formats/erofs/chunks.ts';
import { writeCompressedErofs } from '../../formats/erofs/compressed-writer.ts';
import { planErofs, type ErofsOptions } from '../../formats/erofs/plan.ts';
import { storedFlat, type Reuse } from '../../formats/erofs/reuse.ts';
import { openFileSource, sliceSource } from '../../io/byte-source.ts';
import type { Directory } from '../../io/file-tree.ts';
import type { ImageSink } from '../../io/image-sink.ts';
import { createNativeBlockHasher } from '../../native/block-hasher.ts';
import { createNativeFecEncoder } from '../../native/fec-encoder.ts';
import type { NativeLibrary } from '../../native/library.ts';
import type { RecipeData } from '../../recipe/schema.ts';
import { nodeBlockHasher, type BlockHasher } from '../../verity/block-hasher.ts';
import { fecLayout } from '../../verity/fec/layout.ts';
import { fecMatrix } from '../../verity/fec/matrix.ts';
import { writeParity } from '../../verity/fec/parity.ts';
import { writeHashTree } from '../../verity/write-hash-tree.ts';
import { createCompressor } from '../compression.ts';
import { writeErofsImage } from '../erofs-image.ts';
import type { ImageRecord } from '../image-record.ts';
import {
  createRecorder,
  openPrevious,
  parametersDigest,
  type ContentDigest,
  type PreviousImage,
  type Recorder,
} from '../image-reuse.ts';

export type FilesystemOptions = RecipeData['partitions']['system']['filesystem'];

export interface PartitionImageOptions extends ErofsOptions {
  readonly blockSize: number;
  readonly filesystem: FilesystemOptions;
  readonly hash: 'sha256' | 'sha512';
  readonly salt: Uint8Array;
  /** Parity for error correction: so many bytes, 2 to 24, for each 255. */
  readonly fec?: { readonly roots: number } | undefined;
  readonly library: NativeLibrary | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called now and then with how much is written, in bytes of `total`. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  readonly previous?: PreviousImage | undefined;
  /** Files whose content it knows are taken from the previous image, and stand in the record. */
  readonly contentDigest?: ContentDigest | undefined;
}

/** All in bytes, from the start of the image. */
export interface PartitionImage {
  readonly size: number;
  readonly tree: {
    readonly rootDigest: Uint8Array;
    readonly treeOffset: number;
    readonly treeSize: number;
  };
  readonly fec?: { readonly roots: number; readonly offset: number; readonly size: number };
  /** With the image itself: what makes the next one quickly. */
  readonly record: ImageRecord;
}

/**
 * Writes image, tree and parity. With a previous image the bytes are the same as without.
 *
 * @param sink Zeros where they go.
 * @param place The file behind the sink, and where in it the sink starts.
 */
export async function writePartitionImage(
  root: Directory,
  sink: ImageSink,
  place: { readonly path: string; readonly offset: number },
  options: PartitionImageOptions,
): Promise<PartitionImage> {
  const recorder = createRecorder(options.contentDigest);
  const { previous, contentDigest } = options;
  const reuse = previous && contentDigest && (await openPrevious(previous, options, contentDigest));
  let written: WrittenImage;
  try {
    written = await writeImage(root, sink, options, reuse, recorder);
  } finally {
    await reuse?.close();
  }
  const { size, hasher } = written;
  await reach(place.path, place.offset + size);
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
    const tree = { rootDigest, treeOffset: size, treeSize: layout.treeSize };
    const fec = await writeFec(file.name, sink, place.offset, size + layout.treeSize, options);
    const record = {
      parameters: parametersDigest(options),
      offset: place.offset,
      size,
      treeOffset: tree.treeOffset,
      treeSize: tree.treeSize,
      files: recorder.files,
    };
    return { size, tree, ...(fec && { fec }), record };
  } finally {
    await file.close();
  }
}

/** Zeros at the end of an image are not written, but they are read. */
async function reach(path: string, end: number): Promise<void> {
  if ((await stat(path)).size < end) await truncate(path, end);
}

/** Puts the parity of the first bytes behind them. */
async function writeFec(
  path: string,
  sink: ImageSink,
  start: number,
  covered: number,
  { fec, blockSize, library, signal }: PartitionImageOptions,
): Promise<PartitionImage['fec']> {
  if (fec === undefined) return undefined;
  const layout = fecLayout(covered, blockSize, fec.roots);
  // Opened when the tree is there: a source knows the size that the file had.
  const file = await openFileSource(path);
  try {
    const matrix = fecMatrix([sliceSource(file, start, covered)], layout);
    const encoder = library && createNativeFecEncoder(library);
    const target = { write: (at: number, chunk: Uint8Array) => sink.write(covered + at, chunk) };
    await writeParity(matrix, target, { encoder, signal });
  } finally {
    await file.close();
  }
  return { roots: fec.roots, offset: covered, size: layout.paritySize };
}

interface WrittenImage {
  readonly size: number;
  readonly hasher: BlockHasher;
}

async function writeImage(
  root: Directory,
  sink: ImageSink,
  options: PartitionImageOptions,
  reuse: Reuse | undefined,
  recorder: Recorder,
): Promise<WrittenImage> {
  const { filesystem, hash, salt, library, signal, onProgress, blockSize, ...erofs } = options;
  const { compression, level, clusterSize, tails, deduplicate } = filesystem;
  if (compression !== 'none') {
    const compressor = await createCompressor(compression, level, library);
    const { size } = await writeCompressedErofs(
      root,
      {
        ...erofs,
        blockSize,
        compressor,
        clusterSize,
        tails,
        signal,
        ...(onProgress && { onProgress: (done: number) => onProgress(done, 0) }),
        reuse,
        onStored: (planned, stored) => recorder.add(planned, stored),
      },
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
    onProgress,
    reuse,
    hashing: { algorithm: hash, blockSize, salt },
  });
  for (const planned of plan.inodes) {
    const stored = storedFlat(planned, blockSize);
    if (stored !== undefined) recorder.add(planned, stored);
  }
  return { size: plan.size, hasher };
}

/**
 * Planning and writing EROFS images of compressed files with the native library, from a scan that it
 * made itself. The twin is `src/formats/erofs/compressed-writer.ts`; both make the same bytes.
 */

import { readSync, writeSync } from 'node:fs';
import type { ClusterCompressor } from '../compression/cluster-compressor.ts';
import { compressionFacts } from '../formats/erofs/compression-record.ts';
import { sizeProblem } from '../formats/erofs/content.ts';
import { EROFS_SLOTSIZE, EROFS_SUPER_OFFSET, SuperBlock } from '../formats/erofs/layout.ts';
import { checkBlocks } from '../formats/erofs/plan.ts';
import { sealSuperblock } from '../formats/erofs/seal-superblock.ts';
import type { AssembleOptions, ImageTarget } from '../io/image-pieces.ts';
import { systemError } from '../io/system-error.ts';
import { assemblyThreads } from './assembly-run.ts';
import { algorithmId } from './clusters.ts';
import { closePlan, fileOf, openPlan, type NativeErofsOptions } from './erofs-plan.ts';
import { callAsync, type NativeLibrary } from './library.ts';
import type { NativeScan } from './scan-tree.ts';

export interface NativeCompression {
  readonly algorithm: ClusterCompressor['algorithm'];
  /** Of lz4hc, deflate and zstd; lz4 has none. */
  readonly level: number;
  /** In bytes, whole blocks. */
  readonly clusterSize: number;
  /** Where the data of a file is that does not fill a cluster: the twin has other places, too. */
  readonly tails: 'inline' | 'blocks';
}

export interface NativeCompressedErofs {
  /** Of the image, in bytes. */
  readonly size: number;
  /** Files that are compressed; all others are stored as they are. */
  readonly compressedFiles: number;
}

export interface NativeCompressedPlan {
  /** How many there are. */
  readonly inodes: number;
  /** Bytes of all files, which is what progress is reported of. */
  readonly contentSize: number;
  /** What identifiers are derived from: it stands for names, sizes, owners, modes and times. */
  readonly seed: Uint8Array;
  /**
   * Writes the image, into a file without anything in that place.
   *
   * @param uuid 16 bytes.
   * @throws {UsageError} `input` when a file has not the size that it was planned with, or the image is too large.
   * @throws an error like those of node:fs when a file cannot be read, or the image not written.
   * @throws {RangeError} on sizes of clusters that are out of range.
   * @throws the signal's reason when it is aborted; what was written is not an image then.
   */
  write(
    uuid: Uint8Array,
    target: ImageTarget,
    options?: AssembleOptions,
  ): Promise<NativeCompressedErofs>;
  /** Lets the library forget it. */
  close(): void;
}

/** `mb_erofs_write` of the library tells these. */
const FAILURE = { cancelled: 1, read: 2, size: 3, write: 4, blocks: 5 } as const;
const PROGRESS_INTERVAL = 100;
const SUPER_END = EROFS_SUPER_OFFSET + SuperBlock.size;

/**
 * Plans the image of a scanned folder, and takes the scan then.
 *
 * @param threads How many of the library's compress; default one for each processor.
 * @returns undefined for what only the twin can store, or nobody: the scan can still be used.
 * @throws {RangeError} when there is no such level.
 */
export async function planCompressedErofsNatively(
  library: NativeLibrary,
  scan: NativeScan,
  options: NativeErofsOptions,
  compression: NativeCompression,
  threads: number = assemblyThreads(),
): Promise<NativeCompressedPlan | undefined> {
  const { folder, blockSize, buildTime } = options;
  const { algorithm, clusterSize, tails } = compression;
  const level = algorithm === 'lz4' ? 0 : compression.level;
  const id = algorithmId(algorithm, level);
  const opened = await openPlan(library, scan, options, true);
  if (opened === undefined) return undefined;
  const { handle, seed, inodes, pieceSize: contentSize } = opened;

  const failureError = ([kind = 0, file = 0, errno = 0, found = 0]: readonly number[]): Error => {
    if (kind === FAILURE.blocks) checkBlocks(found);
    const { path, size } = fileOf(library, handle, file);
    switch (kind) {
      case FAILURE.read:
        return systemError(errno, 'read', folder + path);
      case FAILURE.size:
        return sizeProblem(path, size, found);
      case FAILURE.write:
        return systemError(errno, 'write');
      default:
        return new TypeError(`The native library could not write the image (${kind})`);
    }
  };
  return {
    inodes,
    contentSize,
    seed,
    async write(uuid, target, { signal, onProgress } = {}) {
      signal?.throwIfAborted();
      const cancelWriting = library.func('void mb_erofs_cancel(uint64_t plan)');
      const progress = library.func('uint64_t mb_erofs_progress(uint64_t plan)');
      const cancel = (): unknown => cancelWriting(handle);
      signal?.addEventListener('abort', cancel);
      const timer =
        onProgress && setInterval(() => onProgress(Number(progress(handle))), PROGRESS_INTERVAL);
      const numbers = new BigUint64Array(4);
      let result: unknown;
      try {
        result = await callAsync(
          library.func(
            'int mb_erofs_write(uint64_t plan, int fd, uint64_t base, uint32_t algorithm, uint32_t level, uint32_t cluster_size, uint32_t inline_tails, uint32_t threads, _Out_ uint64_t *numbers)',
          ),
          handle,
          target.fd,
          target.offset,
          id,
          level,
          clusterSize,
          tails === 'inline' ? 1 : 0,
          threads,
          numbers,
        );
      } finally {
        clearInterval(timer);
        signal?.removeEventListener('abort', cancel);
      }
      signal?.throwIfAborted();
      const told = [...numbers].map(Number);
      if (result === 1) throw failureError(told);
      if (result !== 0) {
        throw new RangeError(`The native library refused to compress: ${String(result)}`);
      }
      const [blocks = 0, rootOffset = 0, compressedFiles = 0, hasTails = 0] = told;
      const { record, ...facts } = compressionFacts(algorithm, {
        clusterBlocks: clusterSize / blockSize,
        isCompressed: compressedFiles > 0,
        hasTails: hasTails === 1,
      });
      changeFirstBlock(target, blockSize, (block) => {
        if (record !== undefined) block.set(record, SUPER_END);
        sealSuperblock(
          {
            ...facts,
            buildTime,
            uuid,
            volumeName: Buffer.from(options.volumeName),
            blockSize,
            blocks,
            inodeCount: inodes,
            rootNid: rootOffset / EROFS_SLOTSIZE,
          },
          block,
        );
      });
      onProgress?.(contentSize);
      return { size: blocks * blockSize, compressedFiles };
    },
    close: () => closePlan(library, handle),
  };
}

/** The checksum of the first block needs all of it, so that it comes last. */
function changeFirstBlock(
  { fd, offset }: ImageTarget,
  blockSize: number,
  change: (block: Uint8Array) => void,
): void {
  const block = new Uint8Array(blockSize);
  if (readSync(fd, block, 0, block.length, offset) !== block.length) {
    throw new RangeError('The image that was just written is shorter than one block');
  }
  change(block);
  if (writeSync(fd, block, 0, block.length, offset) !== block.length) {
    throw new RangeError('The first block was written in part only');
  }
}

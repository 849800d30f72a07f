/** Planning the EROFS image of a folder of this machine: what is planned can be written. */

import { sha256 } from '../core/digest.ts';
import type { ClusterCompressor } from '../compression/cluster-compressor.ts';
import type { ChunkMap } from '../formats/erofs/chunks.ts';
import type {
  CompressedErofsOptions,
  CompressedErofsPlan,
} from '../formats/erofs/compressed-writer.ts';
import { kindCodes } from '../formats/erofs/layout.ts';
import {
  checkedOptions,
  planErofs,
  type ErofsFacts,
  type ErofsOptions,
} from '../formats/erofs/plan.ts';
import { readExactTree } from '../io/disk-tree.ts';
import type { Directory } from '../io/file-tree.ts';
import { globMatcher } from '../io/glob.ts';
import type { FileSink } from '../io/image-sink.ts';
import type { NativeLibrary } from '../native/library.ts';
import type { NativeScan } from '../native/scan-tree.ts';
import { nodeBlockHasher, type BlockHasher } from '../verity/block-hasher.ts';
import type { WriteImageOptions } from './assembled-image.ts';

export interface ErofsFolderOptions {
  readonly folder: string;
  readonly blockSize: number;
  readonly label: string | undefined;
  /** Seconds since 1970: of the superblock and, unless times are kept, of every file. */
  readonly buildTime: number;
  readonly keepTimes: boolean;
  readonly allRoot: boolean;
  readonly xattrs: boolean;
  /** Patterns as `globMatcher` takes them. */
  readonly exclude: readonly string[];
  /** How files are compressed; undefined to store them as they are. */
  readonly compression: ErofsCompression | undefined;
  /** Whether equal parts of files are stored once; not with compression. */
  readonly deduplicate: boolean;
  readonly signal: AbortSignal;
}

export interface ErofsCompression {
  readonly algorithm: ClusterCompressor['algorithm'];
  /** Of lz4hc, deflate and zstd. */
  readonly level: number;
  /** In bytes, whole blocks. */
  readonly clusterSize: number;
  readonly tails: 'inline' | 'fragments' | 'blocks';
}

export interface PlannedImage {
  /** How many there are. */
  readonly inodes: number;
  /** What identifiers are derived from: it stands for names, sizes, owners, modes and times, not for contents. */
  readonly seed: Uint8Array;
  /** Writes it into a sink of its own. */
  write(uuid: Uint8Array, sink: FileSink, options: WriteImageOptions): Promise<WrittenImage>;
}

export interface WrittenImage {
  /** In bytes. */
  readonly size: number;
  /** For the image's blocks; knows them already where it can. */
  readonly hasher: BlockHasher;
}

/**
 * @param scan What the library found of the folder.
 * @throws {UsageError} when the folder or something of it cannot be used.
 */
export async function planErofsImage(
  options: ErofsFolderOptions,
  library: NativeLibrary | undefined,
  scan: NativeScan | undefined,
): Promise<PlannedImage> {
  const { blockSize, buildTime, compression, signal } = options;
  const root = await readExactTree(options.folder, {
    ...(options.keepTimes ? {} : { mtime: buildTime }),
    allRoot: options.allRoot,
    xattrs: options.xattrs,
    exclude: options.exclude.length === 0 ? undefined : globMatcher(options.exclude),
    scan: scan && (() => Promise.resolve(scan.entries())),
  });
  signal.throwIfAborted();
  const label = options.label === undefined ? {} : { volumeName: options.label };
  const names = { buildTime, blockSize, ...label };
  if (compression !== undefined) return planCompressed(root, names, compression, library);
  const chunks = options.deduplicate ? { chunks: await findChunks(root, options) } : {};
  const plan = planErofs(root, { uuid: new Uint8Array(16), ...names, ...chunks });
  return {
    inodes: plan.inodes.length,
    seed: planSeed(plan.inodes, plan),
    async write(uuid, sink, writeOptions) {
      const { writeErofsImage } = await import('./erofs-image.ts');
      const hasher = await writeErofsImage({ ...plan, uuid }, sink, { library, ...writeOptions });
      return { size: plan.size, hasher };
    },
  };
}

/** The seed of a planned image; the native library has a twin of this. */
function planSeed(
  inodes: ErofsFacts['inodes'],
  { volumeName, blockSize, buildTime }: Pick<ErofsFacts, 'volumeName' | 'blockSize' | 'buildTime'>,
): Uint8Array {
  const facts = new Float64Array(2 + inodes.length * 7);
  const names: string[] = [];
  let at = 0;
  const add = (fact: number): void => {
    facts[at] = fact;
    at += 1;
  };
  add(blockSize);
  add(buildTime);
  for (const { inode, size, nlink, mtime, mtimeNsec, dirents } of inodes) {
    add(kindCodes[inode.kind].format | inode.mode);
    add(inode.uid);
    add(inode.gid);
    add(size);
    add(nlink);
    add(mtime);
    add(mtimeNsec);
    for (const { name } of dirents) names.push(name);
  }
  return sha256(volumeName, new Uint8Array(facts.buffer), Buffer.from(names.join('/')));
}

/** The chunks of a tree's files, as the planner takes them. */
async function findChunks(
  root: Directory,
  { blockSize, signal }: ErofsFolderOptions,
): Promise<ChunkMap> {
  const { scanChunks } = await import('../formats/erofs/chunks.ts');
  return scanChunks(root, { chunkSize: blockSize, blockSize, signal });
}

async function planCompressed(
  root: Directory,
  names: Omit<ErofsOptions, 'uuid' | 'chunks'>,
  { algorithm, level, ...how }: ErofsCompression,
  library: NativeLibrary | undefined,
): Promise<PlannedImage> {
  const { planCompressedErofs } = await import('../formats/erofs/compressed-writer.ts');
  const unnamed = { ...names, uuid: new Uint8Array(16) };
  const plan = planCompressedErofs(root, unnamed);
  return {
    inodes: plan.inodes.length,
    seed: planSeed(plan.inodes, checkedOptions(unnamed)),
    async write(uuid, sink, writeOptions) {
      const { createCompressor } = await import('./compression.ts');
      const compressor = await createCompressor(algorithm, level, library);
      const options = { ...names, ...how, compressor, uuid };
      return writeCompressed(plan, options, library, sink, writeOptions);
    },
  };
}

async function writeCompressed(
  plan: CompressedErofsPlan,
  options: CompressedErofsOptions,
  library: NativeLibrary | undefined,
  sink: FileSink,
  { signal, onProgress }: WriteImageOptions,
): Promise<WrittenImage> {
  const [{ writePlannedErofs }, { createNativeBlockHasher }] = await Promise.all([
    import('../formats/erofs/compressed-writer.ts'),
    import('../native/block-hasher.ts'),
  ]);
  let total = 0;
  for (const { inode, size } of plan.inodes) if (inode.kind === 'file') total += size;
  const progress = onProgress && { onProgress: (done: number) => onProgress(done, total) };
  const { size } = await writePlannedErofs(plan, { ...options, signal, ...progress }, sink);
  return {
    size,
    hasher: library === undefined ? nodeBlockHasher : createNativeBlockHasher(library),
  };
}

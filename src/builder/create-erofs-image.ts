/** An EROFS image of a folder of this machine, with its dm-verity tree. */

import { realpath } from 'node:fs/promises';
import { basename, dirname, join, resolve, sep } from 'node:path';
import { sha256, toHex } from '../core/digest.ts';
import { UsageError } from '../core/errors.ts';
import type { Reporter } from '../core/events.ts';
import { kindCodes } from '../formats/erofs/layout.ts';
import type { ClusterCompressor } from '../compression/cluster-compressor.ts';
import type { ErofsOptions, ErofsPlan } from '../formats/erofs/plan.ts';
import type { ChunkMap } from '../formats/erofs/chunks.ts';
import { openFileSource, sliceSource, streamOf } from '../io/byte-source.ts';
import { readExactTree } from '../io/disk-tree.ts';
import { walk, type Directory, type RegularFile } from '../io/file-tree.ts';
import { globMatcher } from '../io/glob.ts';
import { createFileSink, type FileSink } from '../io/image-sink.ts';
import { replaceFiles } from '../io/replace-files.ts';
import { loadNativeLibrary, type NativeLibrary } from '../native/library.ts';
import { createNativeScanner } from '../native/scan-tree.ts';
import { nodeBlockHasher, type BlockHasher } from '../verity/block-hasher.ts';
import type * as dmVerity from '../verity/dm-verity.ts';
import { deriveUuid, parseUuid, uuidText } from '../verity/uuid.ts';

export interface CreateErofsOptions {
  readonly folder: string;
  readonly image: string;
  /** Whether a hash tree is made: in `hashFile`, else behind the data. */
  readonly verity: boolean;
  readonly hashFile: string | undefined;
  /** At most 256 bytes; undefined to derive one. */
  readonly salt: Uint8Array | undefined;
  readonly blockSize: number;
  /** Text; undefined to derive it. */
  readonly uuid: string | undefined;
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
  /** Whether the SHA-256 of the image is wanted. */
  readonly digest: boolean;
  readonly reporter: Reporter;
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

export interface CreatedErofs {
  readonly image: {
    readonly path: string;
    /** In bytes, the tree behind the data included. */
    readonly size: number;
    readonly blockSize: number;
    readonly inodes: number;
    readonly uuid: string;
    readonly label: string;
    readonly buildTime: number;
    readonly sha256: string | undefined;
  };
  readonly verity:
    | {
        readonly path: string;
        readonly algorithm: 'sha256';
        readonly rootDigest: string;
        readonly salt: string;
        readonly uuid: string;
        readonly blockSize: number;
        readonly dataBlocks: number;
        /** Where superblock and tree are in the file, in bytes. */
        readonly hashOffset: number;
        readonly treeOffset: number;
        readonly treeSize: number;
      }
    | undefined;
}

/**
 * Makes the image. Nothing of it is random or from a clock; equal trees give equal images.
 *
 * @throws {UsageError} when options or the folder cannot be used.
 */
export async function createErofsImage(options: CreateErofsOptions): Promise<CreatedErofs> {
  const { folder, image, hashFile, blockSize, buildTime, reporter, signal } = options;
  const uuid = options.uuid === undefined ? undefined : parseUuid(options.uuid);
  if (options.uuid !== undefined && uuid === undefined) {
    throw new UsageError('usage', `Cannot use the UUID ${options.uuid}: it is none`);
  }
  if (Buffer.byteLength(options.label ?? '') > 15) {
    throw new UsageError('usage', `Cannot use the label ${options.label}: it is over 15 bytes`);
  }
  const exclude = options.exclude.length === 0 ? undefined : globMatcher(options.exclude);
  const outputs = hashFile === undefined ? [image] : [image, hashFile];
  await checkOutputs(outputs, folder);

  const title = `Write ${image}`;
  const started = performance.now();
  reporter.report({ kind: 'step-start', step: 'erofs', title });
  try {
    const library = await loadNativeLibrary();
    const scan = library && createNativeScanner(library)(folder, { xattrs: options.xattrs });
    // Awaited below; until then a failure must not count as unhandled.
    scan?.catch(() => undefined);
    // The rest of the code is loaded while the library's threads look around.
    const [{ planErofs }, { writeErofsImage }] = await Promise.all([
      import('../formats/erofs/plan.ts'),
      import('./erofs-image.ts'),
    ]);
    const root = await readExactTree(folder, {
      ...(options.keepTimes ? {} : { mtime: buildTime }),
      allRoot: options.allRoot,
      xattrs: options.xattrs,
      exclude,
      scan: scan && (() => scan),
    });
    signal.throwIfAborted();
    const label = options.label === undefined ? {} : { volumeName: options.label };
    const chunks = options.deduplicate ? await findChunks(root, blockSize, signal) : {};
    const names = { buildTime, blockSize, ...label };
    const unnamed = planErofs(root, { uuid: new Uint8Array(16), ...names, ...chunks });
    const seed = planSeed(unnamed);
    const plan = { ...unnamed, uuid: uuid ?? deriveUuid('microbuild erofs', seed) };
    const salt = options.salt ?? sha256(Buffer.from('microbuild erofs salt\0'), seed);

    const created = await replaceFiles(outputs, async ([path = '', hashPath]) => {
      const sink = await createFileSink(path);
      // Loaded while the image is written.
      const verityCode = import('../verity/dm-verity.ts');
      try {
        const onProgress = (done: number, total: number): void => report(reporter, done, total);
        const written = options.compression
          ? await writeCompressed(root, { ...names, uuid: plan.uuid }, options.compression, sink, {
              library,
              signal,
              onProgress,
            })
          : {
              size: plan.size,
              hasher: await writeErofsImage(plan, sink, {
                library,
                signal,
                onProgress,
                ...(options.verity && { hashing: { algorithm: 'sha256', blockSize, salt } }),
              }),
            };
        const verity = options.verity
          ? await writeTree({ ...written, path, blockSize }, sink, hashPath, {
              salt,
              signal,
              verityCode,
            })
          : undefined;
        const size = hashFile === undefined ? (verity?.end ?? written.size) : written.size;
        const digest = options.digest ? await digestOfFile(path, signal) : undefined;
        return {
          image: {
            path: image,
            size,
            blockSize,
            inodes: plan.inodes.length,
            uuid: uuidText(plan.uuid),
            label: options.label ?? '',
            buildTime,
            sha256: digest,
          },
          verity: verity && { ...verity.told, path: hashFile ?? image },
        };
      } finally {
        await sink.close();
      }
    });
    const milliseconds = performance.now() - started;
    reporter.report({ kind: 'step-done', step: 'erofs', title, cached: false, milliseconds });
    return created;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    reporter.report({ kind: 'step-failed', step: 'erofs', title, message });
    throw error;
  }
}

const report = throttled((reporter: Reporter, done: number, total: number): void => {
  reporter.report({ kind: 'step-progress', step: 'erofs', done, total });
});

/** Passes on a call for each hundredth of the way only. */
function throttled(
  call: (reporter: Reporter, done: number, total: number) => void,
): (reporter: Reporter, done: number, total: number) => void {
  let last = -1;
  return (reporter, done, total) => {
    const percent = Math.floor((done / Math.max(total, 1)) * 100);
    if (percent === last) return;
    last = percent;
    call(reporter, done, total);
  };
}

/** What stands for a tree when identifiers are derived: names, sizes, owners, modes and times, not contents. */
function planSeed(plan: ErofsPlan): Uint8Array {
  const { inodes, volumeName, blockSize, buildTime } = plan;
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
  blockSize: number,
  signal: AbortSignal,
): Promise<{ readonly chunks: ChunkMap }> {
  const { scanChunks } = await import('../formats/erofs/chunks.ts');
  return { chunks: await scanChunks(root, { chunkSize: blockSize, blockSize, signal }) };
}

async function writeCompressed(
  root: Directory,
  names: ErofsOptions,
  { algorithm, level, clusterSize, tails }: ErofsCompression,
  sink: FileSink,
  options: {
    readonly library: NativeLibrary | undefined;
    readonly signal: AbortSignal;
    readonly onProgress: (done: number, total: number) => void;
  },
): Promise<{ readonly size: number; readonly hasher: BlockHasher }> {
  const { library, signal, onProgress } = options;
  const [{ writeCompressedErofs }, { createCompressor }, { createNativeBlockHasher }] =
    await Promise.all([
      import('../formats/erofs/compressed-writer.ts'),
      import('./compression.ts'),
      import('../native/block-hasher.ts'),
    ]);
  const contents = new Set<RegularFile>();
  walk(root, (_path, inode) => {
    if (inode.kind === 'file') contents.add(inode);
  });
  let total = 0;
  for (const { content } of contents) total += content.size;
  const { size } = await writeCompressedErofs(
    root,
    {
      ...names,
      compressor: await createCompressor(algorithm, level, library),
      clusterSize,
      tails,
      signal,
      onProgress: (done) => onProgress(done, total),
    },
    sink,
  );
  return {
    size,
    hasher: library === undefined ? nodeBlockHasher : createNativeBlockHasher(library),
  };
}

async function writeTree(
  image: {
    readonly path: string;
    readonly size: number;
    readonly blockSize: number;
    readonly hasher: BlockHasher;
  },
  sink: FileSink,
  hashPath: string | undefined,
  options: {
    readonly salt: Uint8Array;
    readonly signal: AbortSignal;
    readonly verityCode: Promise<typeof dmVerity>;
  },
): Promise<{
  readonly end: number;
  readonly told: Omit<NonNullable<CreatedErofs['verity']>, 'path'>;
}> {
  const { path, size, blockSize, hasher } = image;
  const { verityCode, ...treeOptions } = options;
  const { formatDmVerity } = await verityCode;
  const source = await openFileSource(path);
  const target = hashPath === undefined ? sink : await createFileSink(hashPath);
  try {
    const hashOffset = hashPath === undefined ? size : 0;
    const area = await formatDmVerity(sliceSource(source, 0, size), target, {
      algorithm: 'sha256',
      dataBlockSize: blockSize,
      hashBlockSize: blockSize,
      hashType: 1,
      hasSuperblock: true,
      hashOffset,
      hasher,
      ...treeOptions,
    });
    return {
      end: area.end,
      told: {
        algorithm: 'sha256',
        rootDigest: toHex(area.rootDigest),
        salt: toHex(area.salt),
        uuid: area.uuid === undefined ? '' : uuidText(area.uuid),
        blockSize,
        dataBlocks: area.dataBlocks,
        hashOffset,
        treeOffset: area.treeOffset,
        treeSize: area.layout.treeSize,
      },
    };
  } finally {
    await source.close();
    if (target !== sink) await target.close();
  }
}

async function digestOfFile(path: string, signal: AbortSignal): Promise<string> {
  const { createHash } = await import('node:crypto');
  const hash = createHash('sha256');
  const source = await openFileSource(path);
  try {
    for await (const chunk of streamOf(source)) {
      signal.throwIfAborted();
      hash.update(chunk);
    }
  } finally {
    await source.close();
  }
  return hash.digest('hex');
}

/** An image in the folder that it is made from would be part of the next one. */
async function checkOutputs(outputs: readonly string[], folder: string): Promise<void> {
  const source = await realpath(folder);
  const places = new Set<string>();
  for (const path of outputs) {
    const place = join(await realpath(dirname(resolve(path))), basename(path));
    if (`${place}${sep}`.startsWith(`${source}${sep}`)) {
      throw new UsageError('output', `Cannot write ${path}: it is in ${folder}, which is stored`);
    }
    if (places.has(place)) throw new UsageError('output', `Cannot write ${path} twice`);
    places.add(place);
  }
}

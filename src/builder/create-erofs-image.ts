/** An EROFS image of a folder of this machine, with its dm-verity tree. */

import { realpath } from 'node:fs/promises';
import { basename, dirname, join, resolve, sep } from 'node:path';
import { sha256, toHex } from '../core/digest.ts';
import { UsageError } from '../core/errors.ts';
import type { Reporter } from '../core/events.ts';
import { openFileSource, sliceSource, streamOf } from '../io/byte-source.ts';
import { createFileSink, type FileSink } from '../io/image-sink.ts';
import { replaceFiles } from '../io/replace-files.ts';
import { loadNativeLibrary } from '../native/library.ts';
import { scanNatively } from '../native/scan-tree.ts';
import type { BlockHasher } from '../verity/block-hasher.ts';
import type * as dmVerity from '../verity/dm-verity.ts';
import { deriveUuid, parseUuid, uuidText } from '../verity/uuid.ts';
import type { ErofsFolderOptions, PlannedImage } from './plan-erofs-image.ts';

export interface CreateErofsOptions extends ErofsFolderOptions {
  readonly image: string;
  /** Whether a hash tree is made: in `hashFile`, else behind the data. */
  readonly verity: boolean;
  readonly hashFile: string | undefined;
  /** At most 256 bytes; undefined to derive one. */
  readonly salt: Uint8Array | undefined;
  /** Text; undefined to derive it. */
  readonly uuid: string | undefined;
  /** Whether the SHA-256 of the image is wanted. */
  readonly digest: boolean;
  readonly reporter: Reporter;
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
  const givenUuid = options.uuid === undefined ? undefined : parseUuid(options.uuid);
  if (options.uuid !== undefined && givenUuid === undefined) {
    throw new UsageError('usage', `Cannot use the UUID ${options.uuid}: it is none`);
  }
  if (Buffer.byteLength(options.label ?? '') > 15) {
    throw new UsageError('usage', `Cannot use the label ${options.label}: it is over 15 bytes`);
  }
  const outputs = hashFile === undefined ? [image] : [image, hashFile];
  await checkOutputs(outputs, folder);

  const title = `Write ${image}`;
  const started = performance.now();
  reporter.report({ kind: 'step-start', step: 'erofs', title });
  try {
    const plan = await planImage(options);
    signal.throwIfAborted();
    const uuid = givenUuid ?? deriveUuid('microbuild erofs', plan.seed);
    const salt = options.salt ?? sha256(Buffer.from('microbuild erofs salt\0'), plan.seed);

    const created = await replaceFiles(outputs, async ([path = '', hashPath]) => {
      const sink = await createFileSink(path);
      // Loaded while the image is written.
      const verityCode = import('../verity/dm-verity.ts');
      try {
        const written = await plan.write(uuid, sink, {
          signal,
          onProgress: (done, total) => report(reporter, done, total),
          ...(options.verity && { hashing: { algorithm: 'sha256', blockSize, salt } }),
        });
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
            inodes: plan.inodes,
            uuid: uuidText(uuid),
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

/** Plans the image: in the native library if that can, as nothing of the files has to come here then. */
async function planImage(options: CreateErofsOptions): Promise<PlannedImage> {
  const library = await loadNativeLibrary();
  if (library === undefined) {
    const { planErofsImage } = await import('./plan-erofs-image.ts');
    return planErofsImage(options, undefined, undefined);
  }
  const { folder, xattrs, exclude, compression, deduplicate } = options;
  const scanning = scanNatively(library, folder, { xattrs });
  // Awaited below; until then a failure must not count as unhandled.
  scanning.catch(() => undefined);
  if (exclude.length === 0 && !deduplicate && compression?.tails !== 'fragments') {
    // Loaded while the library's threads look around.
    const { planImageNatively } = await import('./plan-erofs-natively.ts');
    const plan = await planImageNatively(options, library, await scanning);
    if (plan !== undefined) return plan;
  }
  const { planErofsImage } = await import('./plan-erofs-image.ts');
  return planErofsImage(options, library, await scanning);
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

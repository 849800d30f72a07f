/** What is in the store, whether all of it is whole, and how all of it goes. */

import { lstat, mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { toHex } from '../core/digest.ts';
import {
  DIGEST_BYTES,
  plainFileReader,
  SIGNATURE_WORDS,
  type FileReader,
} from '../io/file-signatures.ts';
import { dropImages, listImages, uselessImages } from './image-entries.ts';
import { listEntries, type Entry } from './prune.ts';
import { endQuarantine, listQuarantine, type Finding } from './quarantine.ts';
import { mnemonicOf, referencesOf } from './references.ts';
import { openTemporaries } from './temporary.ts';

/** How much there is of something. */
export interface Amount {
  readonly entries: number;
  readonly bytes: number;
}

export interface CacheInfo {
  readonly directory: string;
  readonly blobs: Amount;
  readonly results: Amount;
  /** How many results there are of each step. */
  readonly steps: Readonly<Record<string, number>>;
  /** When what was not used longest was used last: milliseconds since 1970; undefined where nothing is. */
  readonly oldestUse: number | undefined;
  /** Outputs that a build knows to be up to date without looking closer. */
  readonly stamps: number;
  /** Images in bundles from which a build may take what it has in common with them. */
  readonly images: number;
  /** Of what is kept beside the store, such as the indexes of packages: in bytes. */
  readonly besides: number;
  readonly quarantine: readonly Finding[];
}

const amount = (entries: readonly Entry[]): Amount => ({
  entries: entries.length,
  bytes: entries.reduce((sum, { size }) => sum + size, 0),
});

/** Results of other tools that share the folder tell no step. */
const FOREIGN = 'other';

export async function cacheInfo(
  directory: string,
  reader: FileReader = plainFileReader,
): Promise<CacheInfo> {
  const entries = await listEntries(directory, reader);
  const results = entries.filter(({ kind }) => kind === 'ac');
  const blobs = entries.filter(({ kind }) => kind === 'cas');
  const paths = new Map(blobs.map(({ key, path }) => [key, path]));
  const steps: Record<string, number> = {};
  for (const { key } of results) {
    const step = (await mnemonicOf(key, (blob) => paths.get(blob))) ?? FOREIGN;
    steps[step] = (steps[step] ?? 0) + 1;
  }
  const used = entries.map((entry) => entry.used);
  return {
    directory,
    blobs: amount(blobs),
    results: amount(results),
    steps: Object.fromEntries(Object.entries(steps).sort(([a], [b]) => (a < b ? -1 : 1))),
    oldestUse: used.length === 0 ? undefined : used.reduce((a, b) => Math.min(a, b)),
    stamps: (await readdir(join(directory, 'microbuild', 'stamps')).catch(() => [])).length,
    images: (await listImages(directory)).length,
    besides: await sizeBesides(directory),
    quarantine: await listQuarantine(directory),
  };
}

async function sizeBesides(directory: string): Promise<number> {
  let bytes = 0;
  for (const name of BESIDES) {
    const below = await readdir(join(directory, name), {
      recursive: true,
      withFileTypes: true,
    }).catch(() => []);
    for (const entry of below) {
      if (!entry.isFile()) continue;
      bytes += await stat(join(entry.parentPath, entry.name)).then(
        ({ size }) => size,
        () => 0,
      );
    }
  }
  return bytes;
}

/** A file of the store that is not what its name says, or an entry of an image that leads nowhere. */
export interface Damage {
  readonly kind: Entry['kind'] | 'image';
  readonly key: string;
  readonly problem: string;
  /** Not where the cache cannot be written. */
  readonly isRemoved: boolean;
}

export interface Verified {
  readonly blobs: Amount;
  readonly results: Amount;
  /** It is removed where that can be, as each can be made again. */
  readonly damaged: readonly Damage[];
}

/** Files are hashed so many at a time, for the progress. */
const BATCH = 256;

/**
 * Hashes every blob, whatever is remembered of it, and reads every result. Removes what is damaged, and what names that.
 *
 * @param progress Gets how many bytes are done.
 * @throws an AbortError.
 */
export async function verifyCache(
  directory: string,
  options: {
    readonly reader?: FileReader | undefined;
    readonly signal?: AbortSignal | undefined;
    readonly progress?: ((done: number, total: number) => void) | undefined;
  } = {},
): Promise<Verified> {
  const { reader = plainFileReader, signal, progress } = options;
  const entries = await listEntries(directory, reader);
  const blobs = entries.filter(({ kind }) => kind === 'cas');
  const results = entries.filter(({ kind }) => kind === 'ac');
  const damaged: Damage[] = [];
  const drop = async ({ kind, key, path }: Entry, problem: string): Promise<void> => {
    const isRemoved = await rm(path, { recursive: true, force: true }).then(
      () => true,
      // All of it is told where nothing can be removed.
      () => false,
    );
    damaged.push({ kind, key, problem, isRemoved });
  };

  const whole = new Map<string, string>();
  const total = amount(blobs).bytes;
  let done = 0;
  for (let start = 0; start < blobs.length; start += BATCH) {
    signal?.throwIfAborted();
    const batch = blobs.slice(start, start + BATCH);
    const { digests, signatures } = await reader.digests(batch.map(({ path }) => path));
    for (const [index, entry] of batch.entries()) {
      done += entry.size;
      const errno = signatures[index * SIGNATURE_WORDS] ?? 0;
      const at = index * DIGEST_BYTES;
      const found = toHex(digests.subarray(at, at + DIGEST_BYTES));
      if (errno === ENOENT) {
        // Pruned meanwhile; or a link to nothing.
        if (await lstat(entry.path).catch(() => undefined)) await drop(entry, 'it is no file');
        continue;
      }
      if (errno !== 0) await drop(entry, `it cannot be read (errno ${errno})`);
      else if (found !== entry.key) await drop(entry, `its bytes have the digest ${found}`);
      else whole.set(entry.key, entry.path);
    }
    progress?.(done, total);
  }
  for (const entry of results) {
    signal?.throwIfAborted();
    const references = await referencesOf(entry, (key) => whole.get(key));
    if (references === undefined) {
      if (await lstat(entry.path).catch(() => undefined))
        await drop(entry, 'it is no ActionResult');
      continue;
    }
    const missing = references.needed.find((key) => !whole.has(key));
    if (missing !== undefined)
      await drop(entry, `it names the blob ${missing}, which is not there`);
  }
  const useless = await uselessImages(directory, (key) => whole.has(key), reader);
  const isRemoved = await dropImages(useless).then(
    () => true,
    () => false,
  );
  for (const { key, problem, isDamaged } of useless) {
    if (isDamaged) damaged.push({ kind: 'image', key, problem, isRemoved });
  }
  return { blobs: amount(blobs), results: amount(results), damaged };
}

const ENOENT = 2;

/** Folders beside the store: the indexes of packages, and what is known of kernels. */
const BESIDES = ['apt', 'kernel-facts'];
/** All folders that hold what can be made again. Bazel's are the first two. */
const FOLDERS = ['ac', 'cas', 'microbuild', ...BESIDES];

/**
 * Removes all that is kept. What is there vanishes at once; a build that is running may fail, the next one does not.
 *
 * @returns what there was.
 */
export async function clearCache(
  directory: string,
  reader: FileReader = plainFileReader,
): Promise<Amount> {
  const found = amount(await listEntries(directory, reader));
  await endQuarantine(directory);
  const temporary = join(directory, 'tmp');
  await mkdir(temporary, { recursive: true, mode: 0o700 });
  const grave = await openTemporaries(temporary).folder();
  for (const name of FOLDERS) {
    await rename(join(directory, name), join(grave, name)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error;
    });
  }
  await rm(grave, { recursive: true, force: true });
  return found;
}

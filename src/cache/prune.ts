/**
 * Keeping the store within its bound: what was not used longest goes first.
 *
 * How large the store is need not be counted after each build: processes append what they add to a file, and only when the sum
 * is over the bound is all of it looked at. As in Bazel's collector, a file's time is its last use, and one that was used since
 * it was listed stays; beyond that, a blob counts as used when a result that names it was, so that no result is left without
 * what it names, and what was used in the last hour stays, as a build may be about to read it.
 */

import { appendFile, lstat, mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { parseSize } from '../core/size.ts';
import {
  checkSignature,
  plainFileReader,
  SIGNATURE_WORDS,
  sizeOfSignature,
  type FileReader,
} from '../io/file-signatures.ts';
import { makeFolder } from '../io/make-folder.ts';
import { readRegular } from '../io/read-regular.ts';
import { announce } from './announce.ts';
import { dropImages, uselessImages } from './image-entries.ts';
import { processMark } from '../io/process-mark.ts';
import { writeOwnFile } from './own-file.ts';
import { referencesOf } from './references.ts';
import { collectTemporaries, openTemporaries } from './temporary.ts';

const GIB = 2 ** 30;
const DEFAULT_BOUND = 10 * GIB;
/** After pruning there is room for a while. */
const LOW_WATER = 0.9;
/** What was used more recently stays. */
const GRACE_MILLISECONDS = 60 * 60 * 1000;
/** A stamp of an output that nobody asked about for so long. */
const STAMP_MILLISECONDS = 90 * 24 * 60 * 60 * 1000;

/**
 * How many bytes the store may have: `MICROBUILD_CACHE_SIZE`, else 10 GiB.
 *
 * @throws {UsageError} when the variable is no size.
 */
export function sizeBound(env: NodeJS.ProcessEnv): number {
  const text = env['MICROBUILD_CACHE_SIZE'];
  return text === undefined || text === ''
    ? DEFAULT_BOUND
    : parseSize(text, 'MICROBUILD_CACHE_SIZE');
}

/** A file of the store. */
export interface Entry {
  readonly kind: 'ac' | 'cas';
  /** SHA-256 in hexadecimal: of the bytes, or of the action. */
  readonly key: string;
  readonly path: string;
  readonly size: number;
  /** When it was last used: milliseconds since 1970. */
  readonly used: number;
}

const ENOENT = 2;

/** Of a folder that may not be there; one that cannot be read must not pass for one that is empty. */
async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw error;
  }
}

/**
 * All files of the store, in no order. Others than its own are passed over.
 *
 * @throws the system's error when something cannot be looked at.
 */
export async function listEntries(
  directory: string,
  reader: FileReader = plainFileReader,
): Promise<Entry[]> {
  const found: { kind: Entry['kind']; key: string; path: string }[] = [];
  for (const kind of ['ac', 'cas'] as const) {
    for (const folder of await namesIn(join(directory, kind))) {
      if (!/^[0-9a-f]{2}$/.test(folder)) continue;
      const at = join(directory, kind, folder);
      for (const key of await namesIn(at)) {
        if (/^[0-9a-f]{64}$/.test(key) && key.startsWith(folder)) {
          found.push({ kind, key, path: join(at, key) });
        }
      }
    }
  }
  const paths = found.map(({ path }) => path);
  const words = await reader.signatures(paths, { follow: false });
  return found.flatMap((entry, index) => {
    const at = index * SIGNATURE_WORDS;
    // Removed meanwhile.
    if (words[at] === ENOENT) return [];
    checkSignature(words, index, entry.path);
    return { ...entry, size: sizeOfSignature(words, at), used: modified(words, at) };
  });
}

const modified = (words: Uint32Array, at: number): number =>
  ((words[at + 8] ?? 0) + ((words[at + 9] ?? 0) | 0) * 2 ** 32) * 1000 +
  Math.floor((words[at + 10] ?? 0) / 1e6);

/** What pruning did. */
export interface Pruned {
  /** What there was. */
  readonly entries: number;
  readonly bytes: number;
  readonly removedEntries: number;
  readonly removedBytes: number;
  /** Files and folders that killed processes left. */
  readonly removedTemporaries: number;
  /** Entries of images that are gone, or are not the same any more. */
  readonly removedImages: number;
}

export interface PruneOptions {
  /** Bytes that may stay. */
  readonly bound: number;
  readonly reader?: FileReader | undefined;
  /** Milliseconds; what was used more recently stays. */
  readonly grace?: number | undefined;
  /** Whether to say only what would go. */
  readonly dryRun?: boolean | undefined;
}

/**
 * Removes what was not used longest until the store fits, and what can never be used: results without what they name.
 *
 * @returns undefined when another process is at it.
 */
export async function prune(directory: string, options: PruneOptions): Promise<Pruned | undefined> {
  const { bound, reader = plainFileReader, grace = GRACE_MILLISECONDS, dryRun = false } = options;
  const temporary = join(directory, 'tmp');
  await makeFolder(temporary, 0o700);
  const removedTemporaries = dryRun ? 0 : await collectTemporaries(temporary);
  await makeFolder(join(directory, 'microbuild'), 0o700);
  const mark = await processMark();
  const takeBack = await announce(
    join(directory, 'microbuild', 'pruning'),
    await openTemporaries(temporary).path(),
    mark,
  );
  if (takeBack === undefined) return undefined;
  try {
    const entries = await listEntries(directory, reader);
    const { order, dangling } = await orderOfUse(entries);
    let bytes = entries.reduce((sum, { size }) => sum + size, 0);
    const all = { entries: entries.length, bytes };
    const newest = Date.now() - grace;
    const target = bytes > bound ? Math.floor(bound * LOW_WATER) : bound;
    const left = new Set(entries.flatMap(({ kind, key }) => (kind === 'cas' ? [key] : [])));
    let removedEntries = 0;
    let removedBytes = 0;
    for (const { entry, used } of order) {
      const isUseless = dangling.has(entry);
      if (!isUseless && (bytes <= target || used > newest)) continue;
      if (!dryRun && !(await removeUnused(entry))) continue;
      if (entry.kind === 'cas') left.delete(entry.key);
      bytes -= entry.size;
      removedEntries += 1;
      removedBytes += entry.size;
    }
    const useless = await uselessImages(directory, (key) => left.has(key), reader);
    const removedImages = useless.length;
    if (!dryRun) {
      await dropImages(useless);
      await writeOwnFile(growthPath(directory), growthRecord(bytes));
      await removeOldStamps(directory);
    }
    return { ...all, removedEntries, removedBytes, removedTemporaries, removedImages };
  } finally {
    await takeBack();
  }
}

/** Entries in the order in which they go; results before what they name. */
async function orderOfUse(entries: readonly Entry[]): Promise<{
  readonly order: readonly { readonly entry: Entry; readonly used: number }[];
  readonly dangling: ReadonlySet<Entry>;
}> {
  const blobs = new Map<string, { readonly entry: Entry; used: number }>();
  for (const entry of entries) {
    if (entry.kind === 'cas') blobs.set(entry.key, { entry, used: entry.used });
  }
  const results: { readonly entry: Entry; readonly used: number }[] = [];
  const dangling = new Set<Entry>();
  for (const entry of entries) {
    if (entry.kind !== 'ac') continue;
    results.push({ entry, used: entry.used });
    const references = await referencesOf(entry, (key) => blobs.get(key)?.entry.path);
    if (references === undefined || !references.needed.every((key) => blobs.has(key))) {
      dangling.add(entry);
      continue;
    }
    for (const key of [...references.needed, ...references.descriptive]) {
      const blob = blobs.get(key);
      if (blob !== undefined) blob.used = Math.max(blob.used, entry.used);
    }
  }
  const rank = ({ entry }: { readonly entry: Entry }): number => (entry.kind === 'ac' ? 0 : 1);
  const order = [...results, ...blobs.values()].sort(
    (a, b) => a.used - b.used || rank(a) - rank(b) || (a.entry.key < b.entry.key ? -1 : 1),
  );
  return { order, dangling };
}

/** Removes a file unless it was used since it was listed. */
async function removeUnused({ path, used }: Entry): Promise<boolean> {
  const found = await lstat(path, { bigint: true }).catch(() => undefined);
  if (found === undefined || Number(found.mtimeNs / 1_000_000n) !== used) return false;
  await rm(path, { force: true, recursive: true });
  return true;
}

/** Also what is known of files in bundles: written anew with each build that has them. */
async function removeOldStamps(directory: string): Promise<void> {
  for (const kind of ['stamps', 'files']) {
    const folder = join(directory, 'microbuild', kind);
    for (const name of await readdir(folder).catch(() => [])) {
      const path = join(folder, name);
      const found = await lstat(path).catch(() => undefined);
      if (found && Date.now() - found.mtimeMs > STAMP_MILLISECONDS)
        await rm(path, { recursive: true, force: true });
    }
  }
}

/** Numbers of 8 bytes: what there was when it was counted, and what each process added since. */
const growthPath = (directory: string): string => join(directory, 'microbuild', 'growth');
const GROWTH_BYTES = 8;
/** A file that has more is counted anew. */
const MAX_GROWTH_RECORDS = 4096;

function growthRecord(bytes: number): Buffer {
  const record = Buffer.alloc(GROWTH_BYTES);
  record.writeBigUInt64LE(BigInt(Math.max(0, bytes)));
  return record;
}

/** How large the store is, as far as is known; undefined when it was never counted. */
async function knownSize(directory: string): Promise<number | undefined> {
  const bytes = await readRegular(growthPath(directory));
  if (bytes === undefined || bytes.length > MAX_GROWTH_RECORDS * GROWTH_BYTES) return undefined;
  let sum = 0;
  for (let at = 0; at + GROWTH_BYTES <= bytes.length; at += GROWTH_BYTES) {
    sum += Number(bytes.readBigUInt64LE(at));
  }
  return sum;
}

/** Takes note of what a process added, and prunes when that is too much. */
export async function pruneWhenFull(
  directory: string,
  added: number,
  options: { readonly bound?: number | undefined; readonly reader: FileReader },
): Promise<void> {
  const { reader, bound = DEFAULT_BOUND } = options;
  const before = await knownSize(directory);
  if (before !== undefined && before + added <= bound) {
    await appendFile(growthPath(directory), growthRecord(added), { mode: 0o600 });
    return;
  }
  await mkdir(join(directory, 'microbuild'), { recursive: true, mode: 0o700 });
  await prune(directory, { bound, reader });
}

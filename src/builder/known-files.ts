/**
 * Files of earlier bundles that need not be made again, such as the signed disk of a payload: each is known by a key, the
 * digest of all that decides about its bytes.
 *
 * They stay in their bundles. One is taken only as long as its stat signature is the one that it had when its digest was known:
 * a change that sets size and time back still shows in `st_ctime`. What is not found, or goes away meanwhile, is made.
 */

import { createHash } from 'node:crypto';
import { link, realpath, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import type { FilePlace } from '../bundle/files.ts';
import { canonicalJson, type Json } from '../cache/canonical-json.ts';
import { writeOwnFile } from '../cache/own-file.ts';
import type { Cache } from '../cache/store.ts';
import { openFileSource, sliceSource } from '../io/byte-source.ts';
import { copySparse } from '../io/copy-sparse.ts';
import { sizeOfSignature } from '../io/file-signatures.ts';
import { createFileSink } from '../io/image-sink.ts';
import { readRegular } from '../io/read-regular.ts';
import { settledSignature, signatureOf } from './settled-signature.ts';

/** What is told of a file that was made. */
export interface MadeFile {
  /** Of all its bytes, in lower-case hexadecimal. */
  readonly sha256: string;
  /** In bytes. */
  readonly size: number;
  /** What the step that made it returned, as JSON. */
  readonly value: Json;
}

export interface NewFile extends MadeFile {
  readonly key: string;
  readonly place: FilePlace;
}

export interface KnownFiles {
  /**
   * Puts the file with this key, flushed, where nothing is yet.
   *
   * @param output Path of the bundle that will be replaced: its files become those of the new one, others are copied.
   * @returns what was told of it; undefined, and nothing is there, when it must be made.
   */
  take(key: string, output: string, path: string): Promise<MadeFile | undefined>;
  /**
   * Remembers files of a bundle that stands.
   *
   * @param isOurs Whether it still is the bundle that has them: another build may have replaced it.
   */
  remember(
    output: string,
    files: readonly NewFile[],
    isOurs?: () => Promise<boolean>,
  ): Promise<void>;
}

interface Entry {
  readonly version: 1;
  readonly path: string;
  /** Where in that file it starts, in bytes. */
  readonly offset: number;
  readonly size: number;
  /** Of the file at `path`. */
  readonly signature: readonly number[];
  readonly sha256: string;
  /** Digest of the value as JSON, a blob of the store. */
  readonly value: string;
}

/** Words of a signature before the time of the last change of the inode, which a further link to it changes. */
const CTIME_WORD = 11;

export function openKnownFiles(cache: Cache): KnownFiles {
  const folder = join(cache.directory, 'microbuild', 'files');
  const placeOf = (...parts: readonly string[]): string =>
    join(folder, createHash('sha256').update(parts.join('\0')).digest('hex'));
  const load = async (path: string, key: string): Promise<Entry | undefined> => {
    const entry = decodeEntry(String((await readRegular(path)) ?? ''), key);
    return entry !== undefined && (await isUnchanged(entry)) ? entry : undefined;
  };
  return {
    async take(key, output, path) {
      const bundle = await realPathOf(output);
      const entry = (await load(placeOf(key, bundle), key)) ?? (await load(placeOf(key), key));
      if (entry === undefined) return undefined;
      const value = parseJson(await cache.readBlob(entry.value));
      if (value === undefined) return undefined;
      const isOwn = dirname(entry.path) === bundle;
      const isThere = (isOwn && (await takeLink(entry, path))) || (await takeCopy(entry, path));
      return isThere ? { sha256: entry.sha256, size: entry.size, value } : undefined;
    },
    async remember(output, files, isOurs) {
      const bundle = await realPathOf(output);
      for (const { key, place, sha256, size, value } of files) {
        const path = await realpath(place.path).catch(() => place.path);
        const signature = await settledSignature(path);
        // Asked behind the signature: what replaces the bundle later has another one.
        if (signature === undefined || (await isOurs?.()) === false) continue;
        const entry: Entry = {
          version: 1,
          path,
          offset: place.offset,
          size,
          signature: [...signature],
          sha256,
          value: await cache.put(Buffer.from(canonicalJson(value))),
        };
        for (const to of [placeOf(key, bundle), placeOf(key)]) {
          await writeOwnFile(to, encodeEntry(entry, key));
        }
      }
    },
  };
}

/** The path of a bundle as entries have it, whether it is there or not. */
async function realPathOf(output: string): Promise<string> {
  const path = resolve(output);
  return join(await realpath(dirname(path)).catch(() => dirname(path)), basename(path));
}

async function isUnchanged({ path, signature }: Entry): Promise<boolean> {
  const now = await signatureOf(path);
  return now[0] === 0 && signature.every((word, index) => word === now[index]);
}

/** A file of the bundle that goes: the new one gets the same inode. It was flushed when it was made. */
async function takeLink(entry: Entry, path: string): Promise<boolean> {
  const { signature, offset, size } = entry;
  if (offset !== 0 || sizeOfSignature(Uint32Array.from(signature), 0) !== size) return false;
  // File systems may know no links, or not permit this one.
  if (!(await done(link(entry.path, path)))) return false;
  const now = await signatureOf(path);
  if (now.every((word, index) => index >= CTIME_WORD || word === signature[index])) return true;
  await rm(path, { force: true });
  return false;
}

async function takeCopy(entry: Entry, path: string): Promise<boolean> {
  if ((await done(copyPlace(entry, path))) && (await isUnchanged(entry))) return true;
  await rm(path, { force: true });
  return false;
}

async function copyPlace({ path: from, offset, size }: Entry, path: string): Promise<void> {
  const source = await openFileSource(from);
  try {
    const sink = await createFileSink(path);
    try {
      await sink.truncate(size);
      await copySparse(sliceSource(source, offset, size), sink);
    } finally {
      await sink.close({ flush: true });
    }
  } finally {
    await source.close();
  }
}

/** Whether something could be done: another build may have replaced what it needs. */
async function done(work: Promise<void>): Promise<boolean> {
  try {
    await work;
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).syscall !== undefined) return false;
    if (error instanceof RangeError) return false;
    throw error;
  }
}

const sumOf = (text: string, key: string): string =>
  createHash('sha256').update(`${key}\n${text}`).digest('hex');

/** A line with the digest of key and entry, then the entry: no damage becomes another entry. */
function encodeEntry(entry: Entry, key: string): string {
  const text = JSON.stringify(entry);
  return `${sumOf(text, key)}\n${text}`;
}

/** Undefined for what is damaged: it costs time, nothing else. */
function decodeEntry(encoded: string, key: string): Entry | undefined {
  const at = encoded.indexOf('\n');
  const text = encoded.slice(at + 1);
  if (at < 0 || encoded.slice(0, at) !== sumOf(text, key)) return undefined;
  const entry = JSON.parse(text) as { readonly version: number };
  return entry.version === 1 ? (entry as Entry) : undefined;
}

function parseJson(bytes: Uint8Array | undefined): Json | undefined {
  return bytes && (JSON.parse(Buffer.from(bytes).toString('utf8')) as Json);
}

/**
 * ZIP archives and APKs, unpacked once: what they hold is kept in the cache as one file with all data, and a list of
 * what stands where in it.
 */

import { open, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { runAction } from '../../cache/action.ts';
import type { Cache } from '../../cache/store.ts';
import { FormatError } from '../../core/errors.ts';
import { checkStrictApk } from '../../formats/apk/strict.ts';
import { openEntry } from '../../formats/zip/entry.ts';
import { readZip, type ZipDirectory, type ZipEntry } from '../../formats/zip/read.ts';
import { checkStrictZip } from '../../formats/zip/strict.ts';
import { unixEntry } from '../../formats/zip/unix.ts';
import type { ArchiveEntry } from '../../io/archive-entry.ts';
import { openFileSource, type ByteSource } from '../../io/byte-source.ts';
import { windowSource } from '../../formats/zip/window-source.ts';
import { isTextOf } from '../../io/text-of.ts';
import { verifyApk } from '../../signing/apk/verifier/verify-apk.ts';
import { readEntries, unpackedLimit, writeEntries, type Archive, type Unpacked } from './unpack.ts';

/** What no time is known of has that of the build: none is later than that. */
const NO_TIME = Number.MAX_SAFE_INTEGER;
/** Android 13, which knows all schemes: it is not asked whether old releases would take the APK, too. */
const NEWEST_SDK = 33;
/** Of writes, in bytes. */
const GATHER_SIZE = 1 << 20;
/** Longest target of a link that Linux takes, without its NUL. */
const MAX_TARGET = 4095;

/**
 * Unpacks a ZIP archive that all readers read in the same way.
 *
 * @throws {FormatError} naming the entry, when it is damaged or hostile.
 */
export function unpackZip(cache: Cache, archive: Archive): Promise<Unpacked> {
  return unpack(cache, archive, 'unpack-zip/1', async (source) => {
    const zip = await readZip(source, { zip64: true });
    await checkStrictZip(source, zip, {
      zip64: true,
      storedDescriptors: true,
      contents: false,
      entryComments: true,
      archiveComment: true,
      symlinks: true,
      maxTotalSize: unpackedLimit(source.size),
    });
    return zip;
  });
}

/**
 * Unpacks an APK: a signature over all of its bytes (scheme v2 or later) must hold, whoever made it.
 *
 * @throws {FormatError} naming the entry or what is wrong with the signature.
 */
export function unpackApk(cache: Cache, archive: Archive): Promise<Unpacked> {
  return unpack(cache, archive, 'unpack-apk/1', async (source) => {
    const { zip } = await checkStrictApk(source, {
      contents: false,
      maxTotalSize: unpackedLimit(source.size),
    });
    const verdict = await verifyApk(source, { minSdk: NEWEST_SDK });
    const { v2, v3, v31 } = verdict.schemes;
    // Scheme v1 leaves bytes of the archive to anybody.
    if (!verdict.verified || !(v2 || v3 || v31)) {
      const why = verdict.issues.find((each) => each.severity === 'error')?.message;
      throw new FormatError(
        'apk',
        'bad-value',
        `Cannot read ${source.name}: ${why ?? 'it is not signed'}`,
        {
          hint: 'Take an unsigned archive with zip: instead of apk:',
        },
      );
    }
    return zip;
  });
}

async function unpack(
  cache: Cache,
  archive: Archive,
  mnemonic: string,
  check: (source: ByteSource) => Promise<ZipDirectory>,
): Promise<Unpacked> {
  const { outputs } = await runAction(
    cache,
    { mnemonic, parameters: {}, inputs: { archive: archive.digest }, outputs: ['data', 'entries'] },
    async (folder) => {
      const source = await openFileSource(archive.path, archive.name);
      const data = await open(join(folder, 'data'), 'wx', 0o600);
      try {
        const { entries } = await check(source);
        const known: ArchiveEntry[] = [];
        // Archives may have 60,000 small entries: neither reads nor writes are worth a call each.
        const near = windowSource(source);
        const out = gather(data);
        for (const entry of entries) known.push(await copyEntry(near, entry, out));
        await out.flush();
        await writeEntries(join(folder, 'entries'), known);
        return { value: null };
      } catch (error) {
        throw named(error, archive.name);
      } finally {
        await data.close();
        await source.close();
      }
    },
  );
  return {
    path: outputs.data.path,
    entries: await readEntries(outputs.entries.path, 0),
    value: undefined,
  };
}

/** The errors of ZIP archives do not say which archive it is. */
function named(error: unknown, name: string): unknown {
  if (!(error instanceof FormatError) || error.message.includes(name)) return error;
  return new FormatError(error.format, error.code, `${name}: ${error.message}`, {
    cause: error,
    ...(error.field !== undefined && { field: error.field }),
    ...(error.hint !== undefined && { hint: error.hint }),
  });
}

/** Writes of a file, one after the other, in large pieces. */
interface Gathered {
  /** Where the next byte goes. */
  readonly offset: () => number;
  readonly write: (chunk: Uint8Array) => Promise<void>;
  readonly flush: () => Promise<void>;
}

function gather(file: FileHandle): Gathered {
  const buffer = Buffer.allocUnsafe(GATHER_SIZE);
  let used = 0;
  let flushed = 0;
  const flush = async (): Promise<void> => {
    if (used > 0) await file.writeFile(buffer.subarray(0, used));
    flushed += used;
    used = 0;
  };
  return {
    offset: () => flushed + used,
    async write(chunk) {
      if (used + chunk.length > buffer.length) await flush();
      if (chunk.length > buffer.length) {
        await file.writeFile(chunk);
        flushed += chunk.length;
        return;
      }
      buffer.set(chunk, used);
      used += chunk.length;
    },
    flush,
  };
}

async function copyEntry(
  source: ByteSource,
  entry: ZipEntry,
  data: Gathered,
): Promise<ArchiveEntry> {
  const { kind, mode, mtime = NO_TIME } = unixEntry(entry);
  const path = `/${entry.name.replace(/\/$/, '')}`;
  const base = { path, mode, uid: 0, gid: 0, mtime, xattrs: new Map<string, Uint8Array>() };
  if (kind === 'directory') return { ...base, kind };
  const content = await openEntry(source, entry);
  if (kind === 'symlink')
    return { ...base, kind, target: await readTarget(entry, content.stream()) };
  const offset = data.offset();
  for await (const chunk of content.stream()) await data.write(chunk);
  return { ...base, kind, size: entry.size, offset };
}

/** Where a link leads: not above the root of the archive. */
async function readTarget(entry: ZipEntry, stream: AsyncIterable<Uint8Array>): Promise<string> {
  const refuse = (why: string): never => {
    throw new FormatError(
      'zip',
      'bad-value',
      `Refused ZIP archive: entry ${JSON.stringify(entry.name)} is a link ${why}`,
      { field: entry.name },
    );
  };
  if (entry.size === 0 || entry.size > MAX_TARGET) refuse('to nothing that a link can name');
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  const bytes = Buffer.concat(chunks);
  const target = bytes.toString();
  if (!isTextOf(target, () => bytes) || target.includes('\0')) refuse('to what is not text');
  let depth = entry.name.split('/').length - 1;
  for (const name of target.startsWith('/') ? [] : target.split('/')) {
    if (name === '..') depth -= 1;
    else if (name !== '' && name !== '.') depth += 1;
    if (depth < 0) refuse(`to "${target}", outside the archive`);
  }
  return target;
}

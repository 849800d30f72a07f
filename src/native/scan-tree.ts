/** Scanning folders with the native library, on several threads and with extended attributes. */

import { availableParallelism } from 'node:os';
import type { DiskEntry, DiskScanner, ScanOptions } from '../io/disk-tree.ts';
import { isTextOf } from '../io/text-of.ts';
import { callAsync, type NativeLibrary } from './library.ts';

/** `native/src/scan/record.rs` has the words. */
const RECORD_WORDS = 24;
const MAX_THREADS = 8;

/** What was found; the library has it until it is asked for. */
export interface NativeScan {
  /** The library's number of it. */
  readonly handle: number;
  /** Takes it from the library: once. */
  entries(): Iterable<DiskEntry>;
}

/** @param threads How many of the library's; default one for each processor. */
export function createNativeScanner(library: NativeLibrary, threads?: number): DiskScanner {
  return async (path, options) => (await scanNatively(library, path, options, threads)).entries();
}

/** @param threads How many of the library's; default one for each processor. */
export async function scanNatively(
  library: NativeLibrary,
  path: string,
  { xattrs }: ScanOptions,
  threads: number = Math.min(availableParallelism(), MAX_THREADS),
): Promise<NativeScan> {
  const scan = library.func(
    'int64_t mb_scan(const uint8_t *path, size_t path_len, uint32_t with_xattrs, uint32_t threads, _Out_ uint64_t *sizes)',
  );
  const name = Buffer.from(path);
  const sizes = new BigUint64Array(2);
  const wanted = xattrs === true ? 1 : 0;
  const result = await callAsync(scan, name, name.length, wanted, threads, sizes);
  const handle = Number(result);
  if (handle <= 0) throw new RangeError(`The native library refused to scan ${path}: ${handle}`);
  return {
    handle,
    entries() {
      const take = library.func(
        'int mb_scan_take(uint64_t handle, _Out_ uint32_t *records, size_t record_words, _Out_ uint8_t *blob, size_t blob_len)',
      );
      const words = new Uint32Array(Number(sizes[0]));
      const blob = Buffer.allocUnsafeSlow(Number(sizes[1]));
      const taken = take(handle, words, words.length, blob, blob.length);
      if (taken !== 0) {
        throw new RangeError(`The native library kept what it found: ${String(taken)}`);
      }
      return entries(words, blob);
    },
  };
}

/** The entries by the number of their directory: so that a directory is before what it holds. */
function* entries(words: Uint32Array, blob: Buffer): Generator<DiskEntry> {
  const count = words.length / RECORD_WORDS;
  const starts = new Uint32Array(count + 2);
  for (let at = 0; at < words.length; at += RECORD_WORDS) {
    const next = (words[at] ?? 0) + 1;
    starts[next] = (starts[next] ?? 0) + 1;
  }
  for (let i = 1; i < starts.length; i += 1) starts[i] = (starts[i] ?? 0) + (starts[i - 1] ?? 0);
  const order = new Uint32Array(count);
  for (let record = 0; record < count; record += 1) {
    const parent = words[record * RECORD_WORDS] ?? 0;
    const place = starts[parent] ?? 0;
    order[place] = record;
    starts[parent] = place + 1;
  }
  for (const record of order) yield decodeRecord(words, record * RECORD_WORDS, blob);
}

const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;

function decodeRecord(words: Uint32Array, start: number, blob: Buffer): DiskEntry {
  const word = (index: number): number => words[start + index] ?? 0;
  const long = (index: number): number => word(index + 1) * 2 ** 32 + word(index);
  const text = (index: number): string =>
    blob.toString('utf8', word(index), word(index) + word(index + 1));
  const isText = (decoded: string, index: number): boolean =>
    isTextOf(decoded, () => blob.subarray(word(index), word(index) + word(index + 1)));
  const name = text(18);
  const target = word(21) === 0 ? '' : text(20);
  const errno = word(2);
  const isLinked = word(6) > 1 && (word(3) & S_IFMT) !== S_IFDIR;
  return {
    parent: word(0),
    number: word(1),
    name,
    mode: word(3),
    uid: word(4),
    gid: word(5),
    size: long(9),
    // Signed.
    mtime: (word(12) | 0) * 2 ** 32 + word(11),
    mtimeNsec: word(13),
    major: word(7),
    minor: word(8),
    link: isLinked ? `${word(16)}:${word(17)}:${word(15)}:${word(14)}` : undefined,
    target,
    xattrs: word(23) === 0 ? undefined : decodeXattrs(blob, word(22), word(23)),
    notText: isText(name, 18) ? (isText(target, 20) ? undefined : 'target') : 'name',
    errno: errno === 0 ? undefined : errno,
  };
}

function decodeXattrs(blob: Buffer, offset: number, count: number): [string, Uint8Array][] {
  const xattrs: [string, Uint8Array][] = [];
  let at = offset;
  for (let i = 0; i < count; i += 1) {
    const name = at + 8;
    const value = name + blob.readUInt32LE(at);
    at = value + blob.readUInt32LE(at + 4);
    xattrs.push([blob.toString('utf8', name, value), new Uint8Array(blob.subarray(value, at))]);
  }
  return xattrs;
}

/**
 * The list of images that stand in bundles: where each is, its stat signature when it was written, and which blob of the store
 * holds the record of what it has. A build takes from them what it has in common with them.
 */

import { lstat, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { readRegular } from '../io/read-regular.ts';
import { plainFileReader, SIGNATURE_WORDS, type FileReader } from '../io/file-signatures.ts';

/** An image of a partition. */
export interface ImageEntry {
  readonly version: 1;
  readonly path: string;
  /** Where in that file the disk starts. */
  readonly start: number;
  readonly signature: readonly number[];
  /** Of the tree and all else that decides it. */
  readonly key: string | null;
  /** Digest of the encoded record, a blob of the store. */
  readonly record: string;
}

/** A file of the list. */
interface ListedImage {
  readonly file: string;
  /** Undefined for what is damaged. */
  readonly entry: ImageEntry | undefined;
}

/** The folder of the list. */
export const imageFolder = (directory: string): string => join(directory, 'microbuild', 'images');

/** Undefined for what is damaged: it costs time, nothing else. */
export function parseImageEntry(text: string): ImageEntry | undefined {
  let value: Partial<ImageEntry> | null;
  try {
    value = JSON.parse(text) as Partial<ImageEntry> | null;
  } catch {
    return undefined;
  }
  const isEntry =
    value?.version === 1 &&
    typeof value.path === 'string' &&
    !value.path.includes('\0') &&
    Number.isSafeInteger(value.start) &&
    Array.isArray(value.signature) &&
    typeof value.record === 'string' &&
    /^[0-9a-f]{64}$/.test(value.record);
  return isEntry ? (value as ImageEntry) : undefined;
}

/** All of the list. */
export async function listImages(directory: string): Promise<ListedImage[]> {
  const folder = imageFolder(directory);
  const names = (await readdir(folder).catch(() => [])).filter((name) =>
    /^[0-9a-f]{64}$/.test(name),
  );
  const listed: ListedImage[] = [];
  for (const name of names.sort()) {
    const file = join(folder, name);
    const text = await readRegular(file);
    // Another process may have taken it off.
    if (text === undefined && (await lstat(file).catch(() => undefined)) === undefined) continue;
    listed.push({ file, entry: text && parseImageEntry(text.toString()) });
  }
  return listed;
}

/** What of the list cannot be used any more, and why. */
export interface UselessImage {
  readonly file: string;
  /** Its place in the list. */
  readonly key: string;
  readonly problem: string;
  /** Whether something is wrong; else the image has gone its way, as images do. */
  readonly isDamaged: boolean;
}

/**
 * @param hasBlob Whether the store has a blob.
 */
export async function uselessImages(
  directory: string,
  hasBlob: (sha256: string) => boolean,
  reader: FileReader = plainFileReader,
): Promise<UselessImage[]> {
  const listed = await listImages(directory);
  const paths = listed.map(({ entry }) => entry?.path ?? '');
  const words = await reader.signatures(paths, { follow: false });
  return listed.flatMap(({ file, entry }, index): UselessImage[] => {
    const key = file.slice(-64);
    if (entry === undefined) {
      return [{ file, key, problem: 'it is no entry of an image', isDamaged: true }];
    }
    const now = words.subarray(index * SIGNATURE_WORDS, (index + 1) * SIGNATURE_WORDS);
    if (now[0] !== 0 || !entry.signature.every((word, at) => word === now[at])) {
      return [{ file, key, problem: `${entry.path} is gone or another one`, isDamaged: false }];
    }
    if (hasBlob(entry.record)) return [];
    const problem = `it names the blob ${entry.record}, which is not there`;
    return [{ file, key, problem, isDamaged: true }];
  });
}

/** Takes entries off the list. */
export async function dropImages(images: readonly UselessImage[]): Promise<void> {
  for (const { file } of images) await rm(file, { recursive: true, force: true });
}

/**
 * The images of earlier builds: where they are, and the record of what they have. A new image takes from them what it has in
 * common with them: from the one that it takes the place of, or from another recipe's with the same tree.
 *
 * They stay in their bundles, which is why a file is asked whether it still is the one that was written.
 */

import { createHash } from 'node:crypto';
import { realpath } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import type { FilePlace } from '../bundle/files.ts';
import { imageFolder, parseImageEntry, type ImageEntry } from '../cache/image-entries.ts';
import { writeOwnFile } from '../cache/own-file.ts';
import type { Cache } from '../cache/store.ts';
import { FormatError } from '../core/errors.ts';
import { readRegular } from '../io/read-regular.ts';
import { decodeImageRecord, encodeImageRecord, type ImageRecord } from './image-record.ts';
import type { PreviousImage } from './image-reuse.ts';
import { settledSignature, signatureOf } from './settled-signature.ts';

export interface FoundImage extends PreviousImage {
  /** Whether it was made of the same tree in the same way. */
  readonly isSame: boolean;
  /** Whether all that was taken of it was its own: asked behind that, as another build may have replaced its bundle. */
  isUnchanged(): Promise<boolean>;
}

export interface KnownImages {
  /**
   * @param key Of the tree and all else that decides, if it is known.
   * @param output Path of the bundle that will be replaced.
   * @param name Of the partition.
   */
  find(key: string | undefined, output: string, name: string): Promise<FoundImage | undefined>;
  /**
   * Remembers the images of a bundle that stands.
   *
   * @param place Of its `os.img`.
   * @param isOurs Whether it still is the bundle that has them: another build may have replaced it.
   */
  remember(
    output: string,
    place: FilePlace,
    images: readonly {
      readonly name: string;
      readonly key: string | undefined;
      readonly record: ImageRecord;
    }[],
    isOurs?: () => Promise<boolean>,
  ): Promise<void>;
}

export function openKnownImages(cache: Cache): KnownImages {
  const folder = imageFolder(cache.directory);
  const file = (...parts: readonly string[]): string =>
    join(folder, createHash('sha256').update(parts.join('\0')).digest('hex'));
  const placeOf = async (output: string, name: string): Promise<string> => {
    const path = resolve(output);
    const parent = await realpath(dirname(path)).catch(() => dirname(path));
    return file('output', join(parent, basename(path)), name);
  };
  const load = async (path: string, key: string | undefined): Promise<FoundImage | undefined> => {
    const entry = parseImageEntry(String((await readRegular(path)) ?? ''));
    if (entry === undefined) return undefined;
    const isUnchanged = async (): Promise<boolean> => {
      const now = await signatureOf(entry.path);
      return now[0] === 0 && entry.signature.every((word, index) => word === now[index]);
    };
    if (!(await isUnchanged())) return undefined;
    const encoded = await cache.readBlob(entry.record);
    const record = encoded && decode(encoded);
    if (record === undefined) return undefined;
    const isSame = key !== undefined && entry.key === key;
    return { path: entry.path, start: entry.start, record, isSame, isUnchanged };
  };
  return {
    async find(key, output, name) {
      const same = key === undefined ? undefined : await load(file('tree', key), key);
      return same ?? load(await placeOf(output, name), key);
    },
    async remember(output, place, images, isOurs) {
      const signature = await settledSignature(place.path);
      // Asked behind the signature: what replaces the bundle later has another one.
      if (signature === undefined || (await isOurs?.()) === false) return;
      for (const { name, key, record } of images) {
        const entry: ImageEntry = {
          version: 1,
          path: place.path,
          start: place.offset,
          signature: [...signature],
          key: key ?? null,
          record: await cache.put(encodeImageRecord(record)),
        };
        const paths = [
          await placeOf(output, name),
          ...(key === undefined ? [] : [file('tree', key)]),
        ];
        for (const path of paths) await writeOwnFile(path, JSON.stringify(entry));
      }
    },
  };
}

function decode(encoded: Uint8Array): ImageRecord | undefined {
  try {
    return decodeImageRecord(encoded);
  } catch (error) {
    if (error instanceof FormatError) return undefined;
    throw error;
  }
}

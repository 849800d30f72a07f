/**
 * `vendor/` beside a recipe: every blob of its lock, so that a build needs neither a cache nor a network.
 *
 *     vendor/manifest.json         what each blob is
 *     vendor/sha256/<digest>       the blobs
 */

import { constants } from 'node:fs';
import { copyFile, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { digestFile } from '../cache/store.ts';
import { writeFileAtomic } from '../io/atomic-output.ts';
import { inTheMaking } from '../io/in-the-making.ts';
import { makeFolder } from '../io/make-folder.ts';
import type { Lock } from '../recipe/lockfile.ts';
import type { Recipe } from '../recipe/parse.ts';
import { pinDigest, pinName, pinSize, type Blobs, type Pin } from './fetch.ts';
import { allPinsOf } from './lock.ts';
import { vendorBlobs, VENDOR_FOLDER, VENDOR_LIST, vendoredBlob } from './vendor-layout.ts';

/** One blob of the folder. Size in bytes. */
export interface VendoredBlob {
  readonly sha256: string;
  readonly size: number;
  readonly kind: Pin['kind'];
  readonly name: string;
}

export interface VendorResult {
  /** Absolute path. */
  readonly folder: string;
  /** What the lock needs, by digest. */
  readonly blobs: readonly VendoredBlob[];
  /** Digests of blobs that were not there before, or were damaged. */
  readonly added: readonly string[];
  /** Names of files that nothing needs: removed when that was asked for. */
  readonly unneeded: readonly string[];
}

/**
 * Copies all blobs of a lock beside the recipe. What is there already and whole is left as it is.
 *
 * @param prune Whether blobs that the lock does not need are removed.
 * @throws {UsageError} `lock` when a blob cannot be had.
 */
export async function vendor(
  recipe: Recipe,
  lock: Lock,
  { blobs, prune, signal }: { blobs: Blobs; prune: boolean; signal?: AbortSignal | undefined },
): Promise<VendorResult> {
  const pins = allPinsOf(recipe, lock);
  const folder = vendorBlobs(recipe.directory);
  await blobs.fetchAll(pins);
  await makeFolder(folder);
  const added: string[] = [];
  const wanted = new Map<string, VendoredBlob>();
  for (const { pin, update } of pins) {
    signal?.throwIfAborted();
    const sha256 = pinDigest(pin);
    if (wanted.has(sha256)) continue;
    wanted.set(sha256, { sha256, size: pinSize(pin), kind: pin.kind, name: pinName(pin) });
    const target = vendoredBlob(recipe.directory, sha256);
    const known = await digestFile(target).catch(() => undefined);
    if (known?.sha256 === sha256) continue;
    await copyAtomic(await blobs.fetch(pin, update), target);
    added.push(sha256);
  }
  const present = await readdir(folder);
  const unneeded = present.filter((name) => !wanted.has(name)).sort();
  if (prune) for (const name of unneeded) await rm(join(folder, name), { force: true });
  const list = [...wanted.values()].sort((a, b) => (a.sha256 < b.sha256 ? -1 : 1));
  await writeList(join(recipe.directory, VENDOR_FOLDER, VENDOR_LIST), list);
  return { folder: join(recipe.directory, VENDOR_FOLDER), blobs: list, added, unneeded };
}

/** Equal lists are equal bytes, and are not written again. */
async function writeList(path: string, blobs: readonly VendoredBlob[]): Promise<void> {
  const text = `${JSON.stringify({ version: 1, blobs }, undefined, 2)}\n`;
  const before = await readFile(path, 'utf8').catch(() => undefined);
  if (before !== text) await writeFileAtomic(path, text);
}

/** A copy that shares its blocks where the file system can, and appears whole or not at all. */
async function copyAtomic(from: string, to: string): Promise<void> {
  const temporary = await inTheMaking(to);
  try {
    await copyFile(from, temporary.path, constants.COPYFILE_FICLONE);
    const handle = await open(temporary.path, 'r');
    await handle.sync().finally(() => handle.close());
    await rename(temporary.path, to);
    temporary.release();
  } catch (error) {
    await temporary.discard();
    throw error;
  }
}

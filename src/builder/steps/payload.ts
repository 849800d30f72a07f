/** A payload, from what its build command made to its disk. */

import type { RecordedEntry } from '../../bundle/build-record.ts';
import { createNativeApkHasher } from '../../native/apk-hasher.ts';
import type { NativeLibrary } from '../../native/library.ts';
import { createNativeScanner } from '../../native/scan-tree.ts';
import type { Recipe } from '../../recipe/parse.ts';
import type { BuildKeys } from '../keys.ts';
import type { BuiltPayload } from '../payloads.ts';
import { addExtraApks } from './extra-apks.ts';
import { writePayloadApk } from './payload-apk.ts';
import { writePayloadDisk } from './payload-disk.ts';
import { planStart } from './payload-start.ts';

interface PayloadContext {
  readonly keys: BuildKeys['payload'];
  /** Digests of the certificates that the guest accepts. */
  readonly certificates: readonly string[];
  readonly library: NativeLibrary | undefined;
  readonly signal: AbortSignal;
}

export interface WrittenPayload {
  /** The library or program that runs. */
  readonly command: string;
  /** Root digests of the idsigs. */
  readonly apkRoot: Uint8Array;
  readonly extraApkRoots: readonly Uint8Array[];
  readonly entries: readonly RecordedEntry[];
}

/**
 * Makes and signs the APK, and writes the disk as a new file at `path`, which is not flushed yet.
 *
 * @throws {RecipeError} when the guest would refuse what comes of it.
 */
export async function writePayload(
  recipe: Recipe,
  payload: BuiltPayload,
  path: string,
  { keys, certificates, library, signal }: PayloadContext,
): Promise<WrittenPayload> {
  const hasher = library && createNativeApkHasher(library);
  const scan = library && createNativeScanner(library);
  const { start, command, config } = await planStart(recipe, payload);
  // The default payload's names are as they were before there were others.
  const name = [recipe.data.name, ...(payload.name === undefined ? [] : [payload.name])].join(' ');
  return writePayloadDisk(path, { name, start }, async (disk) => {
    const signed = await disk.addApk((place) =>
      writePayloadApk(recipe, payload, place, { config, scan, keys, hasher, signal }),
    );
    if (signed.idsig === undefined) throw new TypeError('The payload was signed without an idsig');
    signal.throwIfAborted();
    const extraApkRoots = await addExtraApks(recipe, disk, { payload, certificates, hasher });
    return { command, apkRoot: signed.idsig.rootHash, extraApkRoots, entries: signed.entries };
  });
}

/** The payload, from its build command to its disk. */

import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Cache } from '../../cache/store.ts';
import { createNativeApkHasher } from '../../native/apk-hasher.ts';
import type { NativeLibrary } from '../../native/library.ts';
import type { BuildOptions } from '../build.ts';
import type { GuestFiles } from '../guest.ts';
import type { BuildKeys } from '../keys.ts';
import { buildPayload } from './build-payload.ts';
import { prepareExtraApks } from './extra-apks.ts';
import { writePayload } from './payload-apk.ts';
import { writePayloadImage } from './payload-image.ts';
import { planStart } from './payload-start.ts';

interface PayloadContext {
  readonly cache: Cache;
  readonly guest: Pick<GuestFiles, 'arch' | 'runtime' | 'includeFolder' | 'libraryFolder'>;
  readonly keys: Pick<BuildKeys, 'payload'>;
  /** Digests of the certificates that the guest accepts. */
  readonly certificates: readonly string[];
  readonly library: NativeLibrary | undefined;
}

export interface WrittenPayload {
  /** The library or program that runs. */
  readonly command: string;
  /** Root digests of the idsigs. */
  readonly apkRoot: Uint8Array;
  readonly extraApkRoots: readonly Uint8Array[];
}

/**
 * Builds and signs the APK, and writes the disk as a new file at `path`.
 *
 * @throws {RecipeError} when the build fails, or the guest would refuse what comes of it.
 */
export async function writePayloadDisk(
  { recipe, packageRoot, env, signal, sourceDate }: BuildOptions,
  { cache, guest, keys, certificates, library }: PayloadContext,
  path: string,
): Promise<WrittenPayload> {
  const { arch, runtime, includeFolder, libraryFolder } = guest;
  const build = await buildPayload(recipe, {
    cache,
    env,
    signal,
    sourceDate,
    arch,
    runtime,
    toolFolder: join(packageRoot, '.tools', 'bin'),
    includeFolder,
    libraryFolder,
  });
  const scratch = await cache.temporaryFolder();
  try {
    const { start, command, config } = await planStart(recipe, build?.folder);
    const files = {
      apk: join(scratch, 'payload.apk'),
      idsig: join(scratch, 'payload.apk.idsig'),
      unsigned: join(scratch, 'unsigned.apk'),
    };
    const signed = await writePayload(recipe, build?.folder, config, files, keys.payload);
    if (signed.idsig === undefined) throw new TypeError('The payload was signed without an idsig');
    const extraApks = await prepareExtraApks(recipe, {
      buildFolder: build?.folder,
      scratch,
      certificates,
      hasher: library && createNativeApkHasher(library),
    });
    await writePayloadImage(path, { ...files, name: recipe.data.name, start, extraApks });
    return {
      command,
      apkRoot: signed.idsig.rootHash,
      extraApkRoots: extraApks.map(({ rootHash }) => rootHash),
    };
  } finally {
    await rm(scratch, { recursive: true, force: true });
    await build?.dispose();
  }
}

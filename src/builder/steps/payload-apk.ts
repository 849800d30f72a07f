/** Makes the payload APK out of the recipe, and signs it: APK Signature Scheme v3 (v2 when asked) and v4. */

import { stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { RecipeError } from '../../core/errors.ts';
import { buildApk } from '../../formats/apk/build.ts';
import { encodeManifest } from '../../formats/axml/manifest.ts';
import type { ZipInput } from '../../formats/zip/write.ts';
import { openFileSource } from '../../io/byte-source.ts';
import { fileContent, readDiskTree } from '../../io/disk-tree.ts';
import { walk } from '../../io/file-tree.ts';
import { createFileSink } from '../../io/image-sink.ts';
import type { Recipe } from '../../recipe/parse.ts';
import { signApk, type SignedApk } from '../../signing/apk/sign.ts';
import { inputPath } from '../inputs.ts';
import type { BuildKeys } from '../keys.ts';

/** The ABI name that Android gives an architecture is the one of its folder below `lib/`. */
const ABI = { x86_64: 'x86_64' } as const;

export interface PayloadFiles {
  readonly apk: string;
  readonly idsig: string;
}

/**
 * Writes the signed APK and its idsig as new files.
 *
 * @param buildFolder Where the build command left its outputs, if the recipe has one.
 * @param unsigned Path for the unsigned APK; the caller removes it.
 */
export async function writePayload(
  recipe: Recipe,
  buildFolder: string | undefined,
  paths: PayloadFiles & { readonly unsigned: string },
  keys: BuildKeys['payload'],
): Promise<SignedApk> {
  const { payload, signing, vm, arch } = recipe.data;
  const manifest = encodeManifest({
    package: payload.package,
    versionCode: payload.versionCode,
    ...(payload.versionName === undefined ? {} : { versionName: payload.versionName }),
    minSdk: payload.minSdk,
    targetSdk: payload.targetSdk,
    debuggable: vm.debug === 'full',
    hasCode: false,
    extractNativeLibs: false,
  });
  const entries = [
    ...(await libraries(recipe, buildFolder, `lib/${ABI[arch]}`)),
    ...(await assets(recipe)),
  ];
  const unsigned = await createFileSink(paths.unsigned);
  try {
    await buildApk({ manifest, entries }, unsigned);
  } finally {
    await unsigned.close();
  }
  const input = await openFileSource(paths.unsigned);
  const output = await createFileSink(paths.apk);
  const idsig = await createFileSink(paths.idsig);
  try {
    return await signApk({
      input,
      output,
      idsig,
      signers: [{ signer: keys.signer, certificates: [keys.certificateDer] }],
      schemes: { v1: false, v2: signing.payload.schemes.includes('v2'), v3: true },
    });
  } finally {
    await Promise.all([input.close(), output.close(), idsig.close()]);
  }
}

async function libraries(
  recipe: Recipe,
  buildFolder: string | undefined,
  folder: string,
): Promise<ZipInput[]> {
  const { payload } = recipe.data;
  const made = new Set(payload.build?.outputs);
  const paths = payload.libraries.x86_64;
  const entries: ZipInput[] = [];
  const seen = new Set<string>();
  for (const [index, path] of paths.entries()) {
    const name = basename(path);
    if (seen.has(name)) {
      throw new RecipeError([
        recipe.diagnosticAt(
          ['payload', 'libraries', 'x86_64', index],
          `Two libraries are called ${name}`,
          'Libraries of one ABI share a folder: rename one',
        ),
      ]);
    }
    seen.add(name);
    const file =
      buildFolder !== undefined && made.has(path)
        ? join(buildFolder, path)
        : inputPath(recipe, path);
    entries.push({
      name: `${folder}/${name}`,
      content: fileContent(file, (await stat(file)).size),
    });
  }
  return entries;
}

async function assets(recipe: Recipe): Promise<ZipInput[]> {
  const folder = recipe.data.payload.assets;
  if (folder === undefined) return [];
  const entries: ZipInput[] = [];
  const tree = await readDiskTree(inputPath(recipe, folder), 0);
  walk(tree, (path, inode) => {
    if (inode.kind === 'file') entries.push({ name: `assets${path}`, content: inode.content });
    else if (inode.kind !== 'directory') {
      throw new RecipeError([
        recipe.diagnosticAt(
          ['payload', 'assets'],
          `assets${path} is a symbolic link, which an APK cannot hold`,
          'Put the file itself there',
        ),
      ]);
    }
  });
  return entries;
}

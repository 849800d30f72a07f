/** Makes the payload APK out of the recipe, and signs it: APK Signature Scheme v3 (v2 when asked) and v4. */

import { stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { PAYLOAD_CONFIG_ENTRY } from '../../bundle/payload-config.ts';
import { RecipeError } from '../../core/errors.ts';
import { buildApk } from '../../formats/apk/build.ts';
import { encodeManifest, type Manifest } from '../../formats/axml/manifest.ts';
import { nameProblem, nameSet } from '../../formats/zip/names.ts';
import type { ZipInput } from '../../formats/zip/write.ts';
import { openFileSource } from '../../io/byte-source.ts';
import { fileContent, readDiskTree } from '../../io/disk-tree.ts';
import { bytesContent, walk } from '../../io/file-tree.ts';
import { createFileSink } from '../../io/image-sink.ts';
import { createNativeApkHasher } from '../../native/apk-hasher.ts';
import { loadNativeLibrary } from '../../native/library.ts';
import type { RecipePath } from '../../recipe/issues.ts';
import type { Recipe } from '../../recipe/parse.ts';
import { signApk, type SignedApk } from '../../signing/apk/sign.ts';
import { inputPath } from '../inputs.ts';
import type { BuildKeys } from '../keys.ts';

export interface PayloadFiles {
  readonly apk: string;
  readonly idsig: string;
}

/**
 * Writes the signed APK and its idsig as new files.
 *
 * @param buildFolder Where the build command left its outputs, if the recipe has one.
 * @param config Content of the configuration file, if it has one.
 * @param unsigned Path for the unsigned APK; the caller removes it.
 */
export async function writePayload(
  recipe: Recipe,
  buildFolder: string | undefined,
  config: Uint8Array | undefined,
  paths: PayloadFiles & { readonly unsigned: string },
  keys: BuildKeys['payload'],
): Promise<SignedApk> {
  const { signing } = recipe.data;
  const manifest = encodeManifest(manifestOf(recipe));
  const entries = await payloadEntries(recipe, buildFolder, config);
  const unsigned = await createFileSink(paths.unsigned);
  try {
    await buildApk({ manifest, entries }, unsigned);
  } finally {
    await unsigned.close({ flush: false });
  }
  const input = await openFileSource(paths.unsigned);
  const output = await createFileSink(paths.apk);
  const idsig = await createFileSink(paths.idsig);
  const library = await loadNativeLibrary();
  try {
    return await signApk({
      input,
      output,
      idsig,
      signers: [{ signer: keys.signer, certificates: [keys.certificateDer] }],
      schemes: { v1: false, v2: signing.payload.schemes.includes('v2'), v3: true },
      hasher: library && createNativeApkHasher(library),
    });
  } finally {
    // Both go into an image, which is flushed.
    const flush = false;
    await Promise.all([input.close(), output.close({ flush }), idsig.close({ flush })]);
  }
}

function manifestOf({ data: { payload, vm } }: Recipe): Manifest {
  const { versionName, features } = payload;
  return {
    package: payload.package,
    versionCode: payload.versionCode,
    ...(versionName !== undefined && { versionName }),
    minSdk: payload.minSdk,
    targetSdk: payload.targetSdk,
    debuggable: vm.debug === 'full',
    hasCode: false,
    extractNativeLibs: false,
    ...(features.length > 0 && { features }),
  };
}

/** An entry, and what of the recipe asks for it. */
interface PlannedEntry extends ZipInput {
  readonly at: RecipePath;
}

/**
 * Everything in the APK beside its manifest.
 *
 * @throws {RecipeError} naming all entries whose names readers could take differently.
 */
async function payloadEntries(
  recipe: Recipe,
  buildFolder: string | undefined,
  config: Uint8Array | undefined,
): Promise<readonly ZipInput[]> {
  const { payload } = recipe.data;
  const made = new Set(payload.build?.outputs);
  const entryOf = async (name: string, path: string, at: RecipePath): Promise<PlannedEntry> => {
    const isMade = buildFolder !== undefined && made.has(path);
    const file = isMade ? join(buildFolder, path) : inputPath(recipe, path);
    return { name, content: fileContent(file, (await stat(file)).size), at };
  };
  const entries: PlannedEntry[] = [];
  for (const [abi, paths] of Object.entries(payload.libraries)) {
    for (const [index, path] of (paths ?? []).entries()) {
      const at = ['payload', 'libraries', abi, index];
      entries.push(await entryOf(`lib/${abi}/${basename(path)}`, path, at));
    }
  }
  for (const [index, { file, to }] of payload.files.entries()) {
    entries.push(await entryOf(to, file, ['payload', 'files', index, 'to']));
  }
  entries.push(...(await assets(recipe)));
  if (config !== undefined) {
    const at = ['payload', 'config'];
    entries.push({ name: PAYLOAD_CONFIG_ENTRY, content: bytesContent(config), at });
  }
  checkNames(recipe, entries);
  return entries;
}

function checkNames(recipe: Recipe, entries: readonly PlannedEntry[]): void {
  const names = nameSet();
  const problems = entries.flatMap(({ name, at }) => {
    const problem = nameProblem(name) ?? names.add(name);
    if (problem === undefined) return [];
    const hint = 'Rename the file: every reader of the APK must find the same one';
    return [recipe.diagnosticAt(at, `${JSON.stringify(name)} in the APK ${problem}`, hint)];
  });
  if (problems.length > 0) throw new RecipeError(problems);
}

async function assets(recipe: Recipe): Promise<PlannedEntry[]> {
  const at = ['payload', 'assets'];
  const folder = recipe.data.payload.assets;
  if (folder === undefined) return [];
  const entries: PlannedEntry[] = [];
  const tree = await readDiskTree(inputPath(recipe, folder), 0);
  walk(tree, (path, inode) => {
    if (inode.kind === 'file') {
      entries.push({ name: `assets${path}`, content: inode.content, at });
    } else if (inode.kind !== 'directory') {
      throw new RecipeError([
        recipe.diagnosticAt(
          at,
          `assets${path} is a symbolic link, which an APK cannot hold`,
          'Put the file itself there',
        ),
      ]);
    }
  });
  return entries;
}

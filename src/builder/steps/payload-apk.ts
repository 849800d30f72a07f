/** Makes the payload APK out of the recipe, and signs it: APK Signature Scheme v3 (v2 when asked) and v4. */

import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import type { RecordedEntry } from '../../bundle/build-record.ts';
import { PAYLOAD_CONFIG_ENTRY } from '../../bundle/payload-config.ts';
import { RecipeError } from '../../core/errors.ts';
import { buildApk } from '../../formats/apk/build.ts';
import { encodeManifest, type Manifest } from '../../formats/axml/manifest.ts';
import { nameProblem, nameSet } from '../../formats/zip/names.ts';
import type { ZipInput } from '../../formats/zip/write.ts';
import { fileRange } from '../../io/byte-source.ts';
import { fileContent, readDiskTree, type DiskScanner } from '../../io/disk-tree.ts';
import { bytesContent, walk } from '../../io/file-tree.ts';
import type { RecipePath } from '../../recipe/issues.ts';
import type { Recipe } from '../../recipe/parse.ts';
import type { ApkHasher } from '../../signing/apk/content-digests.ts';
import { isLeftOut } from '../../signing/apk/sign-input.ts';
import { signBuiltApk, type SignedApk } from '../../signing/apk/sign.ts';
import { inputPath } from '../inputs.ts';
import type { BuildKeys } from '../keys.ts';
import type { BuiltPayload } from '../payloads.ts';
import { formatRecipePath } from '../recipe-path.ts';
import type { ApkPlace } from './payload-disk.ts';

export interface PayloadApkOptions {
  /** Content of the configuration file, if it has one. */
  readonly config: Uint8Array | undefined;
  /** What finds the files of folders; default: Node's functions. */
  readonly scan?: DiskScanner | undefined;
  readonly keys: BuildKeys['payload'];
  readonly hasher: ApkHasher | undefined;
  readonly signal: AbortSignal;
}

/**
 * Writes the signed APK and its idsig: the APK is written in its place, which is in a file, and signed there.
 *
 * @returns what is in it, too.
 */
export async function writePayloadApk(
  recipe: Recipe,
  payload: BuiltPayload,
  place: ApkPlace,
  { config, scan, keys, hasher, signal }: PayloadApkOptions,
): Promise<SignedApk & { readonly entries: readonly RecordedEntry[] }> {
  const { signing } = recipe.data;
  const { apk } = place;
  if (apk.file === undefined) throw new TypeError('A payload APK is made in a file');
  const manifest = encodeManifest(manifestOf(recipe, payload));
  const entries = await payloadEntries(recipe, payload, { config, scan });
  const built = await buildApk({ manifest, entries }, apk);
  const signed = await signBuiltApk({
    input: fileRange(apk.file, built.size, payload.data.package),
    output: apk,
    entries: built.entries,
    entriesEnd: built.centralDirectoryOffset,
    idsig: place.idsig,
    signers: [{ signer: keys.signer, certificates: [keys.certificateDer] }],
    schemes: { v1: false, v2: signing.payload.schemes.includes('v2'), v3: true },
    minSdk: payload.data.minSdk,
    hasher,
    signal,
  });
  const recorded = entries.map(({ name, at }) => ({ name, input: formatRecipePath(at) }));
  return { ...signed, entries: recorded };
}

function manifestOf({ data: { vm } }: Recipe, { data: payload }: BuiltPayload): Manifest {
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
  payload: BuiltPayload,
  { config, scan }: Pick<PayloadApkOptions, 'config' | 'scan'>,
): Promise<readonly PlannedEntry[]> {
  const { data, at: payloadAt, place } = payload;
  const entryOf = async (name: string, path: string, at: RecipePath): Promise<PlannedEntry> => {
    const file = place(path);
    return { name, content: fileContent(file, (await stat(file)).size), at };
  };
  const entries: PlannedEntry[] = [];
  for (const [abi, paths] of Object.entries(data.libraries)) {
    for (const [index, path] of (paths ?? []).entries()) {
      const at = [...payloadAt, 'libraries', abi, index];
      entries.push(await entryOf(`lib/${abi}/${basename(path)}`, path, at));
    }
  }
  for (const [index, { file, to }] of data.files.entries()) {
    entries.push(await entryOf(to, file, [...payloadAt, 'files', index, 'to']));
  }
  entries.push(...(await assets(recipe, payload, scan)));
  if (config !== undefined) {
    const at = [...payloadAt, 'config'];
    entries.push({ name: PAYLOAD_CONFIG_ENTRY, content: bytesContent(config), at });
  }
  checkNames(recipe, entries);
  return entries;
}

function checkNames(recipe: Recipe, entries: readonly PlannedEntry[]): void {
  const names = nameSet();
  const problems = entries.flatMap(({ name, at }) => {
    const own = isLeftOut(name) ? 'is a name of signers, who leave it out' : undefined;
    const problem = nameProblem(name) ?? names.add(name) ?? own;
    if (problem === undefined) return [];
    const hint = 'Rename the file: every reader of the APK must find the same one';
    return [recipe.diagnosticAt(at, `${JSON.stringify(name)} in the APK ${problem}`, hint)];
  });
  if (problems.length > 0) throw new RecipeError(problems);
}

async function assets(
  recipe: Recipe,
  payload: BuiltPayload,
  scan: DiskScanner | undefined,
): Promise<PlannedEntry[]> {
  const at = [...payload.at, 'assets'];
  const folder = payload.data.assets;
  if (folder === undefined) return [];
  const entries: PlannedEntry[] = [];
  const tree = await readDiskTree(inputPath(recipe, folder), 0, scan);
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

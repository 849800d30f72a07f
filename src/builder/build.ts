/**
 * One build: recipe to bundle. ARCHITECTURE.md tells its steps, `build-steps.ts` says what each needs.
 *
 * The bundle is written into a folder beside the final one and renamed when it is whole.
 */

import { mkdir, rm } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { UsageError } from '../core/errors.ts';
import type { Reporter } from '../core/events.ts';
import type { Audit } from '../cache/audit.ts';
import type { StampInputs, StampSubject } from '../cache/build-stamp.ts';
import { sizeBound } from '../cache/prune.ts';
import { digestFile, openCache, type Cache } from '../cache/store.ts';
import { ATTESTATION_FILES, attestationPath } from '../bundle/attest/files.ts';
import { isArchiveName, openBundleFiles, type FilePlace } from '../bundle/files.ts';
import { BUNDLE_FILES } from '../bundle/layout.ts';
import { formatManifest, type Manifest } from '../bundle/manifest.ts';
import { readMeasurements, type BundleMeasurements } from '../bundle/measure.ts';
import { openBundle } from '../bundle/open.ts';
import { checkBundleOutput, writeBundle } from '../bundle/write.ts';
import { plainFileReader } from '../io/file-signatures.ts';
import { targetOf } from '../io/atomic-output.ts';
import { passSystemErrors } from '../io/system-error.ts';
import { createNativeFileReader } from '../native/hash-files.ts';
import { loadNativeLibrary } from '../native/library.ts';
import type { Recipe } from '../recipe/parse.ts';
import { openBuildInputs } from './build-inputs.ts';
import { removeAttestations, writeAttestations } from './attest/attest.ts';
import type { BuildAttestation } from './attest/attest-step.ts';
import { addBuildSteps, type BuildContext, type BuildSteps } from './build-steps.ts';
import { openFileDigests } from './file-digests.ts';
import { createGraph, type Schedule } from './graph.ts';
import { findGuest } from './guest.ts';
import { openKnownFiles, type KnownFiles, type NewFile } from './known-files.ts';
import { openKnownImages, type KnownImages } from './known-images.ts';
import { checkInputs } from './inputs.ts';
import {
  keyOpener,
  resolveKeys,
  type BuildKeys,
  type ChosenKeys,
  type OpenBuildKey,
} from './keys.ts';
import { reportKeys, reviewBuild, type Review } from './review.ts';
import { stampWriter, type StampedResult } from './stamp.ts';

export interface BuildOptions {
  readonly recipe: Recipe;
  /** Becomes the bundle: a folder, or a file `NAME.mbundle`; what was there is replaced. */
  readonly output: string;
  /** Folder of microbuild's package.json, where the guest's programs are. */
  readonly packageRoot: string;
  /** Folder of the development keys. */
  readonly keyFolder: string;
  /** Keys that are named for this build, and go before those of the recipe. */
  readonly keys?: ChosenKeys | undefined;
  /** What signs, whatever the recipe names: as of a release that is built again by somebody else. */
  readonly signers?: BuildKeys | undefined;
  /** Opens keys, and closes them after the build; default: from wherever they are. */
  readonly openKey?: OpenBuildKey | undefined;
  /** Asked before anything is signed; rejects what must not be. */
  readonly review?: Review | undefined;
  /** Whether the key of the images signs the manifest, too. */
  readonly manifestSignature?: boolean | undefined;
  readonly cacheDirectory: string;
  /** Seconds since 1970: the one time in the output. */
  readonly sourceDate: number;
  /** Pins a package anew when no mirror has the pinned one any more, and goes on. */
  readonly relockMissing: boolean;
  /** Refuses what the lock does not pin, or pins otherwise: tools, and files of the recipe. */
  readonly locked?: boolean | undefined;
  /** Asks nothing but the cache and `vendor/` beside the recipe. */
  readonly offline?: boolean | undefined;
  readonly env: NodeJS.ProcessEnv;
  readonly reporter: Reporter;
  readonly signal?: AbortSignal | undefined;
  /** How it is attested; default: not at all. */
  readonly attestations?: BuildAttestation | undefined;
  /** Remembers the build, so that the next one may find that there is nothing to do. */
  readonly stamp?: BuildStamp | undefined;
  /** Runs steps again whose results are kept, and compares. */
  readonly audit?: Audit | undefined;
  /** Whether nothing is taken of images that were built before. */
  readonly force?: boolean | undefined;
  /**
   * Names the tool itself, and what runs it. With it, what was signed before by the same keys and would be the same again is
   * taken as it is; without it, all is signed anew: where each signature is logged, reviewed or counted.
   */
  readonly tool?: string | undefined;
  /** How many steps run at once, and in which order: it does not show in the bundle. */
  readonly schedule?: Schedule | undefined;
}

export interface BuildStamp {
  readonly subject: StampSubject;
  /** Begun before the recipe was read. */
  readonly inputs: StampInputs;
}

export type BuildResult = StampedResult;

/**
 * @throws {RecipeError} when the recipe or what it names cannot be used.
 * @throws {UsageError} `lock` when something is not pinned, or a pinned package is gone.
 */
export async function buildImage(options: BuildOptions): Promise<BuildResult> {
  const opener = keyOpener(options);
  try {
    return await buildWith(options, options.openKey ?? opener.open);
  } finally {
    await opener.close();
  }
}

async function buildWith(options: BuildOptions, open: OpenBuildKey): Promise<BuildResult> {
  const { recipe, reporter, env, signal } = options;
  await checkOutput(options);
  await checkInputs(recipe, {
    image: options.signers !== undefined || options.keys?.image?.reference !== undefined,
    payload: options.signers !== undefined || options.keys?.payload?.reference !== undefined,
  });
  const guest = await findGuest(options.packageRoot, recipe.data, env);
  const library = await loadNativeLibrary();
  const reader = library === undefined ? plainFileReader : createNativeFileReader(library);
  const { audit } = options;
  const cache = await openCache(options.cacheDirectory, { reader, audit, bound: sizeBound(env) });
  const files = openFileDigests(cache.directory, reader);
  const inputs = await openBuildInputs(recipe, { ...options, cache, files });
  const keys =
    options.signers ??
    (await resolveKeys(recipe, { ...options.keys, folder: options.keyFolder, open }));
  if (options.signers === undefined) reportKeys(keys, options);
  const attester = await attesterOf(options, keys, open);
  await reviewBuild(recipe, keys, options.review);

  const path = resolve(options.output);
  const scratch = await scratchFolder(cache, env);
  const remember = stampWriter(options, { cache, guest, keys, reader });
  try {
    await remember.forget();
    const images = openKnownImages(cache);
    const madeFiles = openKnownFiles(cache);
    const shared = {
      options,
      cache,
      guest,
      inputs,
      files,
      keys,
      attester,
      library,
      images,
      madeFiles,
      reader,
      scratch,
      remember,
    };
    const build = async (folder: string) => {
      const graph = createGraph(options, options.schedule);
      const steps = addBuildSteps(graph, { ...shared, folder });
      await graph.run();
      // Later another build may have replaced it.
      return { steps, measurements: await measure(folder) };
    };
    const { steps, measurements } = await writeBundle(path, build, signal);
    const manifest = steps.manifest.result();
    if (isArchiveName(path)) await attestArchive(path, steps);
    const isOurs = (): Promise<boolean> => hasManifest(path, manifest);
    const result = { path, manifest, measurements };
    try {
      await rememberOutputs({ images, madeFiles, isOurs }, path, steps);
      await remember.write(result, isOurs);
    } catch (error) {
      reportForgotten(error, cache, reporter);
    }
    await reportOutputs(path, manifest, reporter);
    return result;
  } finally {
    await rm(scratch, { recursive: true, force: true });
    await cache.close();
  }
}

/** Who signs the attestations: a key of its own, or that of the images. */
async function attesterOf(
  { recipe, attestations, keys: chosen }: BuildOptions,
  keys: BuildKeys,
  open: OpenBuildKey,
): Promise<BuildContext['attester']> {
  if (attestations === undefined) return undefined;
  const { reference, ...access } = chosen?.attestations ?? {};
  if (reference === undefined) return { ...attestations, signer: keys.image.signer };
  const { signer } = await open(reference, `${recipe.data.name} attestations`, access);
  return { ...attestations, signer };
}

/** The attestations of a bundle in one file are beside it; those of an older one go. */
async function attestArchive(path: string, { attested }: BuildSteps): Promise<void> {
  if (attested === undefined) await removeAttestations(path);
  else await writeAttestations(path, attested.result(), { isNew: false });
}

async function measure(path: string): Promise<BundleMeasurements> {
  const bundle = await openBundle(path);
  try {
    return await readMeasurements(bundle);
  } finally {
    await bundle.close();
  }
}

/** Whether a bundle, which other builds may replace at any time, is the one with this manifest. */
async function hasManifest(path: string, manifest: Manifest): Promise<boolean> {
  const expected = Buffer.from(formatManifest(manifest));
  try {
    const files = await openBundleFiles(path);
    try {
      const file = await files.open(BUNDLE_FILES.manifest);
      return file.size === expected.length && expected.equals(await file.read(0, file.size));
    } finally {
      await files.close();
    }
  } catch {
    // It is being replaced just now.
    return false;
  }
}

/** What the next build may take of this one. */
async function rememberOutputs(
  known: {
    readonly images: KnownImages;
    readonly madeFiles: KnownFiles;
    readonly isOurs: () => Promise<boolean>;
  },
  path: string,
  { os, made, manifest }: BuildSteps,
): Promise<void> {
  const files = made();
  const [image, ...places] =
    (await placesOf(path, [BUNDLE_FILES.os, ...files.map(({ name }) => name)])) ?? [];
  if (image === undefined) return;
  const { isOurs } = known;
  await known.images.remember(path, image, os.result().known, isOurs);
  const fresh: NewFile[] = [];
  for (const [index, { name, key, value }] of files.entries()) {
    const file = manifest.result().files.find((each) => each.path === name);
    const place = places[index];
    if (key === undefined || file === undefined || place === undefined) continue;
    const { sha256, size } = file;
    fresh.push({ key, place, sha256, size, value });
  }
  await known.madeFiles.remember(path, fresh, isOurs);
}

/** The bundle stands: what cannot be written down of it costs the next build time, nothing else. */
function reportForgotten(error: unknown, { directory }: Cache, reporter: Reporter): void {
  passSystemErrors(error);
  const { message } = error as NodeJS.ErrnoException;
  reporter.report({
    kind: 'warning',
    message: `Cannot remember this build in the cache ${directory}: ${message}`,
    hint: 'The bundle is whole; the next build takes longer. Make room there, or name another folder: export MICROBUILD_CACHE=FOLDER',
  });
}

/** Where files of a bundle are; undefined where another build is replacing it. */
async function placesOf(
  path: string,
  names: readonly string[],
): Promise<readonly FilePlace[] | undefined> {
  try {
    const files = await openBundleFiles(path);
    try {
      return await Promise.all(names.map((name) => files.place(name)));
    } finally {
      await files.close();
    }
  } catch (error) {
    if (error instanceof UsageError && error.code === 'input') return undefined;
    throw error;
  }
}

async function reportOutputs(path: string, manifest: Manifest, reporter: Reporter): Promise<void> {
  if (isArchiveName(path)) {
    reporter.report({ kind: 'output', path, ...(await digestFile(path)) });
    return;
  }
  for (const file of manifest.files) {
    reporter.report({ kind: 'output', ...file, path: join(path, file.path) });
  }
}

/** `check` names the folder: else no two builds would have one of the same name, in which paths may show. */
async function scratchFolder(cache: Cache, env: NodeJS.ProcessEnv): Promise<string> {
  const named = env['MICROBUILD_SCRATCH'];
  if (named === undefined) return cache.temporaryFolder();
  await mkdir(named, { mode: 0o700 });
  return named;
}

/** The output replaces what was there: that must be a bundle, or nothing, or an empty folder. */
async function checkOutput({ output, recipe, attestations }: BuildOptions): Promise<void> {
  const path = resolve(output);
  const [place, folder] = [await targetOf(path), await targetOf(recipe.directory)];
  if (folder === place || folder.startsWith(`${place}/`)) {
    throw new UsageError('output', `Cannot write the bundle to ${output}: the recipe is there`, {
      hint: 'Name another folder with --output',
    });
  }
  await checkBundleOutput(path);
  if (attestations !== undefined && isArchiveName(path)) checkNamesBeside(path);
}

/** Of a file, in bytes: as all usual file systems have it. */
const MAX_NAME = 255;

/** They are written behind the bundle: then it would be too late. */
function checkNamesBeside(path: string): void {
  const names = ATTESTATION_FILES.map((file) => basename(attestationPath(path, file)));
  const longest = Math.max(...names.map((name) => Buffer.byteLength(name)));
  if (longest <= MAX_NAME) return;
  throw new UsageError(
    'output',
    `Cannot write the attestations beside ${path}: their names would have up to ${longest} bytes, of ${MAX_NAME}`,
    { hint: 'Name a shorter one with --output, or leave them out: --no-attestations' },
  );
}

/**
 * One build: recipe to bundle. ARCHITECTURE.md tells its steps, `build-steps.ts` says what each needs.
 *
 * The bundle is written into a folder beside the final one and renamed when it is whole.
 */

import { mkdir, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { UsageError } from '../core/errors.ts';
import type { Reporter } from '../core/events.ts';
import type { Audit } from '../cache/audit.ts';
import type { StampInputs, StampSubject } from '../cache/build-stamp.ts';
import { sizeBound } from '../cache/prune.ts';
import { digestFile, openCache, type Cache } from '../cache/store.ts';
import { isArchiveName, openBundleFiles } from '../bundle/files.ts';
import { BUNDLE_FILES } from '../bundle/layout.ts';
import type { Manifest } from '../bundle/manifest.ts';
import { readMeasurements, type BundleMeasurements } from '../bundle/measure.ts';
import { openBundle } from '../bundle/open.ts';
import { checkBundleOutput, writeBundle } from '../bundle/write.ts';
import { plainFileReader } from '../io/file-signatures.ts';
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
  const remember = stampWriter(options, { cache, guest, keys });
  try {
    await remember.forget();
    const images = openKnownImages(cache);
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
      reader,
      scratch,
    };
    const build = async (folder: string): Promise<BuildSteps> => {
      const graph = createGraph(options, options.schedule);
      const steps = addBuildSteps(graph, { ...shared, folder });
      await graph.run();
      return steps;
    };
    const steps = await writeBundle(path, build, signal);
    const manifest = steps.manifest.result();
    if (isArchiveName(path)) await attestArchive(path, steps);
    await rememberImages(images, path, steps);
    const result = { path, manifest, measurements: await measure(path) };
    await remember.write(result, inputs.lock());
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

async function rememberImages(
  images: KnownImages,
  path: string,
  { os }: BuildSteps,
): Promise<void> {
  const files = await openBundleFiles(path);
  try {
    await images.remember(path, await files.place(BUNDLE_FILES.os), os.result().known);
  } finally {
    await files.close();
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
async function checkOutput({ output, recipe }: BuildOptions): Promise<void> {
  const path = resolve(output);
  if (recipe.directory === path || recipe.directory.startsWith(`${path}/`)) {
    throw new UsageError('output', `Cannot write the bundle to ${output}: the recipe is there`, {
      hint: 'Name another folder with --output',
    });
  }
  await checkBundleOutput(path);
}

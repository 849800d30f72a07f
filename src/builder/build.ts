/**
 * One build: recipe to bundle. ARCHITECTURE.md tells its steps; each is a file in `steps/`.
 *
 * The bundle is written into a folder beside the final one and renamed when it is whole.
 */

import { mkdir, readFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { sha256, toHex } from '../core/digest.ts';
import { UsageError } from '../core/errors.ts';
import type { Reporter } from '../core/events.ts';
import { openCache, digestFile } from '../cache/store.ts';
import { debToTree } from '../formats/tar/deb.ts';
import { openFileSource } from '../io/byte-source.ts';
import { writeFileSynced } from '../io/atomic-output.ts';
import { walk, type Directory } from '../io/file-tree.ts';
import { BUNDLE_FILES } from '../bundle/layout.ts';
import { isArchiveName } from '../bundle/files.ts';
import { formatManifest, type Manifest, type ManifestFile } from '../bundle/manifest.ts';
import { signManifest } from '../bundle/manifest-signature.ts';
import { vmConfig } from '../bundle/vm-config.ts';
import { checkBundleOutput, writeBundle } from '../bundle/write.ts';
import type { Lock, LockedDeb } from '../recipe/lockfile.ts';
import { loadNativeLibrary } from '../native/library.ts';
import type { Recipe } from '../recipe/parse.ts';
import { kernelSourceOf } from '../recipe/schema.ts';
import { avbPublicKey } from '../signing/avb/public-key.ts';
import { certificateDigest } from '../signing/x509.ts';
import { findGuest, guestTree } from './guest.ts';
import { checkInputs, inputPath, isLocalDeb } from './inputs.ts';
import { keyOpener, resolveKeys, type ChosenKeys, type OpenBuildKey } from './keys.ts';
import { openBlobs } from './fetch.ts';
import { requireLock } from './lock.ts';
import { updateLock } from './lock/update.ts';
import { reportKeys, reviewBuild, type Review } from './review.ts';
import type { AptContext } from './sources/apt.ts';
import { runStep } from './step.ts';
import { writeBootFiles } from './steps/boot-files.ts';
import { kernelFromDeb, kernelFromFile, type KernelSource } from './steps/kernel-source.ts';
import { kernelFiles } from './steps/kernel.ts';
import { writeOsImage } from './steps/os-image.ts';
import { checkKernelMounts } from './steps/kernel-mounts.ts';
import { writePayloadDisk } from './steps/payload.ts';
import { partitionTree } from './steps/partition-tree.ts';

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
  readonly env: NodeJS.ProcessEnv;
  readonly reporter: Reporter;
  readonly signal?: AbortSignal | undefined;
}

export interface BuildResult {
  readonly path: string;
  readonly manifest: Manifest;
}

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
  const { recipe, reporter, signal, sourceDate } = options;
  const { data } = recipe;
  await checkOutput(options);
  await checkInputs(recipe, {
    image: options.keys?.image?.reference !== undefined,
    payload: options.keys?.payload?.reference !== undefined,
  });
  const guest = await findGuest(options.packageRoot, data, options.env);
  const cache = await openCache(options.cacheDirectory);
  const apt: AptContext = { cache, env: options.env, signal };
  const blobs = openBlobs({ ...apt, recipe, reporter });
  let lock = await requireLock(recipe);
  const library = await loadNativeLibrary();
  const keys = await resolveKeys(recipe, { ...options.keys, folder: options.keyFolder, open });
  reportKeys(keys, options);
  await reviewBuild(recipe, keys, options.review);

  const pinned = async (name: string): Promise<{ deb: LockedDeb; path: string }> => {
    const deb = lockedDeb(lock, name);
    const update = `microbuild lock ${recipe.directory} --update ${name}`;
    try {
      return { deb, path: await blobs.fetch({ kind: 'deb', deb }, update) };
    } catch (error) {
      if (!options.relockMissing || !(error instanceof UsageError && error.code === 'lock')) {
        throw error;
      }
      const { lock: renewed } = await updateLock(recipe, [name], apt);
      lock = renewed;
      const fresh = lockedDeb(lock, name);
      reporter.report({
        kind: 'warning',
        message: `${deb.package} ${deb.version} is gone from its mirrors: microbuild.lock now pins ${fresh.package} ${fresh.version}`,
      });
      return { deb: fresh, path: await blobs.fetch({ kind: 'deb', deb: fresh }, update) };
    }
  };
  const treeOf = async (path: string, name: string): Promise<Directory> => {
    const source = await openFileSource(path, name);
    try {
      return await debToTree(source);
    } finally {
      await source.close();
    }
  };

  const kernelSource = async (
    from: ReturnType<typeof kernelSourceOf>,
  ): Promise<{ source: KernelSource; detail: string }> => {
    if ('file' in from) {
      const modules = from.modules && inputPath(recipe, from.modules);
      const path = inputPath(recipe, from.file);
      return { source: await kernelFromFile(recipe, { path, modules }), detail: from.file };
    }
    const { deb, path } = await pinned(from.deb);
    const tree = (): Promise<Directory> => treeOf(path, deb.package);
    return {
      source: kernelFromDeb(recipe, { sha256: deb.sha256, tree }),
      detail: `${deb.package} ${deb.version}`,
    };
  };
  const kernel = await runStep(options, 'kernel', 'Kernel and modules', async (note) => {
    const named = kernelSourceOf(data);
    const { source, detail } = await kernelSource(named);
    const files = await kernelFiles(recipe, source, cache);
    note.cached = files.cached;
    note.detail = `${detail}, ${files.modules.length} modules`;
    return {
      ...files,
      inputs: 'file' in named ? [{ name: named.file, version: 'file', sha256: source.digest }] : [],
    };
  });

  checkKernelMounts(recipe, kernel);

  const root = await runStep(options, 'system.tree', 'System files', async (note) => {
    // What no mirror has any more is pinned anew before the tree is made of what is pinned.
    for (const source of data.partitions['system']?.contents ?? []) {
      if ('deb' in source && !isLocalDeb(source.deb)) await pinned(source.deb);
    }
    const { tree } = await partitionTree(recipe, 'system', {
      lock,
      cache,
      blobs: openBlobs({ cache, recipe, env: options.env, signal }),
      guest: () => guestTree(guest, sourceDate),
      sourceDate,
      env: options.env,
      signal,
      note(event) {
        if (event.kind === 'warning') reporter.report(event);
      },
    });
    let count = 0;
    walk(tree, () => count++);
    note.detail = `${count} inodes`;
    return tree;
  });

  const path = resolve(options.output);
  const fill = async (folder: string): Promise<Manifest> => {
    const at = (name: string): string => join(folder, name);
    const os = await runStep(
      options,
      'system.image',
      'System image and hash tree',
      async (note) => {
        const { filesystem, verity } = data.partitions.system;
        const { vbmeta, partitions } = await writeOsImage(at(BUNDLE_FILES.os), {
          partitions: [{ name: 'system', tree: root, filesystem, hash: verity.hash }],
          sourceDate,
          rollbackIndex: data.signing.image.rollbackIndex,
          image: keys.image,
          library,
          signal,
        });
        const tree = partitions['system']?.tree;
        if (tree === undefined) throw new TypeError('The system partition was not written');
        note.detail = `root digest ${toHex(tree.rootDigest).slice(0, 16)}…`;
        return { vbmeta, tree };
      },
    );
    const certificates = data.trust.payload ?? [
      `sha256:${toHex(certificateDigest(keys.payload.certificateDer, 'sha256'))}`,
    ];
    const boot = await runStep(options, 'boot', 'Initrds and signed kernel', async (note) => {
      note.detail = keys.image.algorithm;
      return writeBootFiles(
        {
          name: data.name,
          vbmeta: os.vbmeta,
          payloadCertificates: certificates,
          init: guest.init,
          kernel,
          sourceDate,
          rollbackIndex: data.signing.image.rollbackIndex,
          image: keys.image,
        },
        {
          kernel: at(BUNDLE_FILES.kernel),
          initrdNormal: at(BUNDLE_FILES.initrdNormal),
          initrdDebuggable: at(BUNDLE_FILES.initrdDebuggable),
        },
      );
    });
    const made = await runStep(options, 'payload', 'Payload APK and idsig', async (note) => {
      const context = { cache, guest, keys, certificates, library };
      const payload = await writePayloadDisk(options, context, at(BUNDLE_FILES.payload));
      const extra = payload.extraApkRoots.length;
      note.detail = `${data.payload.package} ${data.payload.versionCode}${extra > 0 ? `, ${extra} extra APKs` : ''}`;
      return payload;
    });
    const interfaces = await copyInterfaces(recipe, at);
    const config = vmConfig({
      name: data.name,
      memoryMib: data.vm.memory,
      cpus: data.vm.cpus,
      debuggable: data.vm.debug === 'full',
    });
    await writeFileSynced(at(BUNDLE_FILES.vmConfig), `${JSON.stringify(config, undefined, 2)}\n`);
    return runStep(options, 'manifest', 'Manifest', async (note) => {
      const written: Manifest = {
        schemaVersion: 1,
        name: data.name,
        arch: data.arch,
        release: keys.image.development || keys.payload.development ? 'development' : 'release',
        keys: {
          image: {
            sha256: toHex(sha256(avbPublicKey(keys.image.signer.publicKey))),
            development: keys.image.development,
          },
          payload: {
            sha256: toHex(certificateDigest(keys.payload.certificateDer, 'sha256')),
            development: keys.payload.development,
          },
        },
        chain: {
          kernelDigest: toHex(boot.kernel.digest),
          initrdNormalDigest: toHex(boot.normal.digest),
          initrdDebuggableDigest: toHex(boot.debuggable.digest),
          vbmetaDigest: toHex(sha256(os.vbmeta)),
          systemRootDigest: toHex(os.tree.rootDigest),
          payloadCertificates: certificates,
          apkRootDigest: toHex(made.apkRoot),
          ...(made.extraApkRoots.length > 0 && {
            extraApkRootDigests: made.extraApkRoots.map(toHex),
          }),
          rollbackIndex: data.signing.image.rollbackIndex,
        },
        payload: {
          package: data.payload.package,
          versionCode: data.payload.versionCode,
          entry: made.command,
          rpcPort: data.vm.rpcPort ?? null,
          interfaces,
        },
        inputs: [
          ...kernel.inputs,
          ...Object.values(lock.debs).map((deb) => ({
            name: deb.package,
            version: deb.version,
            sha256: deb.sha256,
          })),
        ].sort((a, b) => (a.name < b.name ? -1 : 1)),
        files: await listFiles(folder, interfaces),
      };
      const text = formatManifest(written);
      await writeFileSynced(at(BUNDLE_FILES.manifest), text);
      if (options.manifestSignature === true) {
        const envelope = await signManifest(text, keys.image.signer);
        await writeFileSynced(at(BUNDLE_FILES.manifestSignature), envelope);
      }
      note.detail = `${written.files.length} files`;
      return written;
    });
  };
  const manifest = await writeBundle(path, fill, signal);
  if (isArchiveName(path)) {
    reporter.report({ kind: 'output', path, ...(await digestFile(path)) });
  } else {
    for (const file of manifest.files) {
      reporter.report({ kind: 'output', ...file, path: join(path, file.path) });
    }
  }
  return { path, manifest };
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

function lockedDeb(lock: Lock, name: string): LockedDeb {
  const deb = lock.debs[name];
  if (deb === undefined) throw new UsageError('lock', `microbuild.lock does not pin ${name}`);
  return deb;
}

async function copyInterfaces(recipe: Recipe, at: (name: string) => string): Promise<string[]> {
  const names: string[] = [];
  for (const path of recipe.data.payload.interfaces) {
    const name = `${BUNDLE_FILES.interfaces}/${basename(path)}`;
    if (names.length === 0) await mkdir(at(BUNDLE_FILES.interfaces));
    await writeFileSynced(at(name), await readFile(inputPath(recipe, path)));
    names.push(name);
  }
  return names;
}

async function listFiles(folder: string, interfaces: readonly string[]): Promise<ManifestFile[]> {
  const names = [
    BUNDLE_FILES.kernel,
    BUNDLE_FILES.initrdNormal,
    BUNDLE_FILES.initrdDebuggable,
    BUNDLE_FILES.os,
    BUNDLE_FILES.payload,
    BUNDLE_FILES.vmConfig,
    ...interfaces,
  ].sort((a, b) => (a < b ? -1 : 1));
  const files: ManifestFile[] = [];
  for (const path of names) files.push({ path, ...(await digestFile(join(folder, path))) });
  return files;
}

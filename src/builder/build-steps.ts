/** The graph of one build: which steps there are, and what each needs. ARCHITECTURE.md tells them in words. */

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { formatBuildRecord, type RecordedPackage } from '../bundle/build-record.ts';
import { BUNDLE_FILES } from '../bundle/layout.ts';
import { formatManifest, type Manifest } from '../bundle/manifest.ts';
import { signManifest } from '../bundle/manifest-signature.ts';
import { vmConfig } from '../bundle/vm-config.ts';
import type { Json } from '../cache/canonical-json.ts';
import { knowingReader } from '../cache/stat-digests.ts';
import type { Cache } from '../cache/store.ts';
import { toHex } from '../core/digest.ts';
import { writeFileSynced } from '../io/atomic-output.ts';
import type { NativeLibrary } from '../native/library.ts';
import { createNativeScanner } from '../native/scan-tree.ts';
import { kernelSourceOf } from '../recipe/schema.ts';
import type { Signer } from '../signing/signer.ts';
import { certificateDigest } from '../signing/x509.ts';
import type { AttestationFile } from './attest/attest.ts';
import { attestStep, type BuildAttestation } from './attest/attest-step.ts';
import { bootFiles, bootStep } from './boot-step.ts';
import type { BuildOptions } from './build.ts';
import type { FileReader } from '../io/file-signatures.ts';
import type { BuildInputs } from './build-inputs.ts';
import type { FileDigests } from './file-digests.ts';
import type { Graph, Step } from './graph.ts';
import { digestGuest, guestTree, readGuestCrates, type GuestFiles } from './guest.ts';
import { digestInputs } from './input-digests.ts';
import { isLocalDeb } from './inputs.ts';
import type { BuildKeys } from './keys.ts';
import type { KnownFiles } from './known-files.ts';
import type { KnownImages } from './known-images.ts';
import { encodeOs, osStep, type WrittenOs } from './os-step.ts';
import { encodeWritten, payloadStep, type PayloadDiskStep } from './payload-step.ts';
import { builtPayload, payloadsOf, type BuiltPayload, type RecipePayload } from './payloads.ts';
import { describeBuild, recordedPackage } from './record-build.ts';
import { buildPayload } from './steps/build-payload.ts';
import { copyInterfaces } from './steps/interfaces.ts';
import { checkKernelMounts } from './steps/kernel-mounts.ts';
import { kernelFiles } from './steps/kernel.ts';
import { describeBundle } from './steps/manifest.ts';
import { settleDisk, settleFile, type SettledDisk } from './steps/settle-file.ts';
import { partitionTree, type PartitionTree } from './steps/partition-tree.ts';
import type { StampWriter } from './stamp.ts';

/** What all steps share: opened before the first one, closed after the last. */
export interface BuildContext {
  readonly options: BuildOptions;
  readonly cache: Cache;
  readonly guest: GuestFiles;
  readonly inputs: BuildInputs;
  /** Of the recipe's own files. */
  readonly files: FileDigests;
  readonly keys: BuildKeys;
  /** Undefined when nothing is attested. */
  readonly attester: (BuildAttestation & { readonly signer: Signer }) | undefined;
  readonly library: NativeLibrary | undefined;
  /** Of earlier builds. */
  readonly images: KnownImages;
  readonly madeFiles: KnownFiles;
  readonly reader: FileReader;
  /** Where the bundle's files are written. */
  readonly folder: string;
  /** The one place for files that are gone after the build. */
  readonly scratch: string;
  readonly remember: Pick<StampWriter, 'look'>;
}

export interface BuildSteps {
  /** The last one. */
  readonly manifest: Step<Manifest>;
  readonly os: Step<WrittenOs>;
  /** Undefined when nothing is attested. */
  readonly attested: Step<readonly AttestationFile[]> | undefined;
  /** The files that the next build may take, by their names in the bundle, and what it needs to know of each then. */
  readonly made: () => readonly {
    readonly name: string;
    /** Undefined for one that must not be taken. */
    readonly key: string | undefined;
    readonly value: Json;
  }[];
}

/** Adds all steps of a build. */
export function addBuildSteps(graph: Graph, context: BuildContext): BuildSteps {
  const { options, keys, folder, library } = context;
  const { recipe, sourceDate } = options;
  const { data } = recipe;
  const at = (name: string): string => join(folder, name);
  const certificates = data.trust.payload ?? [
    `sha256:${toHex(keys.payload.accepted ?? certificateDigest(keys.payload.certificateDer, 'sha256'))}`,
  ];
  const payloads = payloadsOf(recipe);

  // Of those that are ready, the one that was added first starts first. Commands of payloads wait for other programs: they start
  // early. Then comes what takes longest from end to end: trees, the disk of them, and its digest.
  const built = payloads.map((payload) => payloadBuildStep(graph, context, payload));
  const trees = Object.keys(data.partitions).map((name) => treeStep(graph, context, name));
  const os = osStep(graph, context, trees);
  const settledOs = graph.step(
    { name: `settle ${BUNDLE_FILES.os}`, needs: [os] },
    async ([{ taken }]) => taken ?? settleFile(folder, BUNDLE_FILES.os, library),
  );
  const kernel = kernelStep(graph, context);

  const disks = payloads.map((payload, index) =>
    payloadStep(graph, context, payload, {
      built: built[index] as Step<BuiltPayload>,
      certificates,
    }),
  );

  const boot = bootStep(graph, context, { kernel, os, certificates });

  const interfaces = graph.step({ name: 'interfaces', needs: [] }, () =>
    copyInterfaces(recipe, payloads, folder),
  );
  const config = graph.step({ name: 'vm', needs: [] }, async () => {
    const vm = vmConfig({
      name: data.name,
      memoryMib: data.vm.memory,
      cpus: data.vm.cpus,
      debuggable: data.vm.debug === 'full',
    });
    await writeFileSynced(at(BUNDLE_FILES.vmConfig), `${JSON.stringify(vm, undefined, 2)}\n`);
  });
  const local = graph.step({ name: 'inputs', needs: [] }, () =>
    digestInputs(recipe, context.inputs.lock(), {
      files: context.files,
      scan: library && createNativeScanner(library),
    }),
  );
  const record = graph.step(
    { name: 'record', needs: [kernel, local, ...disks, ...trees] },
    async ([files, digests]) => {
      const described = await describeBuild(recipe, {
        packageRoot: options.packageRoot,
        sourceDate,
        lock: context.inputs.lock(),
        local: digests,
        kernel: files,
        guest: {
          sha256: await digestGuest(context.guest),
          crates: await readGuestCrates(context.guest),
        },
        packages: trees.flatMap((tree) => tree.result().packages),
        partitions: Object.fromEntries(
          trees.map((tree, index) => [
            Object.keys(data.partitions)[index] ?? '',
            { origins: tree.result().origins },
          ]),
        ),
        payloads: disks.map((disk, index) => ({
          name: payloads[index]?.name,
          entries: disk.result().entries,
        })),
      });
      await writeFileSynced(at(BUNDLE_FILES.buildRecord), formatBuildRecord(described));
      return described;
    },
  );

  // Each file is brought to the device, and hashed for the manifest, while other steps still work.
  const settle = (name: string, by: Step<unknown>) =>
    graph.step({ name: `settle ${name}`, needs: [by] }, () => settleFile(folder, name, library));
  const settledDisks = payloads.map(({ name = null, disk: file }, index) =>
    graph.step(
      { name: `settle ${file}`, needs: [disks[index] as Step<PayloadDiskStep>] },
      async ([{ taken }]): Promise<SettledDisk> => {
        if (taken !== undefined) return { file: taken };
        return context.attester === undefined
          ? { file: await settleFile(folder, file, library) }
          : settleDisk(folder, { name, file }, library);
      },
    ),
  );
  const settled = [
    settledOs,
    ...[BUNDLE_FILES.kernel, BUNDLE_FILES.initrdNormal, BUNDLE_FILES.initrdDebuggable].map((name) =>
      graph.step(
        { name: `settle ${name}`, needs: [boot] },
        async ([{ taken }]) =>
          taken.find(({ path }) => path === name) ?? settleFile(folder, name, library),
      ),
    ),
    settle(BUNDLE_FILES.vmConfig, config),
    settle(BUNDLE_FILES.buildRecord, record),
  ];

  // What was pinned anew was so by these.
  graph.step({ name: 'look', needs: [os, kernel, ...built] }, () =>
    context.remember.look(context.inputs.lock()),
  );

  const last = graph.step(
    {
      name: 'manifest',
      title: 'Manifest',
      needs: [kernel, os, boot, interfaces, ...settled, ...settledDisks, ...disks],
    },
    async ([files, image, { digests }, names], { note }) => {
      const own = [...new Set(names.flat())];
      const manifest = describeBundle(recipe, {
        keys,
        certificates,
        os: image,
        boot: digests,
        payloads: payloads.map((payload, index) => ({
          payload,
          written: (disks[index] as Step<PayloadDiskStep>).result(),
          interfaces: names[index] ?? [],
        })),
        kernelInputs: files.inputs,
        lock: context.inputs.lock(),
        files: [
          ...settled.map((step) => step.result()),
          ...settledDisks.map((step) => step.result().file),
          ...(await Promise.all(own.map((name) => settleFile(folder, name, library)))),
        ],
      });
      const text = formatManifest(manifest);
      await writeFileSynced(at(BUNDLE_FILES.manifest), text);
      if (options.manifestSignature === true) {
        const envelope = await signManifest(text, keys.image.signer);
        await writeFileSynced(at(BUNDLE_FILES.manifestSignature), envelope);
      }
      note.detail = `${manifest.files.length} files`;
      return manifest;
    },
  );
  const attested =
    context.attester &&
    attestStep(graph, context, context.attester, {
      payloads,
      disks: settledDisks,
      record,
      manifest: last,
    });
  return {
    manifest: last,
    os,
    attested,
    made: () => [
      { name: BUNDLE_FILES.os, key: os.result().key, value: encodeOs(os.result()) },
      ...bootFiles(boot.result()),
      ...disks.map((step, index) => {
        const { key, ...written } = step.result();
        return { name: payloads[index]?.disk ?? '', key, value: encodeWritten(written) };
      }),
    ],
  };
}

function kernelStep(graph: Graph, context: BuildContext) {
  const { inputs, cache, reader, library } = context;
  const { recipe } = context.options;
  const scan = library && createNativeScanner(library);
  return graph.step(
    { name: 'kernel', title: 'Kernel and modules', needs: [] },
    async (_, { note, signal, progress }) => {
      const readers = { reader: knowingReader(context.files, reader), scan };
      const { source, detail } = await inputs.kernel(readers, progress);
      const files = await kernelFiles(recipe, source, cache, signal);
      checkKernelMounts(recipe, { release: files.release, erofs: files.erofsConfig });
      note.cached = files.cached;
      note.detail = `${detail}, ${files.modules.length} modules`;
      const named = kernelSourceOf(recipe.data);
      return {
        ...files,
        inputs:
          'file' in named ? [{ name: named.file, version: 'file', sha256: source.digest }] : [],
      };
    },
  );
}

function payloadBuildStep(
  graph: Graph,
  { options, guest, scratch }: BuildContext,
  payload: RecipePayload,
): Step<BuiltPayload> {
  const { recipe, env, sourceDate, packageRoot } = options;
  const { build } = payload.data;
  const command = build?.command.join(' ');
  return graph.step(
    {
      name: `${payload.step}.build`,
      ...(command !== undefined && { title: `Build of ${payload.data.package}` }),
      needs: [],
    },
    async (_, { signal, note }) => {
      if (build === undefined) return builtPayload(recipe, payload, undefined);
      const folder = join(scratch, `${payload.step}.build`);
      await mkdir(folder);
      const { arch, runtime, includeFolder, libraryFolder } = guest;
      await buildPayload(recipe, payload, folder, {
        env,
        signal,
        sourceDate,
        arch,
        runtime,
        toolFolder: join(packageRoot, '.tools', 'bin'),
        includeFolder,
        libraryFolder,
      });
      note.detail = build.command.join(' ');
      return builtPayload(recipe, payload, folder);
    },
  );
}

interface StepTree extends PartitionTree {
  readonly packages: readonly RecordedPackage[];
}

function treeStep(graph: Graph, context: BuildContext, name: string): Step<StepTree> {
  const { options, guest, inputs, cache, library, files } = context;
  const { recipe, sourceDate, env, reporter } = options;
  return graph.step(
    {
      name: `${name}.tree`,
      title: name === 'system' ? 'System files' : `Files of ${name}`,
      needs: [],
    },
    async (_, { note, signal }) => {
      // What no mirror has any more is pinned anew before the tree is made of what is pinned.
      for (const source of recipe.data.partitions[name]?.contents ?? []) {
        if ('deb' in source && !isLocalDeb(source.deb)) await inputs.pinned(source.deb);
      }
      const packages: RecordedPackage[] = [];
      const made = await partitionTree(recipe, name, {
        lock: inputs.lock(),
        cache,
        blobs: inputs.blobs,
        guest: () => guestTree(guest, sourceDate),
        scan: library && createNativeScanner(library),
        digestOf: (path) => files.digestOf(path),
        sourceDate,
        env,
        signal,
        note(event, at) {
          if (event.kind === 'warning') reporter.report(event);
          else packages.push(recordedPackage(event, at));
        },
      });
      const count = made.origins.reduce((sum, [run]) => sum + run, 0);
      note.detail = `${count} inodes`;
      return { ...made, packages };
    },
  );
}

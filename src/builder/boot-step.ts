/** The step that makes the initrds and the signed kernel, unless an earlier build has made the same. */

import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { BUNDLE_FILES } from '../bundle/layout.ts';
import type { ManifestFile } from '../bundle/manifest.ts';
import { canonicalJson, type Json } from '../cache/canonical-json.ts';
import { fromHex, sha256, toHex } from '../core/digest.ts';
import type { BuildContext } from './build-steps.ts';
import type { Graph, Step } from './graph.ts';
import type { WrittenOs } from './os-step.ts';
import { writeBootFiles, type BootOptions } from './steps/boot-files.ts';
import type { KernelFiles } from './steps/kernel.ts';

const FILES = {
  kernel: BUNDLE_FILES.kernel,
  normal: BUNDLE_FILES.initrdNormal,
  debuggable: BUNDLE_FILES.initrdDebuggable,
} as const;
type BootFile = keyof typeof FILES;
const NAMES = Object.keys(FILES) as readonly BootFile[];

export interface WrittenBoot {
  /** Those that the kernel's vbmeta pins. */
  readonly digests: Readonly<Record<BootFile, Uint8Array>>;
  /** What the files are known as; undefined when the next build must not take them. */
  readonly key: string | undefined;
  /** Those that were taken as they are, and are on the device. */
  readonly taken: readonly ManifestFile[];
}

export function bootStep(
  graph: Graph,
  context: BuildContext,
  needs: {
    readonly kernel: Step<KernelFiles>;
    readonly os: Step<WrittenOs>;
    readonly certificates: readonly string[];
  },
): Step<WrittenBoot> {
  const { options, keys, cache, folder, guest } = context;
  const { data } = options.recipe;
  return graph.step(
    { name: 'boot', title: 'Initrds and signed kernel', needs: [needs.kernel, needs.os] },
    async ([kernel, { vbmeta }], { note }) => {
      note.detail = keys.image.algorithm;
      const further = Object.entries(data.partitions).filter(([name]) => name !== 'system');
      const boot: BootOptions = {
        name: data.name,
        vbmeta,
        mounts: Object.fromEntries(further.map(([name, { mount }]) => [name, mount])),
        payloadCertificates: needs.certificates,
        init: guest.init,
        kernel,
        sourceDate: options.sourceDate,
        rollbackIndex: data.signing.image.rollbackIndex,
        image: keys.image,
        cache,
      };
      const key = await bootKey(boot, context);
      const found =
        key === undefined || options.force === true ? undefined : await take(key, context);
      if (found !== undefined) {
        note.cached = true;
        return { ...found, key };
      }
      const {
        kernel: ofKernel,
        normal,
        debuggable,
      } = await writeBootFiles(boot, {
        kernel: join(folder, FILES.kernel),
        initrdNormal: join(folder, FILES.normal),
        initrdDebuggable: join(folder, FILES.debuggable),
      });
      return {
        digests: {
          kernel: ofKernel.digest,
          normal: normal.digest,
          debuggable: debuggable.digest,
        },
        // The program in it may have been made anew meanwhile.
        key: key === (await bootKey(boot, context)) ? key : undefined,
        taken: [],
      };
    },
  );
}

/** All files that an earlier build has made, or none of them. */
async function take(
  key: string,
  { madeFiles, folder, options }: BuildContext,
): Promise<Pick<WrittenBoot, 'digests' | 'taken'> | undefined> {
  const taken: ManifestFile[] = [];
  let digests: WrittenBoot['digests'] | undefined;
  for (const path of Object.values(FILES)) {
    const made = await madeFiles.take(fileKey(key, path), options.output, join(folder, path));
    if (made === undefined) {
      await Promise.all(taken.map((file) => rm(join(folder, file.path))));
      return undefined;
    }
    taken.push({ path, sha256: made.sha256, size: made.size });
    digests ??= decodeDigests(made.value);
  }
  return digests && { digests, taken };
}

/** What is remembered of each file. */
export const bootFiles = ({
  key,
  digests,
}: WrittenBoot): readonly { name: string; key: string | undefined; value: Json }[] =>
  NAMES.map((file) => ({
    name: FILES[file],
    key: key && fileKey(key, FILES[file]),
    value: Object.fromEntries(NAMES.map((each) => [each, toHex(digests[each])])),
  }));

const decodeDigests = (value: Json): WrittenBoot['digests'] => {
  const { kernel, normal, debuggable } = value as Readonly<Record<BootFile, string>>;
  return {
    kernel: fromHex(kernel),
    normal: fromHex(normal),
    debuggable: fromHex(debuggable),
  };
};

const fileKey = (key: string, path: string): string =>
  createHash('sha256').update(`${key} ${path}`).digest('hex');

/** Of all that decides about the bytes of these files; undefined where signatures are made anew. */
async function bootKey(
  boot: BootOptions,
  { options: { tool }, files }: BuildContext,
): Promise<string | undefined> {
  if (tool === undefined) return undefined;
  const { name, vbmeta, mounts, payloadCertificates, kernel, image } = boot;
  const decides = {
    tool,
    name,
    vbmeta: toHex(sha256(vbmeta)),
    mounts,
    payloadCertificates,
    init: (await files.digestOf(boot.init)).sha256,
    kernel: kernel.sha256,
    modules: kernel.modules.map((module) => [module.name, module.sha256]),
    sourceDate: boot.sourceDate,
    rollbackIndex: boot.rollbackIndex,
    algorithm: image.algorithm,
    publicKey: toHex(image.signer.publicKey.export({ type: 'spki', format: 'der' })),
  };
  return createHash('sha256').update(canonicalJson(decides)).digest('hex');
}

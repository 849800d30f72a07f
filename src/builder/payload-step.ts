/** The step that makes a payload's disk, unless an earlier build has made the same. */

import { join } from 'node:path';
import type { ManifestFile } from '../bundle/manifest.ts';
import type { Json } from '../cache/canonical-json.ts';
import { fromHex, toHex } from '../core/digest.ts';
import { createNativeScanner } from '../native/scan-tree.ts';
import type { BuildContext } from './build-steps.ts';
import type { Graph, Step } from './graph.ts';
import { identifyPayload } from './payload-identity.ts';
import type { BuiltPayload, RecipePayload } from './payloads.ts';
import { writePayload, type WrittenPayload } from './steps/payload.ts';

export interface PayloadDiskStep extends WrittenPayload {
  /** What its disk is known as; undefined when the next build must not take it. */
  readonly key: string | undefined;
  /** Of a disk that was taken as it is, and is on the device. */
  readonly taken: ManifestFile | undefined;
}

export function payloadStep(
  graph: Graph,
  context: BuildContext,
  payload: RecipePayload,
  { built, certificates }: { built: Step<BuiltPayload>; certificates: readonly string[] },
): Step<PayloadDiskStep> {
  const { options, keys, library, cache, reader, madeFiles } = context;
  const { recipe, tool, output } = options;
  const path = join(context.folder, payload.disk);
  return graph.step(
    {
      name: payload.step,
      title: payload.name === undefined ? 'Payload APK and idsig' : `Payload ${payload.name}`,
      needs: [built],
    },
    async ([made], { note, signal }) => {
      const identity =
        tool === undefined
          ? undefined
          : await identifyPayload(recipe, made, {
              tool,
              keys: keys.payload,
              certificates,
              cacheDirectory: cache.directory,
              reader,
              scan: library && createNativeScanner(library),
            });
      const describe = ({ extraApkRoots }: WrittenPayload): string => {
        const extra = extraApkRoots.length;
        return `${payload.data.package} ${payload.data.versionCode}${extra > 0 ? `, ${extra} extra APKs` : ''}`;
      };
      const key = identity?.key;
      const found =
        key === undefined || options.force === true
          ? undefined
          : await madeFiles.take(key, output, path);
      if (found !== undefined) {
        const written = decodeWritten(found.value);
        note.cached = true;
        note.detail = describe(written);
        const { sha256, size } = found;
        return { ...written, key, taken: { path: payload.disk, sha256, size } };
      }
      const written = await writePayload(recipe, made, path, {
        keys: keys.payload,
        certificates,
        library,
        signal,
      });
      note.detail = describe(written);
      const isKnown = (await identity?.isUnchanged()) === true;
      return { ...written, key: isKnown ? key : undefined, taken: undefined };
    },
  );
}

/** What is remembered beside a disk. */
export const encodeWritten = ({
  command,
  apkRoot,
  extraApkRoots,
  entries,
}: WrittenPayload): Json => ({
  command,
  apkRoot: toHex(apkRoot),
  extraApkRoots: extraApkRoots.map(toHex),
  entries: entries.map(({ name, input }) => [name, input]),
});

function decodeWritten(value: Json): WrittenPayload {
  const { command, apkRoot, extraApkRoots, entries } = value as unknown as {
    readonly command: string;
    readonly apkRoot: string;
    readonly extraApkRoots: readonly string[];
    readonly entries: readonly (readonly [name: string, input: string])[];
  };
  return {
    command,
    apkRoot: fromHex(apkRoot),
    extraApkRoots: extraApkRoots.map(fromHex),
    entries: entries.map(([name, input]) => ({ name, input })),
  };
}

/** The step that writes the disk of the partitions, with what earlier builds have of them. */

import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { BUNDLE_FILES } from '../bundle/layout.ts';
import type { ManifestFile } from '../bundle/manifest.ts';
import { canonicalJson, type Json } from '../cache/canonical-json.ts';
import { fromHex, toHex } from '../core/digest.ts';
import type { PartitionData } from '../recipe/partition-schema.ts';
import type { BuildContext } from './build-steps.ts';
import { identifyContents, type ContentIdentity } from './content-identity.ts';
import type { Graph, Step } from './graph.ts';
import type { ImageRecord } from './image-record.ts';
import type { BuildKeys } from './keys.ts';
import { writeOsImage, type OsImage } from './steps/os-image.ts';
import type { PartitionTree } from './steps/partition-tree.ts';

/** An image that was written, for the builds to come. */
export interface NewImage {
  readonly name: string;
  readonly key: string | undefined;
  readonly record: ImageRecord;
}

export interface WrittenOs {
  /** The signed vbmeta of `vbmeta_a`, not padded: what the bootconfig pins. */
  readonly vbmeta: Uint8Array;
  /** By name, in the order of the recipe. */
  readonly partitions: Readonly<Record<string, OsPartitionPlace>>;
  /** Those whose record is right. */
  readonly known: readonly NewImage[];
  /** What the disk is known as; undefined when the next build must not take it. */
  readonly key: string | undefined;
  /** Of a disk that was taken as it is, and is on the device. */
  readonly taken: ManifestFile | undefined;
}

export interface OsPartitionPlace {
  readonly rootDigest: Uint8Array;
  /** Where it starts on the disk, in bytes. */
  readonly offset: number;
}

/** Raised when equal trees make other images than before. */
const IMAGE_VERSION = 1;

/** @param trees In the order of the recipe's partitions. */
export function osStep(
  graph: Graph,
  context: BuildContext,
  trees: readonly Step<PartitionTree>[],
): Step<WrittenOs> {
  const { options, keys, library, images, cache, reader, madeFiles } = context;
  const { sourceDate, recipe, output, tool } = options;
  const { partitions, signing } = recipe.data;
  const contents = Object.entries(partitions).map(([name, data], index) =>
    graph.step(
      { name: `${name}.contents`, needs: [trees[index] as Step<PartitionTree>] },
      async ([{ tree }]) => {
        const identity = await identifyContents(tree, { cacheDirectory: cache.directory, reader });
        const key = imageKey(name, data, identity, sourceDate);
        const found = options.force === true ? undefined : await images.find(key, output, name);
        return { name, data, tree, identity, key, found };
      },
    ),
  );
  return graph.step(
    { name: 'system.image', title: 'System image and hash tree', needs: contents },
    async (parts, { note, signal, progress }) => {
      const path = join(context.folder, BUNDLE_FILES.os);
      const tell = (places: WrittenOs['partitions']): void => {
        const roots = Object.values(places).map(({ rootDigest }) => toHex(rootDigest));
        note.detail = `root digest ${roots.map((root) => `${root.slice(0, 16)}…`).join(', ')}`;
      };
      const key = diskKey(parts, tool, keys.image, signing.image.rollbackIndex);
      // Without the record of each image the next change would make all of it anew.
      const isKnown = key !== undefined && parts.every(({ found }) => found?.isSame === true);
      const made = isKnown ? await madeFiles.take(key, output, path) : undefined;
      if (made !== undefined) {
        const disk = decodeOs(made.value);
        note.cached = true;
        tell(disk.partitions);
        const known = parts.flatMap(({ name, key: image, found }) => {
          const place = disk.partitions[name];
          if (found === undefined || place === undefined) return [];
          return [{ name, key: image, record: { ...found.record, offset: place.offset } }];
        });
        const taken = { path: BUNDLE_FILES.os, sha256: made.sha256, size: made.size };
        return { ...disk, known, key, taken };
      }
      const write = (previous: 'taken' | 'left'): Promise<OsImage> =>
        writeOsImage(path, {
          partitions: parts.map(({ name, data, tree, identity, found }) => {
            const { hash, fec, salt } = data.verity;
            return {
              name,
              tree,
              filesystem: data.filesystem,
              hash,
              fec,
              salt: salt === undefined ? undefined : fromHex(salt),
              previous: previous === 'taken' ? found : undefined,
              contentDigest: identity.digestOf,
            };
          }),
          sourceDate,
          rollbackIndex: signing.image.rollbackIndex,
          image: keys.image,
          library,
          signal,
          onProgress: progress,
        });
      const isUnchanged = async (): Promise<boolean> => {
        for (const { found } of parts) if ((await found?.isUnchanged()) === false) return false;
        return true;
      };
      /** Undefined when what is taken was replaced by another build meanwhile. */
      const writeWithFound = async (): Promise<OsImage | undefined> => {
        try {
          const written = await write('taken');
          if (await isUnchanged()) return written;
        } catch (error) {
          if (signal.aborted || (await isUnchanged())) throw error;
        }
        await rm(path, { force: true });
        return undefined;
      };
      const quick = await writeWithFound();
      const image = quick ?? (await write('left'));
      const known: NewImage[] = [];
      for (const { name, key: ofImage, identity } of parts) {
        const record = image.partitions[name]?.record;
        if (record && (await identity.isUnchanged())) known.push({ name, key: ofImage, record });
      }
      const places = Object.fromEntries(
        Object.entries(image.partitions).map(([name, { tree, record }]) => [
          name,
          { rootDigest: tree.rootDigest, offset: record.offset },
        ]),
      );
      note.cached = quick !== undefined && parts.every(({ found }) => found?.isSame === true);
      tell(places);
      const isRight = known.length === parts.length;
      return {
        vbmeta: image.vbmeta,
        partitions: places,
        known,
        key: isRight ? key : undefined,
        taken: undefined,
      };
    },
  );
}

/** What is remembered beside a disk. */
export const encodeOs = ({ vbmeta, partitions }: WrittenOs): Json => ({
  vbmeta: toHex(vbmeta),
  partitions: Object.entries(partitions).map(([name, { rootDigest, offset }]) => [
    name,
    toHex(rootDigest),
    offset,
  ]),
});

function decodeOs(value: Json): Pick<WrittenOs, 'vbmeta' | 'partitions'> {
  const { vbmeta, partitions } = value as unknown as {
    readonly vbmeta: string;
    readonly partitions: readonly (readonly [name: string, root: string, offset: number])[];
  };
  return {
    vbmeta: fromHex(vbmeta),
    partitions: Object.fromEntries(
      partitions.map(([name, root, offset]) => [name, { rootDigest: fromHex(root), offset }]),
    ),
  };
}

/** Of all that decides about the whole disk; undefined when that is not known. */
function diskKey(
  parts: readonly { readonly key: string | undefined }[],
  tool: string | undefined,
  { algorithm, signer }: BuildKeys['image'],
  rollbackIndex: number,
): string | undefined {
  const images = parts.map(({ key }) => key ?? null);
  if (tool === undefined || images.includes(null)) return undefined;
  const publicKey = toHex(signer.publicKey.export({ type: 'spki', format: 'der' }));
  const decides = { disk: 'os', tool, images, algorithm, publicKey, rollbackIndex };
  return createHash('sha256').update(canonicalJson(decides)).digest('hex');
}

/** Of all that decides about an image; undefined when its contents are not known. */
function imageKey(
  name: string,
  { filesystem, verity }: PartitionData,
  { treeDigest }: ContentIdentity,
  sourceDate: number,
): string | undefined {
  if (treeDigest === undefined) return undefined;
  const parts = { version: IMAGE_VERSION, name, filesystem, verity, treeDigest, sourceDate };
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}

/** The step that writes the disk of the partitions, with what earlier builds have of them. */

import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { BUNDLE_FILES } from '../bundle/layout.ts';
import { fromHex, toHex } from '../core/digest.ts';
import type { PartitionData } from '../recipe/partition-schema.ts';
import type { BuildContext } from './build-steps.ts';
import { identifyContents, type ContentIdentity } from './content-identity.ts';
import type { Graph, Step } from './graph.ts';
import type { ImageRecord } from './image-record.ts';
import type { KernelFiles } from './steps/kernel.ts';
import { writeOsImage, type OsImage } from './steps/os-image.ts';
import type { PartitionTree } from './steps/partition-tree.ts';

/** An image that was written, for the builds to come. */
export interface NewImage {
  readonly name: string;
  readonly key: string | undefined;
  readonly record: ImageRecord;
}

export interface WrittenOs {
  readonly image: OsImage;
  /** Those whose record is right. */
  readonly known: readonly NewImage[];
}

/** Raised when equal trees make other images than before. */
const IMAGE_VERSION = 1;

/** @param trees In the order of the recipe's partitions. */
export function osStep(
  graph: Graph,
  context: BuildContext,
  kernel: Step<KernelFiles>,
  trees: readonly Step<PartitionTree>[],
): Step<WrittenOs> {
  const { options, keys, library, images, cache, reader } = context;
  const { sourceDate, recipe, output } = options;
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
    { name: 'system.image', title: 'System image and hash tree', needs: [kernel, ...contents] },
    async ([, ...parts], { note, signal, progress }) => {
      const path = join(context.folder, BUNDLE_FILES.os);
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
      const isRight = async (): Promise<boolean> => {
        for (const { found } of parts) if ((await found?.isUnchanged()) === false) return false;
        return true;
      };
      /** Undefined when what is taken was replaced by another build meanwhile. */
      const writeWithFound = async (): Promise<OsImage | undefined> => {
        try {
          const written = await write('taken');
          if (await isRight()) return written;
        } catch (error) {
          if (signal.aborted || (await isRight())) throw error;
        }
        await rm(path, { force: true });
        return undefined;
      };
      const quick = await writeWithFound();
      const image = quick ?? (await write('left'));
      const known: NewImage[] = [];
      for (const { name, key, identity } of parts) {
        const record = image.partitions[name]?.record;
        if (record && (await identity.isUnchanged())) known.push({ name, key, record });
      }
      const roots = Object.values(image.partitions).map(({ tree }) => toHex(tree.rootDigest));
      note.cached = quick !== undefined && parts.every(({ found }) => found?.isSame === true);
      note.detail = `root digest ${roots.map((root) => `${root.slice(0, 16)}…`).join(', ')}`;
      return { image, known };
    },
  );
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

/**
 * Writes `os.img`: the signed `vbmeta_a`, then each partition with its hash tree and AVB footer.
 *
 * Salts and identifiers come from the names of partitions, never from chance or from the recipe: equal
 * trees give equal images.
 */

import { sha256 } from '../../core/digest.ts';
import { createFileSink, offsetSink, type FileSink } from '../../io/image-sink.ts';
import type { Directory } from '../../io/file-tree.ts';
import { guidFromDigest, layoutGpt, writeGpt, type GptLayout } from '../../formats/gpt/gpt.ts';
import type { Descriptor } from '../../formats/avb/descriptor.ts';
import { LABELS, partitionLabel, VBMETA_PARTITION_SIZE } from '../../bundle/layout.ts';
import {
  addHashtreeFooter,
  dynamicPartitionSize,
  signVbmeta,
  type VbmetaSigning,
} from '../../signing/avb/sign.ts';
import type { BuildKeys } from '../keys.ts';
import type { ContentDigest, PreviousImage } from '../image-reuse.ts';
import {
  writePartitionImage,
  type PartitionImage,
  type PartitionImageOptions,
} from './partition-image.ts';

const BLOCK_SIZE = 4096;
/** Of the name of an EROFS volume, in bytes. */
const MAX_VOLUME_NAME = 15;

/** A partition to be written. */
export interface OsPartition extends Pick<PartitionImageOptions, 'filesystem' | 'hash' | 'fec'> {
  readonly name: string;
  readonly tree: Directory;
  /** Default: derived from the name. */
  readonly salt?: Uint8Array | undefined;
  /** One that was written before and has not changed since. */
  readonly previous?: PreviousImage | undefined;
  readonly contentDigest?: ContentDigest | undefined;
}

export interface OsImageOptions extends Pick<
  PartitionImageOptions,
  'library' | 'signal' | 'onProgress'
> {
  /** In the order in which they will stand. */
  readonly partitions: readonly OsPartition[];
  readonly sourceDate: number;
  readonly rollbackIndex: number;
  readonly image: BuildKeys['image'];
}

export interface OsImage {
  /** The signed vbmeta of `vbmeta_a`, not padded: what the bootconfig pins. */
  readonly vbmeta: Uint8Array;
  /** By name. */
  readonly partitions: Readonly<Record<string, PartitionImage>>;
}

const seed = (text: string): Uint8Array => sha256(Buffer.from(`microbuild ${text}`));

/** The partitions of the disk so far, by size. */
function layoutFor(sizes: readonly { readonly name: string; readonly size: number }[]): GptLayout {
  const partition = (label: string, size: number) => ({
    label,
    size,
    guid: guidFromDigest(seed(label)),
  });
  return layoutGpt({
    diskGuid: guidFromDigest(seed('os disk')),
    partitions: [
      partition(LABELS.vbmeta, VBMETA_PARTITION_SIZE),
      ...sizes.map(({ name, size }) => partition(partitionLabel(name), size)),
    ],
  });
}

/** Writes a new file at `path`, which is not flushed yet. */
export async function writeOsImage(path: string, options: OsImageOptions): Promise<OsImage> {
  const signing = {
    algorithm: options.image.algorithm,
    signer: options.image.signer,
    rollbackIndex: BigInt(options.rollbackIndex),
  };
  const file = await createFileSink(path);
  try {
    const sizes: { name: string; size: number }[] = [];
    const written: [string, PartitionImage][] = [];
    const descriptors: Descriptor[] = [];
    for (const partition of options.partitions) {
      const { name } = partition;
      // Where the last partition starts does not depend on its size, which shows when it is written.
      const { partitions } = layoutFor([...sizes, { name, size: BLOCK_SIZE }]);
      const offset = partitions.at(-1)?.offset ?? 0;
      const { image, size, descriptor } = await writePartition(
        partition,
        file,
        { path, offset },
        signing,
        options,
      );
      sizes.push({ name, size });
      written.push([name, image]);
      descriptors.push(descriptor);
    }
    const layout = layoutFor(sizes);
    await writeGpt(file, layout);
    const vbmeta = await signVbmeta({ ...signing, descriptors });
    await file.write(layout.partitions[0]?.offset ?? 0, vbmeta);
    return { vbmeta, partitions: Object.fromEntries(written) };
  } finally {
    await file.close({ flush: false });
  }
}

/** Writes a partition with its footer. */
async function writePartition(
  { name, tree: root, ...partition }: OsPartition,
  file: FileSink,
  place: { readonly path: string; readonly offset: number },
  signing: VbmetaSigning,
  { sourceDate, library, signal, onProgress }: OsImageOptions,
): Promise<{
  readonly image: PartitionImage;
  readonly size: number;
  readonly descriptor: Descriptor;
}> {
  const sink = offsetSink(file, place.offset);
  const { filesystem, hash, fec, salt = seed(`${name} salt`), previous, contentDigest } = partition;
  const image = await writePartitionImage(root, sink, place, {
    filesystem,
    hash,
    fec,
    salt,
    library,
    signal,
    onProgress,
    contentDigest,
    previous,
    buildTime: sourceDate,
    uuid: guidFromDigest(seed(`${name} uuid`)),
    volumeName: name.slice(0, MAX_VOLUME_NAME),
    blockSize: BLOCK_SIZE,
  });
  const { size: imageSize, tree } = image;
  const end = image.fec ? image.fec.offset + image.fec.size : tree.treeOffset + tree.treeSize;
  const size = dynamicPartitionSize(end);
  const { descriptor } = await addHashtreeFooter(sink, {
    partitionSize: size,
    vbmeta: signing,
    tree: {
      partitionName: name,
      imageSize,
      hashAlgorithm: hash,
      salt,
      ...tree,
      ...(image.fec && {
        fec: { numRoots: image.fec.roots, offset: image.fec.offset, size: image.fec.size },
      }),
    },
  });
  return { image, size, descriptor };
}

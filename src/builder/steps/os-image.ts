/**
 * Writes `os.img`: EROFS with its hash tree, AVB footer, signed `vbmeta_a`.
 *
 * Salts and identifiers come from names, never from chance: equal trees give equal images.
 */

import { sha256 } from '../../core/digest.ts';
import { createFileSink, offsetSink } from '../../io/image-sink.ts';
import type { Directory } from '../../io/file-tree.ts';
import { guidFromDigest, layoutGpt, writeGpt, type GptLayout } from '../../formats/gpt/gpt.ts';
import { AVB_PARTITIONS, LABELS, VBMETA_PARTITION_SIZE } from '../../bundle/layout.ts';
import { addHashtreeFooter, dynamicPartitionSize, signVbmeta } from '../../signing/avb/sign.ts';
import type { NativeLibrary } from '../../native/library.ts';
import type { BuildKeys } from '../keys.ts';
import { writeSystemImage, type FilesystemOptions, type SystemImage } from './system-image.ts';

const BLOCK_SIZE = 4096;

export interface OsImageOptions {
  /** Name of the recipe: seeds salt, UUID and GUIDs. */
  readonly name: string;
  readonly filesystem: FilesystemOptions;
  readonly hash: 'sha256' | 'sha512';
  readonly sourceDate: number;
  readonly rollbackIndex: number;
  readonly image: BuildKeys['image'];
  readonly library: NativeLibrary | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface OsImage {
  /** The signed vbmeta of `vbmeta_a`, not padded: what the bootconfig pins. */
  readonly vbmeta: Uint8Array;
  readonly tree: SystemImage['tree'];
  /** Size of the EROFS image in bytes. */
  readonly systemSize: number;
}

const seed = (text: string): Uint8Array => sha256(Buffer.from(`microbuild ${text}`));

/** Writes a new file at `path`. */
export async function writeOsImage(
  root: Directory,
  path: string,
  options: OsImageOptions,
): Promise<OsImage> {
  const { name, hash } = options;
  const layoutFor = (systemSize: number): GptLayout =>
    layoutGpt({
      diskGuid: guidFromDigest(seed(`${name} os disk`)),
      partitions: [
        {
          label: LABELS.vbmeta,
          size: VBMETA_PARTITION_SIZE,
          guid: guidFromDigest(seed(`${name} ${LABELS.vbmeta}`)),
        },
        {
          label: LABELS.system,
          size: systemSize,
          guid: guidFromDigest(seed(`${name} ${LABELS.system}`)),
        },
      ],
    });
  const offsetOf = (layout: GptLayout, label: string): number => {
    const partition = layout.partitions.find((each) => each.label === label);
    if (partition === undefined) throw new TypeError(`The layout has no ${label}`);
    return partition.offset;
  };

  const file = await createFileSink(path);
  try {
    // Where the last partition starts does not depend on its size, which shows when it is written.
    const offset = offsetOf(layoutFor(BLOCK_SIZE), LABELS.system);
    const system = offsetSink(file, offset);
    const salt = seed(`${name} system salt`);
    const { size, tree } = await writeSystemImage(
      root,
      system,
      { path, offset },
      {
        ...options,
        buildTime: options.sourceDate,
        uuid: guidFromDigest(seed(`${name} system uuid`)),
        volumeName: 'system',
        blockSize: BLOCK_SIZE,
        salt,
      },
    );
    const partitionSize = dynamicPartitionSize(size + tree.treeSize);
    const layout = layoutFor(partitionSize);
    await writeGpt(file, layout);
    const signing = {
      algorithm: options.image.algorithm,
      signer: options.image.signer,
      rollbackIndex: BigInt(options.rollbackIndex),
    };
    const { descriptor } = await addHashtreeFooter(system, {
      partitionSize,
      vbmeta: signing,
      tree: {
        partitionName: AVB_PARTITIONS.system,
        imageSize: size,
        hashAlgorithm: hash,
        salt,
        ...tree,
      },
    });
    const vbmeta = await signVbmeta({ ...signing, descriptors: [descriptor] });
    await file.write(offsetOf(layout, LABELS.vbmeta), vbmeta);
    return { vbmeta, tree, systemSize: size };
  } finally {
    await file.close();
  }
}

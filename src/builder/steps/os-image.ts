/**
 * Writes `os.img`: EROFS and its hash tree in one pass, AVB footer, signed `vbmeta_a`.
 *
 * Salts and identifiers come from names, never from chance: equal trees give equal images.
 */

import { sha256 } from '../../core/digest.ts';
import { createFileSink, offsetSink } from '../../io/image-sink.ts';
import type { Directory } from '../../io/file-tree.ts';
import { planErofs } from '../../formats/erofs/plan.ts';
import { writeErofs } from '../../formats/erofs/writer.ts';
import { guidFromDigest, layoutGpt, writeGpt } from '../../formats/gpt/gpt.ts';
import { AVB_PARTITIONS, LABELS, VBMETA_PARTITION_SIZE } from '../../bundle/layout.ts';
import { addHashtreeFooter, dynamicPartitionSize, signVbmeta } from '../../signing/avb/sign.ts';
import { createHashTreeSink, type WrittenHashTree } from '../../verity/hash-tree.ts';
import { hashTreeLevels } from '../../verity/hash-tree-layout.ts';
import type { BuildKeys } from '../keys.ts';

const BLOCK_SIZE = 4096;

export interface OsImageOptions {
  /** Name of the recipe: seeds salt, UUID and GUIDs. */
  readonly name: string;
  readonly hash: 'sha256' | 'sha512';
  readonly sourceDate: number;
  readonly rollbackIndex: number;
  readonly image: BuildKeys['image'];
}

export interface OsImage {
  /** The signed vbmeta of `vbmeta_a`, not padded: what the bootconfig pins. */
  readonly vbmeta: Uint8Array;
  readonly tree: WrittenHashTree;
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
  const { name, hash, sourceDate } = options;
  const plan = planErofs(root, {
    buildTime: sourceDate,
    uuid: guidFromDigest(seed(`${name} system uuid`)),
    volumeName: 'system',
    blockSize: BLOCK_SIZE,
  });
  const { treeSize } = hashTreeLevels(plan.size / BLOCK_SIZE, {
    algorithm: hash,
    blockSize: BLOCK_SIZE,
  });
  const partitionSize = dynamicPartitionSize(plan.size + treeSize);
  const layout = layoutGpt({
    diskGuid: guidFromDigest(seed(`${name} os disk`)),
    partitions: [
      {
        label: LABELS.vbmeta,
        size: VBMETA_PARTITION_SIZE,
        guid: guidFromDigest(seed(`${name} ${LABELS.vbmeta}`)),
      },
      {
        label: LABELS.system,
        size: partitionSize,
        guid: guidFromDigest(seed(`${name} ${LABELS.system}`)),
      },
    ],
  });
  const offsetOf = (label: string): number => {
    const partition = layout.partitions.find((each) => each.label === label);
    if (partition === undefined) throw new TypeError(`The layout has no ${label}`);
    return partition.offset;
  };

  const file = await createFileSink(path);
  try {
    await writeGpt(file, layout);
    const system = offsetSink(file, offsetOf(LABELS.system));
    const salt = seed(`${name} system salt`);
    const hashing = createHashTreeSink(system, {
      dataSize: plan.size,
      algorithm: hash,
      blockSize: BLOCK_SIZE,
      salt,
    });
    await writeErofs(plan, hashing);
    const tree = await hashing.finish();
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
        imageSize: plan.size,
        hashAlgorithm: hash,
        salt,
        ...tree,
      },
    });
    const vbmeta = await signVbmeta({ ...signing, descriptors: [descriptor] });
    await file.write(offsetOf(LABELS.vbmeta), vbmeta);
    return { vbmeta, tree, systemSize: plan.size };
  } finally {
    await file.close();
  }
}

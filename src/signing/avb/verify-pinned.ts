/**
 * The host's check of what the guest's init decides: `vbmeta_a` against the digest that the bootconfig pins, and
 * which partitions it describes against the places that the bootconfig gives them.
 */

import { equalBytes, sha256, toHex } from '../../core/digest.ts';
import { FormatError, UsageError, VerificationError } from '../../core/errors.ts';
import { encodeDescriptor, type HashtreeDescriptor } from '../../formats/avb/descriptor.ts';
import { readVbmeta } from '../../formats/avb/footer.ts';
import { decodeVbmeta, type Vbmeta } from '../../formats/avb/vbmeta.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import { fecLayout } from '../../verity/fec/layout.ts';
import { verifyHashtreeImage } from './verify-hashtree.ts';
import type { AvbErrorCode } from './verify.ts';

const LINK = 'vbmeta';
const SYSTEM = 'system';

function refuse(code: AvbErrorCode, message: string, cause?: unknown): never {
  throw new VerificationError(LINK, code, `Cannot verify ${LINK}: ${message}`, { cause });
}

/** What the bootconfig pins, and the partition that it pins. */
export interface PinnedImage {
  /** The partition `vbmeta_a`, which may be padded. */
  readonly vbmeta: Uint8Array;
  /** `androidboot.vbmeta.digest` and `.size`. */
  readonly vbmetaDigest: Uint8Array;
  readonly vbmetaSize: number;
  /** `microbuild.mount.NAME`: where partitions beside the system are mounted, by name. */
  readonly mounts?: ReadonlyMap<string, string>;
}

/** A partition that the guest mounts into the system. */
export interface PinnedPartition {
  readonly name: string;
  /** An absolute path in the system. */
  readonly mountPoint: string;
  readonly descriptor: HashtreeDescriptor;
}

export interface PinnedVbmeta {
  readonly vbmeta: Vbmeta;
  readonly system: HashtreeDescriptor;
  /** In the order in which the guest mounts them: outer ones first. */
  readonly partitions: readonly PinnedPartition[];
}

/**
 * Reads a vbmeta that is pinned by digest, by the rules of the guest's init: flags 0, a hashtree descriptor for the
 * partition `system` and one for each partition that has a place, each partition once, and beside them nothing but
 * properties of different names.
 *
 * @throws {VerificationError} with link `vbmeta`.
 */
export function verifyPinnedVbmeta(images: PinnedImage): PinnedVbmeta {
  const vbmeta = readPinned(images);
  const trees = new Map<string, HashtreeDescriptor>();
  const keys = new Set<string>();
  for (const descriptor of vbmeta.descriptors) {
    if (descriptor.kind === 'hashtree') {
      const { partitionName } = descriptor;
      if (trees.has(partitionName)) {
        refuse('InvalidDescriptors', `it has two hashtree descriptors for "${partitionName}"`);
      }
      trees.set(partitionName, descriptor);
    } else if (descriptor.kind !== 'property') {
      // Whoever signs a descriptor counts on its being followed, and of these a guest follows none.
      refuse('InvalidDescriptors', `no guest looks at its ${descriptor.kind} descriptor`);
    } else if (keys.has(descriptor.key)) {
      refuse('InvalidDescriptors', `it has two properties ${JSON.stringify(descriptor.key)}`);
    } else {
      keys.add(descriptor.key);
    }
  }
  const system = trees.get(SYSTEM);
  if (system === undefined) {
    const names = [...trees.keys()].map((name) => `"${name}"`).join(', ');
    return refuse(
      'InvalidDescriptors',
      `a hashtree descriptor for "${SYSTEM}" is needed, found ${names === '' ? 'none' : names}`,
    );
  }
  trees.delete(SYSTEM);
  return { vbmeta, system, partitions: placePartitions(trees, images.mounts ?? new Map()) };
}

function readPinned({ vbmeta: image, vbmetaDigest, vbmetaSize }: PinnedImage): Vbmeta {
  if (vbmetaSize > image.length) {
    refuse('InvalidMetadata', `bootconfig pins ${vbmetaSize} bytes, the partition has less`);
  }
  const bytes = image.subarray(0, vbmetaSize);
  const digest = sha256(bytes);
  if (!equalBytes(digest, vbmetaDigest)) {
    throw new VerificationError(
      LINK,
      'Verification',
      'Cannot verify vbmeta: its digest is not the one that bootconfig pins',
      { expected: toHex(vbmetaDigest), actual: toHex(digest) },
    );
  }
  let vbmeta: Vbmeta;
  try {
    vbmeta = decodeVbmeta(bytes);
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    return refuse('InvalidMetadata', cause.message, cause);
  }
  if (vbmeta.size !== bytes.length) refuse('InvalidMetadata', 'bytes follow its last block');
  if (vbmeta.flags !== 0) {
    refuse('Verification', `its flags are ${vbmeta.flags}, which switch checks off`);
  }
  return vbmeta;
}

const NAME = /^[a-z][a-z0-9_-]{0,30}$/;
/** One spelling of each path; its first folder is none that the guest mounts upon. */
const MOUNT_POINT =
  /^\/(?!(?:data|dev|mnt|proc|run|sys|tmp)(?:\/|$))(?:(?!\.{1,2}(?:\/|$))[A-Za-z0-9._-]+(?:\/(?!$)|$))+$/;
const MOUNT_POINT_MAX_SIZE = 255;

/** Whether the guest mounts a partition of that name at that place. */
const isMountPoint = (path: string): boolean =>
  path.length <= MOUNT_POINT_MAX_SIZE && MOUNT_POINT.test(path);

function placePartitions(
  trees: ReadonlyMap<string, HashtreeDescriptor>,
  mounts: ReadonlyMap<string, string>,
): PinnedPartition[] {
  for (const name of mounts.keys()) {
    if (!trees.has(name)) {
      refuse('InvalidDescriptors', `it does not describe "${name}", which is to be mounted`);
    }
  }
  const partitions = [...trees].map(([name, descriptor]) => {
    const mountPoint = mounts.get(name);
    if (!NAME.test(name) || mountPoint === undefined) {
      return refuse('InvalidDescriptors', `bootconfig has no place for its partition "${name}"`);
    }
    if (!isMountPoint(mountPoint)) {
      return refuse('InvalidDescriptors', `"${name}" cannot be mounted at ${mountPoint}`);
    }
    return { name, mountPoint, descriptor };
  });
  const places = new Set(partitions.map(({ mountPoint }) => mountPoint));
  if (places.size !== partitions.length) {
    refuse('InvalidDescriptors', 'two of its partitions have the same place');
  }
  const depth = ({ mountPoint }: PinnedPartition): readonly string[] => mountPoint.split('/');
  return partitions.sort((a, b) => compareParts(depth(a), depth(b)));
}

/** As the guest compares paths: part by part, by bytes. */
function compareParts(a: readonly string[], b: readonly string[]): number {
  for (const [index, part] of a.entries()) {
    const other = b[index];
    if (other === undefined) return 1;
    if (part !== other) return part < other ? -1 : 1;
  }
  return a.length - b.length;
}

/** Error correction covers data and tree, which is how the kernel finds its blocks; what it holds, it need not be trusted for. */
function checkFecGeometry(image: ByteSource, descriptor: HashtreeDescriptor, link: string): void {
  const broken = (why: string, cause?: unknown): never => {
    const { partitionName } = descriptor;
    const message = `Cannot verify ${partitionName}: ${why}`;
    throw new VerificationError(link, 'InvalidMetadata', message, { cause });
  };
  const { fecNumRoots, fecOffset, fecSize, dataBlockSize } = descriptor;
  if (fecNumRoots === 0 && fecOffset === 0 && fecSize === 0) return;
  const { imageSize, treeOffset, treeSize } = descriptor;
  const isBehind = treeOffset === imageSize && fecOffset === treeOffset + treeSize;
  if (!isBehind || fecOffset % dataBlockSize !== 0) {
    broken('its error correction does not follow data and tree');
  }
  let paritySize;
  try {
    ({ paritySize } = fecLayout(fecOffset, dataBlockSize, fecNumRoots));
  } catch (cause) {
    if (!(cause instanceof UsageError)) throw cause;
    return broken(cause.message, cause);
  }
  if (fecSize !== paritySize || fecOffset + fecSize > image.size) {
    broken(`its error correction has ${fecSize} bytes, not ${paritySize}`);
  }
}

/**
 * Checks every block of a partition, and that what the kernel needs to correct errors is where it looks for it.
 *
 * @throws {VerificationError} with the given link.
 */
export async function verifyPinnedPartition(
  image: ByteSource,
  descriptor: HashtreeDescriptor,
  link: string,
  options: Parameters<typeof verifyHashtreeImage>[3],
): Promise<void> {
  checkFecGeometry(image, descriptor, link);
  await verifyHashtreeImage(image, descriptor, link, options);
}

/**
 * Checks that the vbmeta behind a partition describes what the pinned one does, and beside properties nothing else.
 * No guest reads it; but a signer of the whole image signs it, and must not sign what nobody has checked.
 *
 * @param descriptor That of the pinned vbmeta.
 * @throws {VerificationError} with the given link.
 */
export async function verifyOwnVbmeta(
  image: ByteSource,
  descriptor: HashtreeDescriptor,
  link: string,
): Promise<void> {
  const { descriptors } = decodeVbmeta((await readVbmeta(image)).bytes);
  const [own, ...others] = descriptors.filter(({ kind }) => kind !== 'property');
  const isSame =
    own !== undefined &&
    others.length === 0 &&
    equalBytes(encodeDescriptor(own), encodeDescriptor(descriptor));
  if (isSame) return;
  throw new VerificationError(
    link,
    'InvalidDescriptors',
    `Cannot verify ${descriptor.partitionName}: the vbmeta behind it does not describe what vbmeta_a does`,
  );
}

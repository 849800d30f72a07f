/** The vbmetas that a device loads for an image, and what they say; nothing is verified. */

import { createHash } from 'node:crypto';
import { toHex } from '../../core/digest.ts';
import { FormatError } from '../../core/errors.ts';
import { readVbmeta } from '../../formats/avb/footer.ts';
import { applicableCmdlines } from '../../formats/avb/kernel-cmdline.ts';
import { decodeVbmeta, type Vbmeta } from '../../formats/avb/vbmeta.ts';
import type { ByteSource } from '../../io/byte-source.ts';

/** Where images come from: a partition's image is found by its name. */
export interface ImageFinder {
  /** Opens an image by path; of a sparse image, what it stands for. */
  open(path: string): Promise<ByteSource>;
  /** The path of a partition's image. */
  pathOf(partition: string): string;
}

/** A digest that a vbmeta holds. */
export interface PartitionDigest {
  readonly name: string;
  /** Hexadecimal; empty when the device keeps it. */
  readonly digest: string;
}

/** How deep chains may go; AVB's own go one deep. */
const MAX_CHAIN_DEPTH = 4;

/**
 * The digests of all partitions that an image describes, chained ones too. Nothing is verified.
 *
 * @throws {FormatError} when an image is damaged, or chains run in a circle.
 */
export async function partitionDigests(
  path: string,
  finder: ImageFinder,
  depth = 0,
): Promise<PartitionDigest[]> {
  if (depth > MAX_CHAIN_DEPTH) {
    throw new FormatError('avb', 'unsupported', `Cannot follow chains further than ${path}`);
  }
  const found: PartitionDigest[] = [];
  for (const descriptor of (await vbmetaOf(path, finder)).vbmeta.descriptors) {
    if (descriptor.kind === 'hash') {
      found.push({ name: descriptor.partitionName, digest: toHex(descriptor.digest) });
    } else if (descriptor.kind === 'hashtree') {
      found.push({ name: descriptor.partitionName, digest: toHex(descriptor.rootDigest) });
    } else if (descriptor.kind === 'chain-partition') {
      const chained = finder.pathOf(descriptor.partitionName);
      found.push(...(await partitionDigests(chained, finder, depth + 1)));
    }
  }
  return found;
}

/** Reads and decodes the vbmeta of an image. */
export async function vbmetaOf(
  path: string,
  finder: Pick<ImageFinder, 'open'>,
): Promise<{ readonly vbmeta: Vbmeta; readonly bytes: Uint8Array }> {
  const image = await finder.open(path);
  try {
    const { bytes } = await readVbmeta(image);
    const vbmeta = decodeVbmeta(bytes);
    return { vbmeta, bytes: bytes.slice(0, vbmeta.size) };
  } finally {
    await image.close();
  }
}

/** The vbmetas that a device would load: an image's own, then those that it chains to, in order. */
async function loadedVbmetas(
  path: string,
  finder: ImageFinder,
): Promise<{ readonly vbmeta: Vbmeta; readonly bytes: Uint8Array }[]> {
  const own = await vbmetaOf(path, finder);
  const all = [own];
  for (const descriptor of own.vbmeta.descriptors) {
    if (descriptor.kind !== 'chain-partition') continue;
    all.push(await vbmetaOf(finder.pathOf(descriptor.partitionName), finder));
  }
  return all;
}

/**
 * The digest that pins a vbmeta and all that it chains to: what a boot loader hands to the kernel as
 * `androidboot.vbmeta.digest`.
 */
export async function chainedVbmetaDigest(
  path: string,
  finder: ImageFinder,
  hashAlgorithm: 'sha1' | 'sha256' | 'sha512',
): Promise<Uint8Array> {
  const hash = createHash(hashAlgorithm);
  for (const { bytes } of await loadedVbmetas(path, finder)) hash.update(bytes);
  return new Uint8Array(hash.digest());
}

/** The kernel command line that a boot loader takes from a vbmeta and those that it chains to. */
export async function chainedKernelCmdline(
  path: string,
  finder: ImageFinder,
  hashtreeDisabled: boolean,
): Promise<string> {
  const own = await vbmetaOf(path, finder);
  const texts: string[] = [];
  for (const descriptor of own.vbmeta.descriptors) {
    if (descriptor.kind === 'chain-partition') {
      const { vbmeta } = await vbmetaOf(finder.pathOf(descriptor.partitionName), finder);
      texts.push(...applicableCmdlines(vbmeta.descriptors, hashtreeDisabled));
    } else {
      texts.push(...applicableCmdlines([descriptor], hashtreeDisabled));
    }
  }
  return texts.join(' ');
}

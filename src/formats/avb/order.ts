/** In which order avbtool puts the descriptors of a vbmeta, and how it takes over those of other images. */

import type {
  ChainPartitionDescriptor,
  Descriptor,
  HashDescriptor,
  HashtreeDescriptor,
  KernelCmdlineDescriptor,
  PropertyDescriptor,
} from './descriptor.ts';
import { rootfsCmdlines } from './kernel-cmdline.ts';

/** What a vbmeta holds beside the descriptor of the image that it stands in. */
export interface DescriptorSources {
  readonly chains?: readonly ChainPartitionDescriptor[];
  readonly properties?: readonly PropertyDescriptor[];
  /** A tree whose partition becomes the root file system. */
  readonly rootfs?: HashtreeDescriptor;
  readonly kernelCmdlines?: readonly KernelCmdlineDescriptor[];
  /** Of other images, in the order of the images. */
  readonly included?: readonly Descriptor[];
}

/**
 * All descriptors of a vbmeta.
 *
 * @param own Of the image that the vbmeta stands in, if it stands in one.
 * @param asRootfs Whether the own tree's partition becomes the root file system.
 */
export function orderDescriptors(
  own: HashDescriptor | HashtreeDescriptor | undefined,
  sources: DescriptorSources,
  asRootfs = false,
): Descriptor[] {
  return [
    ...(own === undefined ? [] : [own]),
    ...(sources.chains ?? []),
    ...(sources.properties ?? []),
    ...(sources.rootfs === undefined ? [] : rootfsCmdlines(sources.rootfs)),
    ...(asRootfs && own?.kind === 'hashtree' ? rootfsCmdlines(own) : []),
    ...(sources.kernelCmdlines ?? []),
    ...orderIncluded(sources.included ?? []),
  ];
}

/** What sorts the descriptors of partitions: by kind, then by the bytes of the name. */
function orderKey(descriptor: Descriptor): Buffer | undefined {
  switch (descriptor.kind) {
    case 'chain-partition':
      return Buffer.from(`1 ${descriptor.partitionName}`);
    case 'hash':
      return Buffer.from(`2 ${descriptor.partitionName}`);
    case 'hashtree':
      return Buffer.from(`3 ${descriptor.partitionName}`);
    case 'property':
    case 'kernel-cmdline':
      return undefined;
  }
}

/**
 * Orders included descriptors as avbtool does: those that belong to no partition first, as they come;
 * then the others, sorted. Of several of one kind for one partition the last counts.
 */
function orderIncluded(descriptors: readonly Descriptor[]): Descriptor[] {
  const free: Descriptor[] = [];
  const placed = new Map<string, { readonly key: Buffer; readonly descriptor: Descriptor }>();
  for (const descriptor of descriptors) {
    const key = orderKey(descriptor);
    if (key === undefined) free.push(descriptor);
    else placed.set(key.toString('latin1'), { key, descriptor });
  }
  const sorted = [...placed.values()].sort((a, b) => Buffer.compare(a.key, b.key));
  return [...free, ...sorted.map(({ descriptor }) => descriptor)];
}

/**
 * The kernel command line that sets up a root file system with dm-verity (`dm=` of Android's kernels),
 * and which command line descriptors of a vbmeta apply.
 *
 * The `$(...)` in it are replaced by the boot loader.
 *
 * @see avb_cmdline.c, avb_kernel_cmdline_descriptor.h
 */

import { toHex } from '../../core/digest.ts';
import type { Descriptor, HashtreeDescriptor, KernelCmdlineDescriptor } from './descriptor.ts';

/** `AvbHashtreeDescriptorFlags`. */
export const HASHTREE_FLAG_DO_NOT_USE_AB = 1;
export const HASHTREE_FLAG_CHECK_AT_MOST_ONCE = 2;

/** `AvbKernelCmdlineFlags`. */
const USE_ONLY_IF_HASHTREE_NOT_DISABLED = 1;
const USE_ONLY_IF_HASHTREE_DISABLED = 2;

const SECTOR_SIZE = 512;
const PARTITION = 'PARTUUID=$(ANDROID_SYSTEM_PARTUUID)';

function verityOptions(tree: HashtreeDescriptor): string[] {
  const options: string[] = [];
  if ((tree.flags & HASHTREE_FLAG_CHECK_AT_MOST_ONCE) !== 0) options.push('check_at_most_once');
  options.push('$(ANDROID_VERITY_MODE)', 'ignore_zero_blocks');
  if (tree.fecNumRoots > 0) {
    // FEC covers everything before it, so its start is also how many blocks it covers.
    const blocks = Math.floor(tree.fecOffset / tree.dataBlockSize);
    options.push('use_fec_from_device', PARTITION, 'fec_roots', `${tree.fecNumRoots}`);
    options.push('fec_blocks', `${blocks}`, 'fec_start', `${blocks}`);
  }
  return [`${options.length}`, ...options];
}

/**
 * The two descriptors that make a partition the root file system: with dm-verity, and without it for
 * when hash trees are disabled.
 */
export function rootfsCmdlines(
  tree: HashtreeDescriptor,
): readonly [KernelCmdlineDescriptor, KernelCmdlineDescriptor] {
  const blocks = Math.floor(tree.imageSize / tree.dataBlockSize);
  const table = [
    '0',
    Math.floor(tree.imageSize / SECTOR_SIZE),
    'verity',
    tree.dmVerityVersion,
    PARTITION,
    PARTITION,
    tree.dataBlockSize,
    tree.hashBlockSize,
    blocks,
    blocks,
    tree.hashAlgorithm,
    toHex(tree.rootDigest),
    toHex(tree.salt),
    ...verityOptions(tree),
  ].join(' ');
  return [
    {
      kind: 'kernel-cmdline',
      flags: USE_ONLY_IF_HASHTREE_NOT_DISABLED,
      kernelCmdline: `dm="1 vroot none ro 1,${table}" root=/dev/dm-0`,
    },
    {
      kind: 'kernel-cmdline',
      flags: USE_ONLY_IF_HASHTREE_DISABLED,
      kernelCmdline: `root=${PARTITION}`,
    },
  ];
}

/** The command line texts that apply, in order. */
export function applicableCmdlines(
  descriptors: readonly Descriptor[],
  hashtreeDisabled: boolean,
): string[] {
  const skipped = hashtreeDisabled
    ? USE_ONLY_IF_HASHTREE_NOT_DISABLED
    : USE_ONLY_IF_HASHTREE_DISABLED;
  return descriptors.flatMap((each) =>
    each.kind === 'kernel-cmdline' && (each.flags & skipped) === 0 ? [each.kernelCmdline] : [],
  );
}

/**
 * What of EROFS a Linux kernel can mount, by its version.
 *
 * @see mkfs.erofs(1), which names the version of most features; LZ4 with padding in front and compact
 *   indexes: 5.4, the first kernel outside of staging; chunks: commit 2a9dc7a8fec6 of 5.15; DEFLATE:
 *   ffa09b3bd024 of 6.6; Zstandard: 7c35de4df105 of 6.10
 */

import type { ClusterCompressor } from '../../compression/cluster-compressor.ts';
import { UsageError } from '../../core/errors.ts';

interface Feature {
  /** As it reads in a sentence. */
  readonly name: string;
  readonly since: readonly [major: number, minor: number];
  /** The kernel must also be configured with it. */
  readonly config: string;
}

const plain: Feature = { name: 'EROFS', since: [5, 4], config: 'CONFIG_EROFS_FS' };
const algorithms: Readonly<Record<ClusterCompressor['algorithm'], Feature>> = {
  lz4: { name: 'lz4 in EROFS', since: [5, 4], config: 'CONFIG_EROFS_FS_ZIP' },
  lz4hc: { name: 'lz4hc in EROFS', since: [5, 4], config: 'CONFIG_EROFS_FS_ZIP' },
  deflate: { name: 'deflate in EROFS', since: [6, 6], config: 'CONFIG_EROFS_FS_ZIP_DEFLATE' },
  zstd: { name: 'zstd in EROFS', since: [6, 10], config: 'CONFIG_EROFS_FS_ZIP_ZSTD' },
};
const largeClusters: Feature = {
  name: 'EROFS clusters of several blocks',
  since: [5, 13],
  config: 'CONFIG_EROFS_FS_ZIP',
};
const tailPacking: Feature = {
  name: 'compressed tails behind EROFS inodes',
  since: [5, 17],
  config: 'CONFIG_EROFS_FS_ZIP',
};
const fragments: Feature = {
  name: 'EROFS fragments',
  since: [6, 1],
  config: 'CONFIG_EROFS_FS_ZIP',
};
const chunks: Feature = {
  name: 'EROFS files in chunks',
  since: [5, 15],
  config: 'CONFIG_EROFS_FS',
};

/** What an image is made of, as far as kernels differ. */
export interface ErofsNeeds {
  readonly algorithm?: ClusterCompressor['algorithm'] | undefined;
  /** Whether clusters take more than a block. */
  readonly largeClusters?: boolean | undefined;
  /** Whether tails stand behind inodes, or in a packed inode. */
  readonly tailPacking?: boolean | undefined;
  readonly fragments?: boolean | undefined;
  readonly chunks?: boolean | undefined;
}

/** The kernel version and configuration that an image asks for. */
export function erofsKernelNeeds(needs: ErofsNeeds): {
  readonly since: readonly [major: number, minor: number];
  readonly config: readonly string[];
} {
  const features = featuresOf(needs);
  const since = features.reduce<readonly [number, number]>(
    (newest, feature) => (isBefore(newest, feature.since) ? feature.since : newest),
    [0, 0],
  );
  return { since, config: [...new Set(features.map(({ config }) => config))] };
}

/**
 * Refuses what a kernel cannot mount.
 *
 * @param kernelVersion As `uname -r` tells it: 6.1.0-18-amd64.
 * @throws {UsageError} `usage`, with the first feature that is missing.
 * @throws {RangeError} when it is no version.
 */
export function checkErofsSupport(needs: ErofsNeeds, kernelVersion: string): void {
  const [, major, minor] = /^(\d{1,4})\.(\d{1,4})(?!\d)/.exec(kernelVersion) ?? [];
  if (major === undefined || minor === undefined) {
    throw new RangeError(`Cannot use "${kernelVersion}" as a kernel version`);
  }
  const version = [Number(major), Number(minor)] as const;
  for (const { name, since } of featuresOf(needs)) {
    if (!isBefore(version, since)) continue;
    throw new UsageError(
      'usage',
      `Cannot use ${name}: Linux ${kernelVersion} does not mount it, Linux ${since.join('.')} and later do`,
      { hint: `Use a kernel of version ${since.join('.')} or later, or do without` },
    );
  }
}

function featuresOf(needs: ErofsNeeds): Feature[] {
  return [
    plain,
    ...(needs.algorithm === undefined ? [] : [algorithms[needs.algorithm]]),
    ...(needs.largeClusters === true ? [largeClusters] : []),
    ...(needs.tailPacking === true ? [tailPacking] : []),
    ...(needs.fragments === true ? [fragments] : []),
    ...(needs.chunks === true ? [chunks] : []),
  ];
}

const isBefore = (a: readonly [number, number], b: readonly [number, number]): boolean =>
  a[0] < b[0] || (a[0] === b[0] && a[1] < b[1]);

/** Reading the superblock: what decides whether the rest of an image can be understood at all. */

import { FormatError, type FormatErrorCode } from '../../core/errors.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import { crc32c } from './crc32c.ts';
import {
  checksummedSize,
  EROFS_FEATURE_COMPAT_SB_CHKSUM,
  EROFS_FEATURE_INCOMPAT_48BIT,
  EROFS_FEATURE_INCOMPAT_CHUNKED_FILE,
  EROFS_FEATURE_INCOMPAT_COMPR_CFGS,
  EROFS_FEATURE_INCOMPAT_DEVICE_TABLE,
  EROFS_FEATURE_INCOMPAT_FRAGMENTS,
  EROFS_FEATURE_INCOMPAT_METABOX,
  EROFS_FEATURE_INCOMPAT_XATTR_PREFIXES,
  EROFS_FEATURE_INCOMPAT_ZERO_PADDING,
  EROFS_FEATURE_INCOMPAT_ZTAILPACKING,
  EROFS_SB_EXTSLOT_SIZE,
  EROFS_SUPER_MAGIC_V1,
  EROFS_SUPER_OFFSET,
  SuperBlock,
  type SuperBlockValues,
} from './layout.ts';

/** log2 of the block sizes that some kernel of ours can mount: no machine has pages of 8 or 32 KiB. */
const BLOCK_SIZE_BITS: readonly number[] = [9, 10, 11, 12, 14, 16];

/** The features that can be read; each changes nothing but what it names. */
const KNOWN_INCOMPAT =
  EROFS_FEATURE_INCOMPAT_ZERO_PADDING |
  EROFS_FEATURE_INCOMPAT_COMPR_CFGS |
  EROFS_FEATURE_INCOMPAT_CHUNKED_FILE |
  EROFS_FEATURE_INCOMPAT_DEVICE_TABLE |
  EROFS_FEATURE_INCOMPAT_ZTAILPACKING |
  EROFS_FEATURE_INCOMPAT_FRAGMENTS |
  EROFS_FEATURE_INCOMPAT_XATTR_PREFIXES;

/** Features that can not, but have a name. */
const namedFeatures = new Map([
  [EROFS_FEATURE_INCOMPAT_48BIT, '48-bit block addresses'],
  [EROFS_FEATURE_INCOMPAT_METABOX, 'compressed metadata (metabox)'],
]);

export interface Geometry {
  readonly blockSize: number;
  /** The image's own size, in bytes; the source may be longer. */
  readonly imageSize: number;
  /** Offset of nid 0, in bytes. */
  readonly metadataOffset: number;
  /** Offset of shared xattr 0, in bytes. */
  readonly sharedXattrOffset: number;
  /** Compressed data stands at the end of its blocks. */
  readonly zeroPadding: boolean;
  /** Physical clusters may take several blocks. */
  readonly bigPclusters: boolean;
  /** Files may have a second compression algorithm. */
  readonly secondAlgorithm: boolean;
  /** Tails may be in the packed inode, and compressed data used more than once. */
  readonly fragments: boolean;
  /** Compressed data may stand behind its index. */
  readonly tailPacking: boolean;
  /** Bit mask of `algorithmNames`. */
  readonly algorithms: number;
}

export const bad = (
  code: FormatErrorCode,
  problem: string,
  where: { offset?: number; field?: string; cause?: unknown } = {},
): FormatError => new FormatError('erofs', code, `Cannot read EROFS: ${problem}`, where);

const at = (field: string, offset: number): { field: string; offset: number } => ({
  field,
  offset: EROFS_SUPER_OFFSET + offset,
});

/** What to do about a problem that need not end the reading: throw it, or tell it and go on. */
export type OnProblem = (error: FormatError) => void;

export const throwProblem: OnProblem = (error) => {
  throw error;
};

/**
 * Reads and checks the superblock.
 *
 * @param onProblem Is given a wrong checksum.
 * @throws {FormatError} on a wrong magic, features we do not know (`unsupported`), and on an image
 *   that is longer than the source.
 */
export async function readSuperblock(
  source: ByteSource,
  onProblem: OnProblem = throwProblem,
): Promise<{ superblock: SuperBlockValues; geometry: Geometry }> {
  if (source.size < EROFS_SUPER_OFFSET + SuperBlock.size) {
    throw bad('truncated', `${source.name} has ${source.size} bytes, too few for a superblock`);
  }
  const record = await source.read(EROFS_SUPER_OFFSET, SuperBlock.size);
  const superblock = SuperBlock.decode(record);
  const { magic, blkszbits, sb_extslots, feature_incompat, blocks } = superblock;
  if (magic !== EROFS_SUPER_MAGIC_V1) {
    throw bad(
      'bad-magic',
      `magic is 0x${magic.toString(16)}, expected 0x${EROFS_SUPER_MAGIC_V1.toString(16)}`,
      at('magic', 0),
    );
  }
  const unknown = (feature_incompat & ~KNOWN_INCOMPAT) >>> 0;
  if (unknown !== 0) throw bad('unsupported', missingFeatures(unknown), at('feature_incompat', 80));
  if (!BLOCK_SIZE_BITS.includes(blkszbits)) {
    throw bad('unsupported', `block size is 2^${blkszbits}`, at('blkszbits', 12));
  }
  const blockSize = 2 ** blkszbits;
  const extended = SuperBlock.size + sb_extslots * EROFS_SB_EXTSLOT_SIZE;
  if (extended > blockSize - (EROFS_SUPER_OFFSET % blockSize)) {
    throw bad(
      'bad-value',
      `its superblock of ${extended} bytes leaves the block`,
      at('sb_extslots', 13),
    );
  }
  const imageSize = blocks * blockSize;
  if (imageSize > source.size) {
    throw bad(
      'truncated',
      `it has ${blocks} blocks of ${blockSize}, ${source.name} only ${source.size} bytes`,
      at('blocks', 36),
    );
  }
  await checkChecksum(source, superblock, record, blockSize, onProblem);
  if (superblock.extra_devices !== 0) {
    throw bad(
      'unsupported',
      `its data is on ${superblock.extra_devices} more devices, only images in one file can be read`,
      at('extra_devices', 86),
    );
  }
  const hasPrefixes = (feature_incompat & EROFS_FEATURE_INCOMPAT_XATTR_PREFIXES) !== 0;
  if (superblock.xattr_prefix_count !== 0 && !hasPrefixes) {
    // Kernels look at the count alone.
    throw bad(
      'bad-value',
      `it has ${superblock.xattr_prefix_count} long prefixes of attributes, without that feature`,
      at('xattr_prefix_count', 91),
    );
  }
  if (superblock.dirblkbits !== 0) {
    throw bad(
      'unsupported',
      `directory blocks are ${2 ** superblock.dirblkbits} times as large as others`,
      at('dirblkbits', 90),
    );
  }
  const has = (feature: number): boolean => (feature_incompat & feature) !== 0;
  const geometry = {
    blockSize,
    imageSize,
    metadataOffset: superblock.meta_blkaddr * blockSize,
    sharedXattrOffset: superblock.xattr_blkaddr * blockSize,
    zeroPadding: has(EROFS_FEATURE_INCOMPAT_ZERO_PADDING),
    bigPclusters: has(EROFS_FEATURE_INCOMPAT_COMPR_CFGS),
    secondAlgorithm: has(EROFS_FEATURE_INCOMPAT_DEVICE_TABLE),
    fragments: has(EROFS_FEATURE_INCOMPAT_FRAGMENTS),
    tailPacking: has(EROFS_FEATURE_INCOMPAT_ZTAILPACKING),
    // Without a list of algorithms the field is the largest distance of LZ4, the only one then.
    algorithms: has(EROFS_FEATURE_INCOMPAT_COMPR_CFGS) ? superblock.available_compr_algs : 1,
  };
  for (const field of ['meta_blkaddr', 'xattr_blkaddr'] as const) {
    if (superblock[field] >= blocks) {
      throw bad(
        'out-of-range',
        `${field} is ${superblock[field]} of ${blocks} blocks`,
        at(field, field === 'meta_blkaddr' ? 40 : 44),
      );
    }
  }
  return { superblock, geometry };
}

function missingFeatures(unknown: number): string {
  const names = [...namedFeatures].filter(([bit]) => (unknown & bit) !== 0).map(([, name]) => name);
  const named = [...namedFeatures.keys()].reduce((bits, bit) => bits | bit, 0);
  const rest = (unknown & ~named) >>> 0;
  if (rest !== 0) names.push(`0x${rest.toString(16)}`);
  return `it needs features that are not known: ${names.join(', ')}`;
}

async function checkChecksum(
  source: ByteSource,
  superblock: SuperBlockValues,
  record: Uint8Array,
  blockSize: number,
  onProblem: OnProblem,
): Promise<void> {
  if ((superblock.feature_compat & EROFS_FEATURE_COMPAT_SB_CHKSUM) === 0) return;
  const size = checksummedSize(blockSize);
  if (source.size < EROFS_SUPER_OFFSET + size) {
    throw bad('truncated', `${source.name} ends within the block of the superblock`);
  }
  // A copy, also of a Buffer, whose slice would be a view.
  const covered = new Uint8Array(await source.read(EROFS_SUPER_OFFSET, size));
  covered.set(record);
  covered.fill(0, 4, 8);
  const actual = crc32c(covered);
  if (actual !== superblock.checksum) {
    const problem = `superblock checksum is 0x${superblock.checksum.toString(16)}, computed 0x${actual.toString(16)}`;
    onProblem(bad('bad-checksum', problem, at('checksum', 4)));
  }
}

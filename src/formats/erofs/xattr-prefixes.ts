/**
 * Long prefixes of extended attributes: names that start alike share their start.
 *
 * @see `erofs_xattr_long_prefix` in fs/erofs/erofs_fs.h of Linux
 */

import { alignUp } from '../../core/math.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import type { ImageExtent } from './data-extent.ts';
import type { DataPart } from './data-reader.ts';
import {
  EROFS_FEATURE_COMPAT_PLAIN_XATTR_PFX,
  EROFS_FEATURE_INCOMPAT_XATTR_PREFIXES,
  EROFS_NAME_LEN,
  EROFS_SUPER_OFFSET,
  EROFS_XATTR_LONG_PREFIX,
  xattrPrefixes,
  type SuperBlockValues,
} from './layout.ts';
import { bad, type Geometry } from './superblock.ts';

/** A range of the packed inode's data, or undefined where there is no such inode. */
export type PackedRange = (from: number, to: number) => AsyncIterable<DataPart> | undefined;

/** Each entry has its length before it; its first byte is the number of a short prefix. */
const LENGTH_SIZE = 2;

interface Prefixes {
  readonly prefixes: readonly Uint8Array[];
  /** Bytes that they take, from where the superblock says. */
  readonly size: number;
}

/**
 * The prefixes, in the order of their numbers.
 *
 * @throws {FormatError} when one is not within the image or the packed inode, or is not usable.
 */
export async function readXattrPrefixes(
  source: ByteSource,
  superblock: SuperBlockValues,
  geometry: Geometry,
  packed: PackedRange,
): Promise<readonly Uint8Array[]> {
  return (await readTable(source, superblock, geometry, packed)).prefixes;
}

/**
 * Where the prefixes are in the image; undefined when there are none, or in the packed inode.
 *
 * @throws {FormatError} as `readXattrPrefixes`.
 */
export async function xattrPrefixesPlace(
  source: ByteSource,
  superblock: SuperBlockValues,
  geometry: Geometry,
  hasPacked: boolean,
): Promise<ImageExtent | undefined> {
  if (hasPacked && !isPlain(superblock)) return undefined;
  const { size } = await readTable(source, superblock, geometry, () => undefined);
  return size === 0 ? undefined : { offset: superblock.xattr_prefix_start * 4, size };
}

const isPlain = ({ feature_compat }: SuperBlockValues): boolean =>
  (feature_compat & EROFS_FEATURE_COMPAT_PLAIN_XATTR_PFX) !== 0;

async function readTable(
  source: ByteSource,
  superblock: SuperBlockValues,
  geometry: Geometry,
  packed: PackedRange,
): Promise<Prefixes> {
  if ((superblock.feature_incompat & EROFS_FEATURE_INCOMPAT_XATTR_PREFIXES) === 0) {
    return { prefixes: [], size: 0 };
  }
  const where = { offset: EROFS_SUPER_OFFSET + 91, field: 'xattr_prefix_count' };
  if (superblock.xattr_prefix_count > EROFS_XATTR_LONG_PREFIX) {
    throw bad('bad-value', `it has ${superblock.xattr_prefix_count} long prefixes`, where);
  }
  const read = async (offset: number, length: number): Promise<Uint8Array> => {
    const parts = isPlain(superblock) ? undefined : packed(offset, offset + length);
    if (parts !== undefined) {
      const bytes = await collect(parts);
      if (bytes.length === length) return bytes;
    } else if (offset + length <= geometry.imageSize) {
      return source.read(offset, length);
    }
    throw bad('out-of-range', 'the long prefixes of extended attributes leave the image', {
      offset: EROFS_SUPER_OFFSET + 92,
      field: 'xattr_prefix_start',
    });
  };

  const prefixes: Uint8Array[] = [];
  const start = superblock.xattr_prefix_start * 4;
  let at = start;
  let end = start;
  while (prefixes.length < superblock.xattr_prefix_count) {
    const head = await read(at, LENGTH_SIZE);
    const length = (head[0] ?? 0) | ((head[1] ?? 0) << 8);
    if (length < 1 || length > EROFS_NAME_LEN + 1) {
      throw bad('bad-value', `a long prefix of ${length} bytes`, where);
    }
    const entry = await read(at + LENGTH_SIZE, length);
    const base = xattrPrefixes.find(({ index }) => index === entry[0]);
    if (base === undefined) {
      throw bad('unsupported', `a long prefix on top of prefix ${entry[0]}`, where);
    }
    prefixes.push(Buffer.concat([Buffer.from(base.prefix), entry.subarray(1)]));
    end = at + LENGTH_SIZE + length;
    at = alignUp(end, 4);
  }
  return { prefixes, size: end - start };
}

async function collect(parts: AsyncIterable<DataPart>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const part of parts) {
    chunks.push('data' in part ? part.data.slice() : new Uint8Array(part.zeros));
  }
  return Buffer.concat(chunks);
}

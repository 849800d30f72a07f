/** Reading extended attributes: those in an inode, and those that inodes share. */

import type { ByteSource } from '../../io/byte-source.ts';
import type { ImageExtent } from './data-extent.ts';
import type { ErofsInode } from './inode.ts';
import {
  EROFS_XATTR_LONG_PREFIX,
  XattrEntry,
  XattrIbodyHeader,
  xattrPrefixes,
  type SuperBlockValues,
} from './layout.ts';
import { bad, type Geometry } from './superblock.ts';
import { readXattrPrefixes, type PackedRange } from './xattr-prefixes.ts';

const DOT = 0x2e;

/** Where the number of the `i`-th shared attribute of an inode stands. */
const placeOf = ({ xattrOffset }: ErofsInode, i: number): number =>
  xattrOffset + XattrIbodyHeader.size + i * 4;

/** A name, a value and how many bytes both take. */
interface Entry {
  readonly name: string;
  readonly value: Uint8Array;
}

export interface XattrReader {
  /**
   * @throws {FormatError} when an entry leaves its area or the image, a name appears twice or has a
   *   prefix we do not know.
   */
  read(inode: ErofsInode): Promise<Map<string, Uint8Array>>;
  /** Where the attributes are that an inode shares. */
  shared(inode: ErofsInode): Promise<ImageExtent[]>;
}

/**
 * Shared entries are read once. Honest entries do not overlap, so all of them together are not
 * larger than the image: more is refused, which bounds what a small hostile image can blow up to.
 */
export function createXattrReader(
  source: ByteSource,
  superblock: SuperBlockValues,
  geometry: Geometry,
  packed: PackedRange,
): XattrReader {
  const shared = new Map<number, Entry & ImageExtent>();
  const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  let budget = geometry.imageSize;

  let prefixes: Promise<readonly Uint8Array[]> | undefined;

  /** What a name starts with: bytes, as a long prefix may end within a character. */
  const prefixOf = async (index: number, offset: number): Promise<Uint8Array> => {
    if ((index & EROFS_XATTR_LONG_PREFIX) !== 0) {
      prefixes ??= readXattrPrefixes(source, superblock, geometry, packed);
      const long = (await prefixes)[index & ~EROFS_XATTR_LONG_PREFIX];
      if (long !== undefined) return long;
    }
    const known = xattrPrefixes.find((each) => each.index === index);
    if (known !== undefined) return Buffer.from(known.prefix);
    throw bad('unsupported', `extended attribute prefix ${index}`, {
      offset,
      field: 'e_name_index',
    });
  };

  const decodeEntry = async (
    area: Uint8Array,
    at: number,
    offset: number,
  ): Promise<Entry & { end: number }> => {
    const { e_name_len, e_name_index, e_value_size } = XattrEntry.decode(area, at);
    const nameAt = at + XattrEntry.size;
    const valueAt = nameAt + e_name_len;
    const end = valueAt + e_value_size;
    if (end > area.length) {
      throw bad('out-of-range', 'an extended attribute leaves its area', {
        offset,
        field: 'e_value_size',
      });
    }
    budget -= end - at;
    if (budget < 0) {
      const problem = 'its extended attributes take more bytes than the image has';
      throw bad('too-large', problem, { offset, field: 'e_value_size' });
    }
    const prefix = await prefixOf(e_name_index, offset);
    const suffix = area.subarray(nameAt, valueAt);
    const isLong = (e_name_index & EROFS_XATTR_LONG_PREFIX) !== 0;
    const isComplete = prefix.at(-1) !== DOT;
    if (suffix.includes(0) || (!isLong && isComplete === suffix.length > 0)) {
      throw bad('bad-value', 'the name of an extended attribute is not usable', {
        offset,
        field: 'e_name_len',
      });
    }
    const name = Buffer.concat([prefix, suffix]);
    try {
      return { name: utf8.decode(name), value: area.slice(valueAt, end), end };
    } catch (error) {
      throw bad('bad-value', 'the name of an extended attribute is not UTF-8', {
        offset,
        field: 'e_name',
        cause: error,
      });
    }
  };

  /** @param from Where the number stands. */
  const readShared = async (index: number, from: number): Promise<Entry & ImageExtent> => {
    const refuse = (problem: string): Error =>
      bad('out-of-range', problem, { offset: from, field: 'h_shared_xattrs' });
    const known = shared.get(index);
    if (known !== undefined) return known;
    const offset = geometry.sharedXattrOffset + index * 4;
    const room = geometry.imageSize - offset;
    if (room < XattrEntry.size) {
      throw refuse(`shared extended attribute ${index} is outside of the image`);
    }
    const head = XattrEntry.decode(await source.read(offset, XattrEntry.size));
    const size = XattrEntry.size + head.e_name_len + head.e_value_size;
    if (size > room) {
      throw refuse(`shared extended attribute ${index} leaves the image`);
    }
    const { name, value } = await decodeEntry(await source.read(offset, size), 0, offset);
    const entry = { name, value, offset, size };
    shared.set(index, entry);
    return entry;
  };

  /** The area of an inode, the numbers of its shared attributes and where its own begin. */
  const readArea = async (
    inode: ErofsInode,
  ): Promise<{ area: Uint8Array; indexes: number[]; inline: number }> => {
    if (inode.xattrSize === 0) return { area: new Uint8Array(0), indexes: [], inline: 0 };
    const area = await source.read(inode.xattrOffset, inode.xattrSize);
    if (area.length === XattrIbodyHeader.size) {
      // No kernel reads it, and nobody writes it: there is room for neither names nor values.
      throw bad('unsupported', `inode ${inode.nid} has attributes without room for any`, {
        offset: inode.offset,
        field: 'i_xattr_icount',
      });
    }
    const { h_shared_count } = XattrIbodyHeader.decode(area);
    const inline = XattrIbodyHeader.size + h_shared_count * 4;
    if (inline > area.length) {
      throw bad('out-of-range', `inode ${inode.nid} shares ${h_shared_count} attributes`, {
        offset: inode.xattrOffset,
        field: 'h_shared_count',
      });
    }
    const view = new DataView(area.buffer, area.byteOffset, area.length);
    const indexes = Array.from({ length: h_shared_count }, (_, i) =>
      view.getUint32(XattrIbodyHeader.size + i * 4, true),
    );
    return { area, indexes, inline };
  };

  return {
    async read(inode) {
      const xattrs = new Map<string, Uint8Array>();
      const add = ({ name, value }: Entry): void => {
        if (xattrs.has(name)) {
          throw bad('duplicate', `inode ${inode.nid} has the extended attribute ${name} twice`, {
            offset: inode.xattrOffset,
            field: 'e_name',
          });
        }
        xattrs.set(name, value);
      };
      const { area, indexes, inline } = await readArea(inode);
      for (const [i, index] of indexes.entries()) add(await readShared(index, placeOf(inode, i)));
      for (let at = inline; at < area.length;) {
        const entry = await decodeEntry(area, at, inode.xattrOffset + at);
        add(entry);
        at = entry.end + (-entry.end & 3);
      }
      return xattrs;
    },
    async shared(inode) {
      const extents: ImageExtent[] = [];
      for (const [i, index] of (await readArea(inode)).indexes.entries()) {
        const { offset, size } = await readShared(index, placeOf(inode, i));
        extents.push({ offset, size });
      }
      return extents;
    },
  };
}

/**
 * Extended attributes: their names, their limits and their bytes. What several inodes have is
 * stored once where that is shorter, and told by number.
 */

import { alignUp } from '../../core/math.ts';
import type { Inode } from '../../io/file-tree.ts';
import { XattrEntry, XattrIbodyHeader, xattrAreaSize, xattrPrefixes } from './layout.ts';
import { isStorableText } from './limits.ts';

const MAX_NAME = 255;
const MAX_VALUE = 65535;
/** Numbers of shared attributes in an inode: `h_shared_count` is a byte. */
const MAX_SHARED = 255;
const SHARED_ID_SIZE = 4;
/** Shared attributes stand before the root, which must be within the first 2 MiB of the metadata. */
const MAX_SHARED_AREA = 1 << 20;

/** `i_xattr_icount` of an area of this many bytes. */
export const xattrCount = (areaSize: number): number =>
  areaSize === 0 ? 0 : (areaSize - XattrIbodyHeader.size) / 4 + 1;
const MAX_AREA = xattrAreaSize(0xffff);

interface Entry {
  readonly order: Uint8Array;
  readonly bytes: Uint8Array;
  /** The bytes as a key of a map. */
  readonly key: string;
}

/** The attributes of all inodes of an image. */
export interface XattrPlan {
  /** The entries that inodes share, one after the other; empty when there are none. */
  readonly shared: Uint8Array;
  /** The xattr area of an inode; empty without attributes. */
  areaOf(inode: Inode): Uint8Array;
}

/**
 * Decides which attributes inodes share: the most frequent have the lowest numbers, and among equals
 * the order is that of their bytes. All else stands in the inodes, ordered by name.
 *
 * @param sharedOffset Where the shared entries will stand, from the start of block `xattr_blkaddr`.
 * @throws what `refuse` makes of a name or value that cannot be stored.
 */
export function planXattrs(
  inodes: Iterable<Inode>,
  sharedOffset: number,
  refuse: (inode: Inode, error: RangeError) => Error,
): XattrPlan {
  const entriesOf = new Map<Inode, Entry[]>();
  const uses = new Map<string, { readonly bytes: Uint8Array; count: number }>();
  for (const inode of inodes) {
    if (inode.xattrs.size === 0) continue;
    let entries: Entry[];
    try {
      entries = encodeEntries(inode.xattrs);
    } catch (error) {
      throw error instanceof RangeError ? refuse(inode, error) : error;
    }
    entriesOf.set(inode, entries);
    for (const { key, bytes } of entries) {
      const known = uses.get(key);
      if (known === undefined) uses.set(key, { bytes, count: 1 });
      else known.count += 1;
    }
  }
  const { ids, area } = placeShared(uses, [...entriesOf.values()], sharedOffset);
  const areas = new Map<Inode, Uint8Array>();
  for (const [inode, entries] of entriesOf) areas.set(inode, encodeArea(entries, ids));
  const none = new Uint8Array(0);
  return { shared: area, areaOf: (inode) => areas.get(inode) ?? none };
}

function placeShared(
  uses: ReadonlyMap<string, { readonly bytes: Uint8Array; readonly count: number }>,
  inodes: readonly (readonly Entry[])[],
  offset: number,
): { ids: Map<string, number>; area: Uint8Array } {
  const saves = ({ bytes, count }: { bytes: Uint8Array; count: number }): boolean =>
    (count - 1) * bytes.length > count * SHARED_ID_SIZE;
  const wanted = [...uses]
    .filter(([, use]) => saves(use))
    .toSorted(([, a], [, b]) => b.count - a.count || Buffer.compare(a.bytes, b.bytes));
  // Where an inode has too many of them, some are used by none.
  const usable = new Set(wanted.map(([key]) => key));
  const used = new Set<string>();
  for (const entries of inodes) {
    const shareable = entries.filter(({ key }) => usable.has(key));
    for (const { key } of shareable.slice(0, MAX_SHARED)) used.add(key);
  }
  const ids = new Map<string, number>();
  const parts: Uint8Array[] = [];
  let size = 0;
  for (const [key, { bytes }] of wanted) {
    if (!used.has(key) || size + bytes.length > MAX_SHARED_AREA) continue;
    ids.set(key, (offset + size) / SHARED_ID_SIZE);
    parts.push(bytes);
    size += bytes.length;
  }
  return { ids, area: new Uint8Array(Buffer.concat(parts)) };
}

function encodeArea(entries: readonly Entry[], ids: ReadonlyMap<string, number>): Uint8Array {
  const shared: number[] = [];
  const inline: Uint8Array[] = [];
  for (const { key, bytes } of entries) {
    const id = shared.length < MAX_SHARED ? ids.get(key) : undefined;
    if (id === undefined) inline.push(bytes);
    else shared.push(id);
  }
  const sharedEnd = XattrIbodyHeader.size + shared.length * SHARED_ID_SIZE;
  const area = new Uint8Array(inline.reduce((sum, bytes) => sum + bytes.length, sharedEnd));
  const view = new DataView(area.buffer);
  XattrIbodyHeader.encodeInto(view, 0, {
    h_name_filter: 0,
    h_shared_count: shared.length,
    h_reserved2: new Uint8Array(7),
  });
  for (const [index, id] of shared.entries()) {
    view.setUint32(XattrIbodyHeader.size + index * SHARED_ID_SIZE, id, true);
  }
  let at = sharedEnd;
  for (const bytes of inline) {
    area.set(bytes, at);
    at += bytes.length;
  }
  return area;
}

/**
 * The entries of an inode, ordered by name so that the order in which they were set does not show.
 *
 * @throws {RangeError} when a name or value cannot be stored; the message tells which.
 */
function encodeEntries(xattrs: ReadonlyMap<string, Uint8Array>): Entry[] {
  const entries = [...xattrs]
    .map(([name, value]) => encodeEntry(name, value))
    .sort((a, b) => Buffer.compare(a.order, b.order));
  const size = entries.reduce((sum, { bytes }) => sum + bytes.length, XattrIbodyHeader.size);
  if (size > MAX_AREA) {
    throw new RangeError(`its extended attributes take ${size} bytes, the limit is ${MAX_AREA}`);
  }
  return entries;
}

function encodeEntry(name: string, value: Uint8Array): Entry {
  const known = xattrPrefixes.find(({ prefix }) =>
    prefix.endsWith('.') ? name.startsWith(prefix) && name !== prefix : name === prefix,
  );
  if (known === undefined || !isStorableText(name)) {
    throw new RangeError(`EROFS cannot store the extended attribute ${JSON.stringify(name)}`);
  }
  const suffix = Buffer.from(name.slice(known.prefix.length));
  if (suffix.length > MAX_NAME) {
    throw new RangeError(`the name of its extended attribute ${name.slice(0, 40)}... is too long`);
  }
  if (value.length > MAX_VALUE) {
    throw new RangeError(`its extended attribute ${name} has ${value.length} bytes, over 65535`);
  }
  const bytes = new Uint8Array(alignUp(XattrEntry.size + suffix.length + value.length, 4));
  XattrEntry.encodeInto(new DataView(bytes.buffer), 0, {
    e_name_len: suffix.length,
    e_name_index: known.index,
    e_value_size: value.length,
  });
  bytes.set(suffix, XattrEntry.size);
  bytes.set(value, XattrEntry.size + suffix.length);
  const key = Buffer.from(bytes.buffer).toString('latin1');
  return { order: Buffer.from(name), bytes, key };
}

/** Extended attributes kept in an inode: their names, their limits and their bytes. */

import { alignUp } from '../../core/math.ts';
import { XattrEntry, XattrIbodyHeader, xattrAreaSize, xattrPrefixes } from './layout.ts';
import { isStorableText } from './limits.ts';

const MAX_NAME = 255;
const MAX_VALUE = 65535;

/** `i_xattr_icount` of an area of this many bytes. */
export const xattrCount = (areaSize: number): number =>
  areaSize === 0 ? 0 : (areaSize - XattrIbodyHeader.size) / 4 + 1;
const MAX_AREA = xattrAreaSize(0xffff);

/**
 * The xattr area of an inode: the header and the entries, ordered by name so that the order in
 * which they were set does not show. Empty without attributes.
 *
 * @throws {RangeError} when a name or value cannot be stored; the message tells which.
 */
export function encodeXattrs(xattrs: ReadonlyMap<string, Uint8Array>): Uint8Array {
  if (xattrs.size === 0) return new Uint8Array(0);
  const entries = [...xattrs]
    .map(([name, value]) => encodeEntry(name, value))
    .sort((a, b) => Buffer.compare(a.order, b.order));
  const size = entries.reduce((sum, { bytes }) => sum + bytes.length, XattrIbodyHeader.size);
  if (size > MAX_AREA) {
    throw new RangeError(`its extended attributes take ${size} bytes, the limit is ${MAX_AREA}`);
  }
  const area = new Uint8Array(size);
  let at = XattrIbodyHeader.size;
  for (const { bytes } of entries) {
    area.set(bytes, at);
    at += bytes.length;
  }
  return area;
}

function encodeEntry(name: string, value: Uint8Array): { order: Uint8Array; bytes: Uint8Array } {
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
  return { order: Buffer.from(name), bytes };
}

/**
 * Extended headers: records about the next entry.
 *
 * @see POSIX.1-2017, pax, "pax Header Block"; libarchive, "archive_write_set_format_pax", for attributes
 */

import type { FormatErrorCode } from '../../core/errors.ts';
import { decodeUtf8 } from './values.ts';

/** Extended records that change nothing that is read here, or what `readTar` applies. */
const HARMLESS_KEY =
  /^(?:path|linkpath|size|mtime|atime|ctime|uid|gid|uname|gname|comment|hdrcharset|LIBARCHIVE\.creationtime|SCHILY\.(?:dev|ino|nlink))$/;
const SPARSE_KEY = /^GNU\.sparse\.(?:major|minor|name|realsize)$/;
const NUMBER_KEYS = ['size', 'uid', 'gid'];

/** What extended headers have said about the next entry. */
export interface Pending {
  path?: string;
  linkpath?: string;
  size?: number;
  uid?: number;
  gid?: number;
  mtime?: number;
  xattrs?: Map<string, Uint8Array>;
  /** The path of a sparse file: in its header is one for readers that do not know of it. */
  sparseName?: string;
  /** Records of a sparse file. */
  sparse?: Record<string, string>;
  hasPax?: boolean;
}

/** Throws. */
export type Refuse = (code: FormatErrorCode, why: string, hint?: string) => never;

/** `length key=value\n`, the length counting all of it. */
export function decodeRecords(data: Uint8Array, refuse: Refuse): Map<string, Uint8Array> {
  const records = new Map<string, Uint8Array>();
  for (let at = 0; at < data.length;) {
    const digits = /^([1-9]\d{0,6}) /.exec(
      Buffer.from(data.subarray(at, at + 8)).toString('latin1'),
    )?.[1];
    const length = Number(digits ?? 0);
    const end = at + length;
    if (digits === undefined || end > data.length || data[end - 1] !== 0x0a) {
      return refuse('bad-value', 'an extended record does not add up');
    }
    const text = data.subarray(at + digits.length + 1, end - 1);
    const equals = text.indexOf(0x3d);
    const key = equals < 1 ? undefined : decodeUtf8(text.subarray(0, equals));
    if (key === undefined) {
      return refuse('bad-value', 'an extended record is not "key=value" in UTF-8');
    }
    if (records.has(key)) refuse('duplicate', `extended record "${key}" comes twice`);
    records.set(key, text.slice(equals + 1));
    at = end;
  }
  return records;
}

/** Notes what a record says. @param type `x` or `g`, that of its header. */
export function applyRecord(
  pending: Pending,
  type: string,
  key: string,
  bytes: Uint8Array,
  refuse: Refuse,
): void {
  const xattr = /^SCHILY\.xattr\.(.+)$/s.exec(key)?.[1];
  if (xattr !== undefined && type === 'x') return setXattr(pending, refuse, xattr, bytes);
  const value = decodeUtf8(bytes);
  if (value === undefined) {
    return refuse('bad-value', `extended record ${JSON.stringify(key)} is not UTF-8`);
  }
  const encoded = /^LIBARCHIVE\.xattr\.(.+)$/s.exec(key)?.[1];
  if (encoded !== undefined && type === 'x') {
    const name = percentDecoded(encoded);
    if (name === undefined || !/^[A-Za-z0-9+/]*={0,2}$/.test(value)) {
      return refuse('bad-value', `extended record ${JSON.stringify(key)} is broken`);
    }
    return setXattr(pending, refuse, name, new Uint8Array(Buffer.from(value, 'base64')));
  }
  if (SPARSE_KEY.test(key) && type === 'x') {
    (pending.sparse ??= {})[key] = value;
    if (key === 'GNU.sparse.name') pending.sparseName = value;
    return;
  }
  if (!HARMLESS_KEY.test(key)) {
    refuse('unsupported', `extended record ${JSON.stringify(key)} is not supported`);
  }
  if (type === 'g') {
    if (key !== 'comment' && key !== 'mtime') {
      refuse('unsupported', `a global header sets ${JSON.stringify(key)} for every entry`);
    }
    return;
  }
  if (NUMBER_KEYS.includes(key) && !/^(?:0|[1-9]\d{0,14})$/.test(value)) {
    refuse('bad-value', `extended record ${key} is ${JSON.stringify(value.slice(0, 40))}`);
  }
  if (key === 'size' || key === 'uid' || key === 'gid') pending[key] = Number(value);
  if (key === 'mtime') {
    if (!/^-?\d{1,15}(?:\.\d*)?$/.test(value)) {
      refuse('bad-value', `extended record mtime is ${JSON.stringify(value.slice(0, 40))}`);
    }
    pending.mtime = Math.max(0, Math.floor(Number(value)));
  }
  if (key === 'path' || key === 'linkpath') {
    if (value === '' || value.includes('\0'))
      refuse('bad-value', `a ${key} is empty or holds a NUL`);
    setName(pending, key, value, refuse);
  }
}

/** A name may come from one place only. */
export function setName(
  pending: Pending,
  key: 'path' | 'linkpath',
  value: string,
  refuse: Refuse,
): void {
  if (pending[key] !== undefined) {
    refuse('duplicate', `entry ${JSON.stringify(value)} has two sources for its ${key}`);
  }
  pending[key] = value;
}

/** bsdtar tells each attribute in two ways: they must agree. */
function setXattr(pending: Pending, refuse: Refuse, name: string, value: Uint8Array): void {
  const xattrs = (pending.xattrs ??= new Map<string, Uint8Array>());
  const known = xattrs.get(name);
  if (known !== undefined && Buffer.compare(known, value) !== 0) {
    refuse('duplicate', `extended attribute ${JSON.stringify(name)} has two values`);
  }
  xattrs.set(name, value);
}

/** `%41` is `A`; undefined when that is broken. */
function percentDecoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

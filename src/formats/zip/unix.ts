/**
 * What a ZIP entry is on Unix: kind, mode and time, as Info-ZIP and others write them.
 *
 * @see APPNOTE.TXT sections 4.4.2 and 4.4.15; Info-ZIP's proginfo/extrafld.txt, "Extended Timestamp"
 */

import { decodeExtra } from './extra.ts';
import type { ZipEntry } from './read.ts';

export interface UnixEntry {
  readonly kind: 'file' | 'directory' | 'symlink';
  /** 0..0o7777: 0755 for a folder and 0644 for a file where the entry does not say. */
  readonly mode: number;
  /** Seconds since 1970, where the entry says so without a time zone in doubt. */
  readonly mtime: number | undefined;
}

/** Upper byte of `versionMadeBy`. */
const MADE_BY_UNIX = 3;
const MADE_BY_DARWIN = 19;
const TYPE_MASK = 0o170000;
const TYPE_SYMLINK = 0o120000;

const EXTRA_EXTENDED_TIMESTAMP = 0x5455;
const HAS_MTIME = 1;

/** Reads the attributes of an entry whose headers have been checked. */
export function unixEntry(entry: ZipEntry): UnixEntry {
  const madeBy = entry.versionMadeBy >>> 8;
  const attributes =
    madeBy === MADE_BY_UNIX || madeBy === MADE_BY_DARWIN ? entry.externalAttributes >>> 16 : 0;
  const isDirectory = entry.name.endsWith('/');
  const isSymlink = (attributes & TYPE_MASK) === TYPE_SYMLINK;
  const mode = attributes & 0o7777;
  return {
    kind: isDirectory ? 'directory' : isSymlink ? 'symlink' : 'file',
    // Nobody means a file that nobody may read: the writer had no mode to tell.
    mode: mode === 0 ? (isDirectory ? 0o755 : 0o644) : mode,
    mtime: extendedTime(entry.extra),
  };
}

function extendedTime(extra: Uint8Array): number | undefined {
  const data = decodeExtra(extra).fields.find(({ id }) => id === EXTRA_EXTENDED_TIMESTAMP)?.data;
  if (data === undefined || data.length < 5 || ((data[0] ?? 0) & HAS_MTIME) === 0) return undefined;
  return Math.max(0, new DataView(data.buffer, data.byteOffset).getInt32(1, true));
}

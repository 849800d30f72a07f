/** What archives, images and bundles hold, in one form: to list, read, extract and compare it. */

import type { Inode } from '../../io/file-tree.ts';
import type { ByteSource } from '../../io/byte-source.ts';

export interface Entry {
  /** As the archive writes it, without `./` and slashes at its ends; the root is the empty text. */
  readonly name: string;
  readonly kind: Inode['kind'] | 'hardlink';
  /** Bytes of data. */
  readonly size: number;
  /** Permission bits, and the other attributes where the format has them. */
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** Seconds since 1970; a ZIP archive's are local time of nobody knows where, and taken for UTC. */
  readonly mtime?: number;
  /** Of a symbolic or hard link. */
  readonly target?: string;
  /** How it is stored: method, alignment, order of fields; by the format's own names. */
  readonly storage: Readonly<Record<string, string | number>>;
  /** Of the data, where the format has one. */
  readonly checksum?: string;
  /** The data as it is stored, where that is one run of bytes. */
  readonly stored?: ByteSource;
}

/** An entry with its data, to be read before the next entry is asked for, or not at all. */
export interface EntryData {
  readonly entry: Entry;
  readonly data: AsyncIterable<Uint8Array>;
}

export interface EntryList {
  /** In the order of the archive, with their data. */
  entries(): AsyncIterable<EntryData>;
}

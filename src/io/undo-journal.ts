/**
 * What a file held before it was changed in place, kept in a file beside it until the change is done. Whoever finds such a file
 * of a process that is gone, killed or without power, brings the changed one back to what it was.
 *
 * Everything is on the disk before it is overwritten, each part with its digest: one that was not written whole is of bytes that
 * were not overwritten yet. The time of the journal is never before that of a change it is of: a file that is newer was written by
 * somebody else since, as by who made it anew behind a process that was killed, and is theirs.
 *
 *     header   magic (16), original size (u64), inode (u64), length of the name (u32), name, SHA-256 of all that
 *     record   offset (u64), length (u64), whether it is zeros (u8), SHA-256 of that and of the bytes; the bytes, unless zeros
 */

import { createHash } from 'node:crypto';
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readSync,
  rmSync,
  writeSync,
  type BigIntStats,
} from 'node:fs';
import { open, rm, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

const MAGIC = Buffer.from('microbuild undo1', 'latin1');
const HEADER_SIZE = 36;
const RECORD_SIZE = 17;
const DIGEST_SIZE = 32;
/** No name on a file system is longer. */
const MAX_NAME = 4096;
/** Of one record; more is cut in several. */
export const MAX_UNDO_CHUNK = 1 << 20;

const ZEROS = Buffer.alloc(MAX_UNDO_CHUNK);

export interface UndoJournal {
  /** Keeps what the file holds; returns when it is on the disk. At most `MAX_UNDO_CHUNK` bytes. */
  save(offset: number, data: Uint8Array): Promise<void>;
  /** Makes the journal newer than the file: called around each change. */
  touch(): Promise<void>;
  /** Closes it; the file stays. */
  close(): Promise<void>;
  /** Closes and removes it: the change is done. */
  remove(): Promise<void>;
}

const digestOf = (...parts: readonly Uint8Array[]): Buffer => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
};

/**
 * @param path Where the journal is made, in the folder of the file that is changed.
 * @param file The name of that, its size and inode.
 */
export async function createUndoJournal(
  path: string,
  file: { readonly name: string; readonly size: number; readonly inode: bigint },
): Promise<UndoJournal> {
  const name = Buffer.from(file.name);
  const head = Buffer.alloc(HEADER_SIZE);
  MAGIC.copy(head);
  head.writeBigUInt64LE(BigInt(file.size), 16);
  head.writeBigUInt64LE(file.inode, 24);
  head.writeUInt32LE(name.length, 32);
  const handle = await open(path, 'wx', 0o600);
  try {
    await append(handle, [head, name, digestOf(head, name)]);
    await handle.sync();
    const folder = await open(dirname(path), 'r');
    await folder.sync().finally(() => folder.close());
  } catch (error) {
    await handle.close();
    throw error;
  }
  return {
    async save(offset, data) {
      const isZero = ZEROS.subarray(0, data.length).equals(data);
      const record = Buffer.alloc(RECORD_SIZE);
      record.writeBigUInt64LE(BigInt(offset), 0);
      record.writeBigUInt64LE(BigInt(data.length), 8);
      record.writeUInt8(isZero ? 1 : 0, 16);
      const bytes = isZero ? [] : [data];
      await append(handle, [record, digestOf(record, ...bytes), ...bytes]);
      await handle.sync();
    },
    async touch() {
      // The clock of the file system, which need not be ours, gives both times.
      await handle.write(MAGIC, 0, 1, 0);
    },
    close: () => handle.close(),
    async remove() {
      await handle.close();
      await rm(path, { force: true });
    },
  };
}

async function append(handle: FileHandle, parts: readonly Uint8Array[]): Promise<void> {
  for (const part of parts) {
    for (let done = 0; done < part.length;) {
      done += (await handle.write(part, done, part.length - done)).bytesWritten;
    }
  }
}

/** A file may be newer than its journal by so much: between the one and the other a process can be made to wait. */
const SLACK_NANOSECONDS = 1_000_000_000n;
/** And by so much where a machine went down: the times of its last seconds need not be on the disk. */
const LOST_NANOSECONDS = 60_000_000_000n;

/** Who kept a journal: this process, one that was killed, or one of a machine that went down. */
export type UndoFor = 'self' | 'killed' | 'lost';

/**
 * Brings the file that a journal is of back to what it was, and removes the journal. Does not wait for anything, so that it can
 * be done while the process ends.
 *
 * @returns false when nothing could be undone: the journal was never whole, so that nothing was changed; or the journal is not of
 *   this user, or the file is not there any more or was written by others since, and then the journal stays.
 * @throws the system's error; the journal stays.
 */
export function undoChanges(path: string, kept: UndoFor = 'self'): boolean {
  const journal = openIfThere(path, constants.O_RDONLY);
  if (journal === undefined) return false;
  try {
    const stats = fstatSync(journal, { bigint: true });
    // In a folder that others write to, they could name any file.
    if (!stats.isFile() || stats.uid !== BigInt(process.geteuid?.() ?? 0)) return false;
    const header = readHeader(journal);
    if (header === undefined) {
      rmSync(path, { force: true });
      return false;
    }
    const file = openIfThere(join(dirname(path), header.name), constants.O_RDWR);
    if (file === undefined) return false;
    try {
      if (!isOf(stats, fstatSync(file, { bigint: true }), header, kept)) return false;
      const records = readRecords(journal, header.end);
      ftruncateSync(file, header.size);
      // What was saved first is what was there first.
      for (const record of records.toReversed()) restore(journal, file, record);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
  } finally {
    closeSync(journal);
  }
  rmSync(path, { force: true });
  return true;
}

/** Whether a file is the one that was changed, and has not been written since. */
function isOf(journal: BigIntStats, file: BigIntStats, { inode }: Header, kept: UndoFor): boolean {
  if (!file.isFile() || file.ino !== inode) return false;
  if (kept === 'self') return true;
  const slack = kept === 'killed' ? SLACK_NANOSECONDS : LOST_NANOSECONDS;
  return file.mtimeNs <= journal.mtimeNs + slack;
}

/** Undefined where nothing is, or a link: who changes a file asks for what links lead to before. Does not wait for pipes. */
function openIfThere(path: string, access: number): number | undefined {
  try {
    return openSync(path, access | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ELOOP') return undefined;
    throw error;
  }
}

interface Header {
  readonly size: number;
  readonly inode: bigint;
  readonly name: string;
  /** Where the records begin. */
  readonly end: number;
}

function readHeader(journal: number): Header | undefined {
  const head = readFully(journal, 0, HEADER_SIZE);
  if (head === undefined || !head.subarray(0, 16).equals(MAGIC)) return undefined;
  const length = head.readUInt32LE(32);
  if (length > MAX_NAME) return undefined;
  const name = readFully(journal, HEADER_SIZE, length);
  const digest = readFully(journal, HEADER_SIZE + length, DIGEST_SIZE);
  if (name === undefined || digest?.equals(digestOf(head, name)) !== true) return undefined;
  const text = name.toString();
  const size = head.readBigUInt64LE(16);
  if (basename(text) !== text || size > BigInt(Number.MAX_SAFE_INTEGER)) return undefined;
  return {
    size: Number(size),
    inode: head.readBigUInt64LE(24),
    name: text,
    end: HEADER_SIZE + length + DIGEST_SIZE,
  };
}

interface UndoRecord {
  readonly offset: number;
  readonly length: number;
  /** Where in the journal, or undefined for zeros. */
  readonly at: number | undefined;
}

/** The records that were written whole. */
function readRecords(journal: number, start: number): UndoRecord[] {
  const records: UndoRecord[] = [];
  for (let at = start; ;) {
    const head = readFully(journal, at, RECORD_SIZE + DIGEST_SIZE);
    if (head === undefined) return records;
    const record = head.subarray(0, RECORD_SIZE);
    const [offset, length] = [record.readBigUInt64LE(0), record.readBigUInt64LE(8)];
    if (length > MAX_UNDO_CHUNK || offset > BigInt(Number.MAX_SAFE_INTEGER)) return records;
    const isZero = record.readUInt8(16) === 1;
    const data = readFully(journal, at + head.length, isZero ? 0 : Number(length));
    if (data === undefined) return records;
    if (!digestOf(record, data).equals(head.subarray(RECORD_SIZE))) return records;
    records.push({
      offset: Number(offset),
      length: Number(length),
      at: isZero ? undefined : at + head.length,
    });
    at += head.length + data.length;
  }
}

function restore(journal: number, file: number, { offset, length, at }: UndoRecord): void {
  const data = at === undefined ? ZEROS.subarray(0, length) : readFully(journal, at, length);
  if (data === undefined) throw new TypeError('The journal became shorter');
  // What is as it was needs no room: holes stay holes.
  if (readFully(file, offset, length)?.equals(data) === true) return;
  for (let done = 0; done < length;) {
    done += writeSync(file, data, done, length - done, offset + done);
  }
}

/** Undefined when the file ends before. */
function readFully(file: number, offset: number, length: number): Buffer | undefined {
  const data = Buffer.alloc(length);
  for (let done = 0; done < length;) {
    const count = readSync(file, data, done, length - done, offset + done);
    if (count === 0) return undefined;
    done += count;
  }
  return data;
}

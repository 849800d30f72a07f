/**
 * Changing a file in place so that a failure leaves it as it was, also that of this process or of the power.
 *
 * What is about to be overwritten or cut off is first copied to a file beside it; new bytes behind the
 * old end cost nothing. So adding a footer to an image of any size copies none of its data.
 */

import { open, type FileHandle } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { UsageError } from '../../core/errors.ts';
import { targetOf } from '../../io/atomic-output.ts';
import { STREAM_CHUNK } from '../../io/byte-source.ts';
import type { ImageSink } from '../../io/image-sink.ts';
import { collectOnce, inTheMaking, type InTheMaking } from '../../io/in-the-making.ts';
import {
  createUndoJournal,
  MAX_UNDO_CHUNK,
  undoChanges,
  type UndoJournal,
} from '../../io/undo-journal.ts';

export interface UndoableFile extends ImageSink {
  readonly fd: number;
  /** When the file was opened, in bytes. */
  readonly originalSize: number;
  read(offset: number, length: number): Promise<Uint8Array>;
  /** Flushes what was written and closes. */
  commit(): Promise<void>;
  /** Brings the file back to what it was and closes. */
  rollback(): Promise<void>;
}

/** A part of the original file that is kept. */
interface Saved {
  readonly offset: number;
  readonly end: number;
}

const ZEROS = new Uint8Array(STREAM_CHUNK);

/** At most a chunk. */
export const isZero = (data: Uint8Array): boolean =>
  Buffer.compare(data, ZEROS.subarray(0, data.length)) === 0;

async function readFully(handle: FileHandle, offset: number, length: number): Promise<Uint8Array> {
  const data = new Uint8Array(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await handle.read(data, done, length - done, offset + done);
    // Beyond the end of a file that was cut, which then reads as zeros.
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return data;
}

async function writeFully(handle: FileHandle, offset: number, data: Uint8Array): Promise<void> {
  for (let done = 0; done < data.length;) {
    const { bytesWritten } = await handle.write(data, done, data.length - done, offset + done);
    done += bytesWritten;
  }
}

/**
 * Brings back what somebody left half changed who was killed at it: before anything of a file is read on which its change depends,
 * such as its size.
 */
export async function undoLeftovers(path: string): Promise<void> {
  await collectOnce(dirname(await targetOf(path)));
}

/**
 * Opens a file for reading and changing.
 *
 * @throws {UsageError} `input` when it is no regular file.
 * @throws the system's error (`ENOENT`, `EACCES`, ...) unchanged.
 */
export async function openUndoableFile(name: string): Promise<UndoableFile> {
  await undoLeftovers(name);
  const path = await targetOf(name);
  const handle = await open(path, 'r+');
  const stats = await handle.stat({ bigint: true });
  if (!stats.isFile()) {
    await handle.close();
    throw new UsageError('input', `Cannot change ${path}: it is not a regular file`);
  }
  const originalSize = Number(stats.size);
  const saved: Saved[] = [];
  let place: InTheMaking | undefined;
  let journal: UndoJournal | undefined;
  /** Everything from here to the original end is saved. */
  let savedFrom = originalSize;

  /** From now on whoever finds the file half changed knows how to bring it back. */
  const begin = async (): Promise<UndoJournal> => {
    if (journal !== undefined) return journal;
    place = await inTheMaking(path, 'undo');
    journal = await createUndoJournal(place.path, {
      name: basename(path),
      size: originalSize,
      inode: stats.ino,
    });
    return journal;
  };
  const saveRange = async (offset: number, end: number): Promise<void> => {
    const chunk = Math.min(STREAM_CHUNK, MAX_UNDO_CHUNK);
    const kept = await begin();
    for (let at = offset; at < end; at += chunk) {
      await kept.save(at, await readFully(handle, at, Math.min(chunk, end - at)));
    }
    saved.push({ offset, end });
  };
  const isSaved = (offset: number, end: number): boolean =>
    saved.some((part) => part.offset <= offset && part.end >= end);

  return {
    fd: handle.fd,
    originalSize,
    read: (offset, length) => readFully(handle, offset, length),
    async write(offset, chunk) {
      const kept = await begin();
      const end = Math.min(offset + chunk.length, savedFrom);
      if (offset < end && !isSaved(offset, end)) await saveRange(offset, end);
      await kept.touch();
      await writeFully(handle, offset, chunk);
      await kept.touch();
    },
    async truncate(size) {
      const kept = await begin();
      if (size < savedFrom) {
        await saveRange(size, savedFrom);
        savedFrom = size;
      }
      await kept.touch();
      await handle.truncate(size);
      await kept.touch();
    },
    async commit() {
      await handle.sync();
      await journal?.remove();
      place?.release();
      await handle.close();
    },
    async rollback() {
      try {
        await journal?.close();
        if (place !== undefined) undoChanges(place.path);
        place?.release();
      } catch (cause) {
        throw new UsageError('output', `Cannot bring ${path} back to what it was`, {
          cause,
          ...(place !== undefined && {
            hint: `What it held is in ${place.path}: the next command that changes it tries again`,
          }),
        });
      } finally {
        await handle.close();
      }
    },
  };
}

/**
 * Changing a file in place so that a failure leaves it as it was.
 *
 * What is about to be overwritten or cut off is first copied to a file beside it; new bytes behind the
 * old end cost nothing. So adding a footer to an image of any size copies none of its data.
 */

import { randomBytes } from 'node:crypto';
import { open, rm, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { UsageError } from '../../core/errors.ts';
import { STREAM_CHUNK } from '../../io/byte-source.ts';
import type { ImageSink } from '../../io/image-sink.ts';

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

/** A part of the original file. */
interface Saved {
  readonly offset: number;
  readonly length: number;
  /** Where in the copy, or undefined for zeros. */
  readonly copyOffset: number | undefined;
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
 * Opens a file for reading and changing.
 *
 * @throws {UsageError} `input` when it is no regular file.
 * @throws the system's error (`ENOENT`, `EACCES`, ...) unchanged.
 */
export async function openUndoableFile(path: string): Promise<UndoableFile> {
  const handle = await open(path, 'r+');
  const stats = await handle.stat();
  if (!stats.isFile()) {
    await handle.close();
    throw new UsageError('input', `Cannot change ${path}: it is not a regular file`);
  }
  const originalSize = stats.size;
  const copyPath = join(dirname(path), `.${basename(path)}.undo-${randomBytes(6).toString('hex')}`);
  const saved: Saved[] = [];
  let copy: FileHandle | undefined;
  let copySize = 0;
  /** Everything from here to the original end is saved. */
  let savedFrom = originalSize;

  const saveRange = async (offset: number, end: number): Promise<void> => {
    for (let at = offset; at < end; at += STREAM_CHUNK) {
      const length = Math.min(STREAM_CHUNK, end - at);
      const data = await readFully(handle, at, length);
      if (isZero(data)) {
        saved.push({ offset: at, length, copyOffset: undefined });
        continue;
      }
      copy ??= await open(copyPath, 'wx+', 0o600);
      await writeFully(copy, copySize, data);
      saved.push({ offset: at, length, copyOffset: copySize });
      copySize += length;
    }
  };
  const isSaved = (offset: number, end: number): boolean =>
    saved.some((part) => part.offset <= offset && part.offset + part.length >= end);

  const close = async (): Promise<void> => {
    await copy?.close();
    await rm(copyPath, { force: true });
    await handle.close();
  };

  return {
    fd: handle.fd,
    originalSize,
    read: (offset, length) => readFully(handle, offset, length),
    async write(offset, chunk) {
      const end = Math.min(offset + chunk.length, savedFrom);
      if (offset < end && !isSaved(offset, end)) await saveRange(offset, end);
      await writeFully(handle, offset, chunk);
    },
    async truncate(size) {
      if (size < savedFrom) {
        await saveRange(size, savedFrom);
        savedFrom = size;
      }
      await handle.truncate(size);
    },
    async commit() {
      await handle.sync();
      await close();
    },
    async rollback() {
      try {
        await handle.truncate(savedFrom);
        await handle.truncate(originalSize);
        // What was saved first is what was there first.
        for (const { offset, length, copyOffset } of saved.toReversed()) {
          if (copyOffset === undefined) {
            const now = await readFully(handle, offset, length);
            if (!isZero(now)) await writeFully(handle, offset, new Uint8Array(length));
          } else if (copy !== undefined) {
            await writeFully(handle, offset, await readFully(copy, copyOffset, length));
          }
        }
        await handle.sync();
      } catch (cause) {
        await handle.close();
        throw new UsageError('output', `Cannot bring ${path} back to what it was`, {
          cause,
          ...(copy !== undefined && { hint: `What it held at its end is in ${copyPath}` }),
        });
      }
      await close();
    },
  };
}

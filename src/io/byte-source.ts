/** Random-access input of known size: what every reader and parser takes. */

import { createHash } from 'node:crypto';
import { constants, read as readCallback, readSync } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { promisify } from 'node:util';
import { FormatError, UsageError } from '../core/errors.ts';

/** Bytes that can be read at any offset. Offsets and lengths are bytes. */
export interface ByteSource {
  /** How errors name it: a path, or `os.img: system_a`. */
  readonly name: string;
  readonly size: number;
  /**
   * The open file that holds the bytes, and where in it they start: for those that read it faster
   * than through `read`. Absent when there is none.
   */
  readonly file?: { readonly fd: number; readonly offset: number };
  /**
   * Reads exactly `length` bytes.
   *
   * @throws {FormatError} `truncated` when the range is not inside the source.
   */
  read(offset: number, length: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** How much `streamOf` reads at a time: large enough to hide the call, small enough to stay in cache. */
export const STREAM_CHUNK = 1 << 20;

/**
 * Up to this, a read waits for the system: that takes microseconds where the file is cached, handing it to
 * another thread and back takes a hundred.
 */
const SYNC_READ = 64 << 10;

function checkRange(source: ByteSource, offset: number, length: number): void {
  if (offset < 0 || length < 0 || offset + length > source.size) {
    throw new FormatError(
      'file',
      'truncated',
      `Cannot read ${length} bytes of ${source.name}: it has ${source.size} bytes`,
      { offset },
    );
  }
}

/** A source over bytes in memory; reads are views, not copies. */
export function bytesSource(bytes: Uint8Array, name = 'buffer'): ByteSource {
  return {
    name,
    size: bytes.length,
    read(offset, length) {
      checkRange(this, offset, length);
      return Promise.resolve(bytes.subarray(offset, offset + length));
    },
    close: () => Promise.resolve(),
  };
}

/** The part `[offset, offset + size)` of another source; closing it does nothing. */
export function sliceSource(
  source: ByteSource,
  offset: number,
  size: number,
  name = source.name,
): ByteSource {
  checkRange(source, offset, size);
  const { file } = source;
  return {
    name,
    size,
    ...(file && { file: { fd: file.fd, offset: file.offset + offset } }),
    read(at, length) {
      checkRange(this, at, length);
      return source.read(offset + at, length);
    },
    close: () => Promise.resolve(),
  };
}

/**
 * Opens a regular file for reading.
 *
 * @throws {UsageError} `input` when it is something else, whose size nobody knows.
 * @throws the system's error (`ENOENT`, `EACCES`, ...) unchanged.
 */
export async function openFileSource(path: string, name = path): Promise<ByteSource> {
  // Not blocking: to open a pipe would wait for its writer.
  const handle: FileHandle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  let size: number;
  try {
    const stats = await handle.stat();
    if (!stats.isFile()) {
      throw new UsageError('input', `Cannot use ${path}: it is not a regular file`, {
        ...(stats.isBlockDevice() && { hint: 'Copy it to a file first: dd if=DEVICE of=FILE' }),
      });
    }
    size = stats.size;
  } catch (error) {
    await handle.close();
    throw error;
  }
  return { ...fileRange({ fd: handle.fd, offset: 0 }, size, name), close: () => handle.close() };
}

const readAsync = promisify(readCallback);

/** Part of an open file, which somebody else closes. */
export function fileRange(
  file: { readonly fd: number; readonly offset: number },
  size: number,
  name: string,
): ByteSource {
  const { fd, offset: start } = file;
  return {
    name,
    size,
    file,
    async read(offset, length) {
      checkRange(this, offset, length);
      const buffer = new Uint8Array(length);
      for (let done = 0; done < length;) {
        const left = length - done;
        const at = start + offset + done;
        const bytesRead =
          length <= SYNC_READ
            ? readSync(fd, buffer, done, left, at)
            : (await readAsync(fd, buffer, done, left, at)).bytesRead;
        if (bytesRead === 0) {
          throw new FormatError('file', 'truncated', `${name} became shorter while it was read`, {
            offset: offset + done,
          });
        }
        done += bytesRead;
      }
      return buffer;
    },
    close: () => Promise.resolve(),
  };
}

/** The bytes `[offset, offset + length)` of a source, in chunks of at most 1 MiB. */
export async function* streamOf(
  source: ByteSource,
  offset = 0,
  length = source.size - offset,
): AsyncGenerator<Uint8Array> {
  for (let done = 0; done < length; done += STREAM_CHUNK) {
    yield await source.read(offset + done, Math.min(STREAM_CHUNK, length - done));
  }
}

/** SHA-256 of all its bytes, in hex. */
export async function digestOfSource(source: ByteSource): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of streamOf(source)) hash.update(chunk);
  return hash.digest('hex');
}

/** Output written at offsets: what every image writer takes. Holes read back as zeros. */

import { open, type FileHandle } from 'node:fs/promises';
import type { ImageTarget } from './image-pieces.ts';

export interface ImageSink {
  /** The open file behind it, and where in it the sink starts: for those that write it faster. */
  readonly file?: ImageTarget;
  /** Writes all of `chunk` at `offset` (bytes). The chunk may be reused once the promise resolves. */
  write(offset: number, chunk: Uint8Array): Promise<void>;
  /** Sets the final size in bytes; what was never written is a hole. */
  truncate(size: number): Promise<void>;
}

export interface FileSink extends ImageSink {
  readonly file: ImageTarget;
  /**
   * Closes the file; flushes it to the device before, unless it is one that nobody misses.
   */
  close(options?: { readonly flush: boolean }): Promise<void>;
}

/** A sink over a new file, which must not exist yet. Its mode is 0644 whatever the umask is. */
export async function createFileSink(path: string): Promise<FileSink> {
  return sinkOver(await open(path, 'wx+', 0o644));
}

/** A sink over a file that is there, which becomes as one that `createFileSink` makes. */
export async function openFileSink(path: string): Promise<FileSink> {
  return sinkOver(await open(path, 'r+'));
}

async function sinkOver(handle: FileHandle): Promise<FileSink> {
  await handle.chmod(0o644);
  return {
    file: { fd: handle.fd, offset: 0 },
    async write(offset, chunk) {
      for (let done = 0; done < chunk.length;) {
        const { bytesWritten } = await handle.write(
          chunk,
          done,
          chunk.length - done,
          offset + done,
        );
        done += bytesWritten;
      }
    },
    truncate: (size) => handle.truncate(size),
    async close({ flush } = { flush: true }) {
      try {
        if (flush) await handle.sync();
      } finally {
        await handle.close();
      }
    },
  };
}

/** The part of a sink from `offset` on: a partition of a disk. `truncate` does nothing there. */
export function offsetSink(sink: ImageSink, offset: number): ImageSink {
  const { file } = sink;
  return {
    ...(file && { file: { fd: file.fd, offset: file.offset + offset } }),
    write: (at, chunk) => sink.write(offset + at, chunk),
    truncate: () => Promise.resolve(),
  };
}

/** A sink in memory, for small images and tests. */
export class MemorySink implements ImageSink {
  #bytes = new Uint8Array(0);
  #size = 0;

  write(offset: number, chunk: Uint8Array): Promise<void> {
    this.#reserve(offset + chunk.length);
    this.#bytes.set(chunk, offset);
    return Promise.resolve();
  }

  truncate(size: number): Promise<void> {
    this.#reserve(size);
    this.#bytes.fill(0, size);
    this.#size = size;
    return Promise.resolve();
  }

  /** A copy of what was written so far. */
  bytes(): Uint8Array {
    return this.#bytes.slice(0, this.#size);
  }

  #reserve(size: number): void {
    if (size > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(size, this.#bytes.length * 2, 4096));
      grown.set(this.#bytes);
      this.#bytes = grown;
    }
    this.#size = Math.max(this.#size, size);
  }
}

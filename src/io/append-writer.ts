/** Many small writes, one behind the other, put together into few large ones. */

import type { ImageSink } from './image-sink.ts';

export interface AppendWriter {
  /** Where the next byte goes, in bytes. */
  readonly position: number;
  /** Copies the bytes: they may be reused at once. @returns a promise when there is something to wait for. */
  append(bytes: Uint8Array): Promise<void> | undefined;
  /** Writes over what was appended before. */
  patch(offset: number, bytes: Uint8Array): Promise<void> | undefined;
  /** Until all is in the sink. */
  flush(): Promise<void>;
}

const BUFFER_SIZE = 1 << 20;

/** One caller at a time: what is returned is awaited before the next call. */
export function appendWriter(sink: ImageSink): AppendWriter {
  // While one buffer is written, the other is filled.
  let buffer = new Uint8Array(BUFFER_SIZE);
  let spare = new Uint8Array(BUFFER_SIZE);
  let start = 0;
  let filled = 0;
  let writing: Promise<void> = Promise.resolve();

  const send = async (): Promise<void> => {
    await writing;
    writing = sink.write(start, buffer.subarray(0, filled));
    // It is awaited before the next one; until then a failure must not count as unhandled.
    writing.catch(() => undefined);
    start += filled;
    filled = 0;
    [buffer, spare] = [spare, buffer];
  };
  const fill = (bytes: Uint8Array, from: number): number => {
    const part = bytes.subarray(from, from + buffer.length - filled);
    buffer.set(part, filled);
    filled += part.length;
    return from + part.length;
  };
  const fillAll = async (bytes: Uint8Array): Promise<void> => {
    for (let at = 0; at < bytes.length;) {
      at = fill(bytes, at);
      if (filled === buffer.length) await send();
    }
  };
  const writeThrough = async (offset: number, bytes: Uint8Array): Promise<void> => {
    if (filled > 0 && offset + bytes.length > start) await send();
    await writing;
    await sink.write(offset, bytes);
  };
  return {
    get position() {
      return start + filled;
    },
    append(bytes) {
      if (filled + bytes.length >= buffer.length) return fillAll(bytes);
      fill(bytes, 0);
      return undefined;
    },
    patch(offset, bytes) {
      if (offset < start) return writeThrough(offset, bytes);
      buffer.set(bytes, offset - start);
      return undefined;
    },
    async flush() {
      if (filled > 0) await send();
      await writing;
    },
  };
}

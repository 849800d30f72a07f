/** Bytes in memory that are read and written at once. */

import { bytesSource, type ByteSource } from '../../src/io/byte-source.ts';

export interface MemoryImage {
  readonly bytes: Uint8Array;
  readonly source: ByteSource;
  write(offset: number, chunk: Uint8Array): Promise<void>;
}

/** Reads of its source see what was written since. */
export function memoryImage(bytes: Uint8Array): MemoryImage {
  return {
    bytes,
    source: bytesSource(bytes),
    write(offset, chunk) {
      bytes.set(chunk, offset);
      return Promise.resolve();
    },
  };
}

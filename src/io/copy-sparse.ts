/** Copying images: what is zeros in the source becomes a hole. */

import { streamOf, type ByteSource } from './byte-source.ts';
import type { ImageSink } from './image-sink.ts';

/** File systems keep holes by blocks of this size, in bytes. */
const BLOCK = 4096;
const ZEROS = Buffer.alloc(1 << 20);

const isZero = (data: Uint8Array): boolean =>
  Buffer.compare(data, ZEROS.subarray(0, data.length)) === 0;

/**
 * Copies a source to `offset` of a sink in which zeros are there. The sink's size is the caller's to set.
 */
export async function copySparse(
  source: ByteSource,
  sink: ImageSink,
  offset = 0,
  signal?: AbortSignal,
): Promise<void> {
  let at = 0;
  for await (const chunk of streamOf(source)) {
    signal?.throwIfAborted();
    if (!isZero(chunk)) {
      // Runs of blocks with data are written at once.
      let start = 0;
      for (let next = 0; next < chunk.length; next += BLOCK) {
        if (!isZero(chunk.subarray(next, next + BLOCK))) continue;
        if (start < next) await sink.write(offset + at + start, chunk.subarray(start, next));
        start = next + BLOCK;
      }
      if (start < chunk.length) await sink.write(offset + at + start, chunk.subarray(start));
    }
    at += chunk.length;
  }
}

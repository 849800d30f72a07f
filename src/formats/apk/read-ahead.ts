/** Reading while hashing: the system reads the next chunk on another thread. */

import { STREAM_CHUNK, type ByteSource } from '../../io/byte-source.ts';

/** As `streamOf`, but the next chunk is asked for before the last one is used. */
export async function* readAhead(
  source: ByteSource,
  offset: number,
  length: number,
): AsyncGenerator<Uint8Array> {
  const end = offset + length;
  const start = (at: number): Promise<Uint8Array> | undefined => {
    if (at >= end) return undefined;
    const reading = source.read(at, Math.min(STREAM_CHUNK, end - at));
    // Its error counts when it is awaited; until then it must not count as unhandled.
    reading.catch(() => undefined);
    return reading;
  };
  let next = start(offset);
  for (let at = offset; next !== undefined; at += STREAM_CHUNK) {
    const chunk = await next;
    next = start(at + STREAM_CHUNK);
    yield chunk;
  }
}

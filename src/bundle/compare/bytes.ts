/** Where two runs of bytes begin to differ. They are read a chunk at a time. */

import { STREAM_CHUNK, type ByteSource } from '../../io/byte-source.ts';

/** The first place where two chunks differ, up to the shorter one's end; undefined when there is none. */
function firstInChunk(a: Uint8Array, b: Uint8Array): number | undefined {
  const length = Math.min(a.length, b.length);
  if (Buffer.compare(a.subarray(0, length), b.subarray(0, length)) === 0) return undefined;
  // Halving leaves few bytes to be looked at one by one.
  let low = 0;
  let high = length;
  while (high - low > 32) {
    const middle = (low + high) >> 1;
    if (Buffer.compare(a.subarray(low, middle), b.subarray(low, middle)) === 0) low = middle;
    else high = middle;
  }
  while (a[low] === b[low]) low += 1;
  return low;
}

/** @returns the offset, the shorter one's size where it is a prefix of the other, or undefined when both are equal. */
export async function firstDifference(
  a: ByteSource,
  b: ByteSource,
  signal?: AbortSignal,
): Promise<number | undefined> {
  const isSameFile =
    a.file !== undefined &&
    a.file.fd === b.file?.fd &&
    a.file.offset === b.file.offset &&
    a.size === b.size;
  if (isSameFile) return undefined;
  const length = Math.min(a.size, b.size);
  for (let at = 0; at < length; at += STREAM_CHUNK) {
    signal?.throwIfAborted();
    const size = Math.min(STREAM_CHUNK, length - at);
    const found = firstInChunk(await a.read(at, size), await b.read(at, size));
    if (found !== undefined) return at + found;
  }
  return a.size === b.size ? undefined : length;
}

/** The same of two streams, which are read as far as they are equal. */
export async function firstStreamDifference(
  a: AsyncIterable<Uint8Array>,
  b: AsyncIterable<Uint8Array>,
  signal?: AbortSignal,
): Promise<number | undefined> {
  const [readA, readB] = [a[Symbol.asyncIterator](), b[Symbol.asyncIterator]()];
  let [restA, restB]: Uint8Array[] = [new Uint8Array(0), new Uint8Array(0)];
  try {
    for (let at = 0; ;) {
      signal?.throwIfAborted();
      restA = await fill(readA, restA ?? new Uint8Array(0));
      restB = await fill(readB, restB ?? new Uint8Array(0));
      if (restA.length === 0 || restB.length === 0) {
        return restA.length === restB.length ? undefined : at;
      }
      const found = firstInChunk(restA, restB);
      if (found !== undefined) return at + found;
      const length = Math.min(restA.length, restB.length);
      at += length;
      restA = restA.subarray(length);
      restB = restB.subarray(length);
    }
  } finally {
    await readA.return?.();
    await readB.return?.();
  }
}

/** What is left, or the next chunk that is not empty; nothing at the end. */
async function fill(stream: AsyncIterator<Uint8Array>, rest: Uint8Array): Promise<Uint8Array> {
  let bytes = rest;
  while (bytes.length === 0) {
    const next = await stream.next();
    if (next.done === true) break;
    bytes = next.value;
  }
  return bytes;
}

/** Several runs of bytes one behind the other. */
export function joinedSource(parts: readonly ByteSource[], name: string): ByteSource {
  const [only] = parts;
  if (only !== undefined && parts.length === 1) return only;
  const starts: number[] = [];
  let size = 0;
  for (const part of parts) {
    starts.push(size);
    size += part.size;
  }
  return {
    name,
    size,
    async read(offset, length) {
      const out = new Uint8Array(length);
      for (const [index, part] of parts.entries()) {
        const start = starts[index] ?? 0;
        const from = Math.max(offset, start);
        const to = Math.min(offset + length, start + part.size);
        if (from < to) out.set(await part.read(from - start, to - from), from - offset);
      }
      return out;
    },
    close: () => Promise.resolve(),
  };
}

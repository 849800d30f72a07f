/** An image that grows at its end: in large pieces, whole blocks, each block once. */

import { alignUp } from '../../core/math.ts';
import type { ImageSink } from '../../io/image-sink.ts';

export interface ImageAppender {
  /** The block after the last one. */
  readonly nextBlock: number;
  /** Whether more waits to be written than should: call `settle` before the next large piece. */
  readonly isBehind: boolean;
  /**
   * Appends a copy of bytes as whole blocks.
   *
   * @param before How many zeros stand before them in their first block.
   * @returns their first block.
   */
  appendBlocks(bytes: Uint8Array, before?: number): number;
  /** Waits until little waits to be written. */
  settle(): Promise<void>;
  /** Writes what is left and waits for all. */
  flush(): Promise<void>;
}

/** Blocks of all allowed sizes divide it. */
const CHUNK_SIZE = 1 << 20;
/** Chunks that may wait. */
const WAITING = 2;

export function createImageAppender(
  sink: ImageSink,
  blockSize: number,
  firstBlock: number,
): ImageAppender {
  const spare: Uint8Array<ArrayBuffer>[] = [];
  const writing: Promise<void>[] = [];
  let chunk = new Uint8Array(CHUNK_SIZE);
  let used = 0;
  /** Of the chunk. */
  let start = firstBlock * blockSize;

  const write = async (before: Promise<void> | undefined): Promise<void> => {
    const [offset, bytes, size] = [start, chunk, used];
    start += used;
    used = 0;
    chunk = spare.pop() ?? new Uint8Array(CHUNK_SIZE);
    await before;
    await sink.write(offset, bytes.subarray(0, size));
    spare.push(bytes);
  };
  const send = (): void => {
    const written = write(writing.at(-1));
    // Awaited at its turn; until then a failure must not count as unhandled.
    written.catch(() => undefined);
    writing.push(written);
  };
  const waitFor = async (most: number): Promise<void> => {
    while (writing.length > most) {
      await writing[0];
      void writing.shift();
    }
  };
  const putZeros = (count: number): void => {
    // A block does not reach beyond its chunk.
    chunk.fill(0, used, used + count);
    used += count;
  };
  return {
    get nextBlock() {
      return (start + used) / blockSize;
    },
    get isBehind() {
      return writing.length > WAITING;
    },
    appendBlocks(bytes, before = 0) {
      const block = (start + used) / blockSize;
      if (before > 0) putZeros(before);
      for (let done = 0; done < bytes.length;) {
        const part = bytes.subarray(done, done + CHUNK_SIZE - used);
        chunk.set(part, used);
        used += part.length;
        done += part.length;
        if (done === bytes.length) putZeros(alignUp(used, blockSize) - used);
        if (used === CHUNK_SIZE) send();
      }
      return block;
    },
    settle: () => waitFor(WAITING),
    async flush() {
      if (used > 0) send();
      await waitFor(0);
    },
  };
}

/** An image that grows at its end. */

import { alignUp } from '../../core/math.ts';
import type { ImageSink } from '../../io/image-sink.ts';
import { createRunWriter } from './block-writers.ts';

export interface ImageAppender {
  /** The block after the last one. */
  readonly nextBlock: number;
  /**
   * Appends bytes as whole blocks.
   *
   * @param before How many zeros stand before them in their first block.
   * @returns their first block.
   */
  appendBlocks(bytes: Uint8Array, before?: number): Promise<number>;
  /** Appends pieces at their offsets from the next block on; between them are zeros. */
  appendPieces(
    pieces: Iterable<{ readonly offset: number; readonly bytes: Uint8Array }>,
  ): Promise<void>;
  /** Writes what is left and waits for all. */
  flush(): Promise<void>;
}

export function createImageAppender(
  sink: ImageSink,
  blockSize: number,
  firstBlock: number,
): ImageAppender {
  const writer = createRunWriter(sink, blockSize);
  const zeros = new Uint8Array(blockSize);
  let end = firstBlock * blockSize;

  const put = async (bytes: Uint8Array, isLast: boolean): Promise<void> => {
    await writer.put(end, bytes, isLast);
    end += bytes.length;
    if (isLast) end = alignUp(end, blockSize);
  };
  return {
    get nextBlock() {
      return end / blockSize;
    },
    async appendBlocks(bytes, before = 0) {
      const block = end / blockSize;
      if (before > 0) await put(zeros.subarray(0, before), false);
      await put(bytes, true);
      return block;
    },
    async appendPieces(pieces) {
      const start = end;
      for (const { offset, bytes } of pieces) {
        for (let gap = start + offset - end; gap > 0; gap -= zeros.length) {
          await put(zeros.subarray(0, Math.min(zeros.length, gap)), false);
        }
        await put(bytes, false);
      }
      const rest = end % blockSize;
      if (rest > 0) await put(zeros.subarray(rest), true);
    },
    flush: () => writer.flush(),
  };
}

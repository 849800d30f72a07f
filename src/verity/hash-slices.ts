/** Hashing the slices of a file that several threads take from one counter, each into its place. */

import { readSync } from 'node:fs';
import { FormatError } from '../core/errors.ts';
import { alignUp } from '../core/math.ts';
import {
  digestStride,
  nodeBlockHasher,
  type BlockHashParameters,
  type FileRange,
} from './block-hasher.ts';

/** How much one thread takes at a time: large enough to hide the call, small enough to end together. */
export const SLICE = 1 << 21;

/** What all threads of one file share. */
export interface SliceTask {
  readonly parameters: BlockHashParameters;
  readonly range: FileRange;
  readonly slices: number;
  readonly digests: SharedArrayBuffer;
  /** Two counters: slices taken, and slices done. */
  readonly counters: Int32Array<SharedArrayBuffer>;
}

const TAKEN = 0;
const DONE = 1;

export const slicesDone = ({ counters }: SliceTask): number => Atomics.load(counters, DONE);

/** Makes the other threads stop after the slice they are at. */
export function stopSlices({ counters, slices }: SliceTask): void {
  Atomics.store(counters, TAKEN, slices);
}

/**
 * Takes slices until there are none.
 *
 * @param buffer Of `SLICE` bytes, used again and again.
 * @returns after each slice, so that a thread may do other things in between.
 * @throws the system's error when reading fails; {FormatError} `truncated` when the file ends early.
 */
export function* hashSlices(task: SliceTask, buffer: Uint8Array): Generator<void> {
  const { parameters, range, slices, digests, counters } = task;
  const { blockSize, algorithm } = parameters;
  const stride = digestStride(algorithm);
  for (;;) {
    const index = Atomics.add(counters, TAKEN, 1);
    if (index >= slices) return;
    const start = index * SLICE;
    const length = Math.min(SLICE, range.length - start);
    readFully(range, start, buffer.subarray(0, length));
    const padded = alignUp(length, blockSize);
    buffer.fill(0, length, padded);
    const into = new Uint8Array(digests, (start / blockSize) * stride);
    // The one on this thread, which is done when it returns.
    void nodeBlockHasher.hashBlocks(parameters, buffer.subarray(0, padded), into);
    Atomics.add(counters, DONE, 1);
    yield;
  }
}

function readFully({ fd, offset }: FileRange, start: number, target: Uint8Array): void {
  for (let done = 0; done < target.length;) {
    const position = offset + start + done;
    const count = readSync(fd, target, done, target.length - done, position);
    if (count === 0) {
      throw new FormatError('file', 'truncated', 'The file became shorter while it was hashed', {
        offset: position,
      });
    }
    done += count;
  }
}

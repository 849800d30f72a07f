/**
 * Hashing files with node:crypto on several threads: what is used where the native library is not.
 *
 * Each thread reads for itself, so that no data goes between them. This one works too, from the first moment on,
 * while the others still start: small files are done before they have.
 */

import { setImmediate } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { FormatError } from '../core/errors.ts';
import { divCeil } from '../core/math.ts';
import { digestStride, nodeBlockHasher, type BlockHasher } from './block-hasher.ts';
import { hashSlices, SLICE, slicesDone, stopSlices, type SliceTask } from './hash-slices.ts';
import type { WorkerReply } from './hash-worker.ts';

export interface WorkerBlockHasher extends BlockHasher {
  /** Ends the threads. */
  close(): Promise<void>;
}

/** Less is done here before another thread would have started. */
const MIN_SHARED = 1 << 25;

/**
 * @param threads How many in all, this one among them. None is started before a large file comes.
 * @param script The worker, for tests: it runs compiled only.
 */
export function createWorkerBlockHasher(
  threads: number,
  script: URL = new URL('../verity/hash-worker.js', import.meta.url),
): WorkerBlockHasher {
  const workers: Worker[] = [];
  const buffer = new Uint8Array(SLICE);
  let isStarted = false;
  /** The file at work: the threads do one after the other. */
  let last: Promise<void> = Promise.resolve();
  /** Called when a worker says something, or dies. */
  let heard: (reply: WorkerReply) => void = () => undefined;

  const start = (): void => {
    isStarted = true;
    for (let i = 1; i < threads; i += 1) {
      const worker = new Worker(script);
      let isReady = false;
      worker.unref();
      worker.on('message', (reply: WorkerReply) => heard(reply));
      worker.once('message', () => {
        isReady = true;
      });
      worker.on('error', (error) => {
        workers.splice(workers.indexOf(worker), 1);
        // One that never was there has taken nothing: the others do its work.
        if (isReady) heard({ error: { message: `A hashing thread failed: ${error.message}` } });
      });
      workers.push(worker);
    }
  };

  const hashShared = async (task: SliceTask, digests: Uint8Array): Promise<void> => {
    let failure: unknown;
    let wake: () => void = () => undefined;
    heard = ({ error }) => {
      failure ??= error && errorOf(error);
      wake();
    };
    for (const worker of workers) {
      // Only while there is work: else they would keep the process alive.
      worker.ref();
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, no window
      worker.postMessage(task);
    }
    try {
      for (const _ of hashSlices(task, buffer)) {
        // Lets signals and timers through.
        await setImmediate();
        if (failure !== undefined) throw failure;
      }
      // A worker speaks after its last slice.
      while (slicesDone(task) < task.slices) {
        await new Promise<void>((resolve) => {
          wake = resolve;
          if (failure !== undefined || slicesDone(task) === task.slices) resolve();
        });
        if (failure !== undefined) throw failure;
      }
    } finally {
      stopSlices(task);
      for (const worker of workers) worker.unref();
    }
    const size = digests.length;
    digests.set(new Uint8Array(task.digests).subarray(0, size));
  };

  return {
    hashBlocks: (parameters, data, digests) =>
      nodeBlockHasher.hashBlocks(parameters, data, digests),

    hashFile(parameters, range, digests) {
      const { blockSize, algorithm } = parameters;
      if (threads < 2 || range.length < MIN_SHARED || SLICE % blockSize !== 0) return undefined;
      if (!isStarted) start();
      const size = divCeil(range.length, blockSize) * digestStride(algorithm);
      const task: SliceTask = {
        parameters,
        range,
        slices: divCeil(range.length, SLICE),
        digests: new SharedArrayBuffer(size),
        counters: new Int32Array(new SharedArrayBuffer(8)),
      };
      const hashed = last.then(() => hashShared(task, digests.subarray(0, size)));
      last = hashed.catch(() => undefined);
      return hashed;
    },

    async close() {
      await Promise.all(workers.map((worker) => worker.terminate()));
    },
  };
}

function errorOf(error: NonNullable<WorkerReply['error']>): Error {
  const { message, truncatedAt, code, errno, syscall } = error;
  if (truncatedAt !== undefined) {
    return new FormatError('file', 'truncated', 'The file became shorter while it was hashed', {
      offset: truncatedAt,
    });
  }
  return Object.assign(new Error(message), syscall === undefined ? {} : { code, errno, syscall });
}

/** The other end of `worker-hasher.ts`: hashes slices on a thread of its own. */

import { parentPort } from 'node:worker_threads';
import { FormatError } from '../core/errors.ts';
import { hashSlices, SLICE, stopSlices, type SliceTask } from './hash-slices.ts';

/** What a worker says when there are no more slices, or one could not be hashed. */
export interface WorkerReply {
  /** The first thing that a worker says: from then on it may have taken slices. */
  readonly ready?: true;
  readonly error?: {
    readonly message: string;
    /** Of a file that is too short: where it ended, in bytes. */
    readonly truncatedAt?: number | undefined;
    readonly code?: string | undefined;
    readonly errno?: number | undefined;
    readonly syscall?: string | undefined;
  };
}

const buffer = new Uint8Array(SLICE);

// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, no window
parentPort?.postMessage({ ready: true } satisfies WorkerReply);
parentPort?.on('message', (task: SliceTask) => {
  let reply: WorkerReply = {};
  try {
    for (const _ of hashSlices(task, buffer));
  } catch (error) {
    stopSlices(task);
    const { message, code, errno, syscall } = error as NodeJS.ErrnoException;
    const truncatedAt = error instanceof FormatError ? error.offset : undefined;
    reply = { error: { message, truncatedAt, code, errno, syscall } };
  }
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, no window
  parentPort?.postMessage(reply);
});

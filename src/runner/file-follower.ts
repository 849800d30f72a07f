/** Follows a file that is appended to, also when it is rotated meanwhile (rotating-log.ts). */

import { type FileHandle, open, stat } from 'node:fs/promises';

const POLL_MILLISECONDS = 25;
const CHUNK = 65536;

/**
 * Calls `onChunk` with what is appended, until `stop`, which first takes in the rest. What it returns is
 * awaited; the chunk's memory is used again then.
 */
export class FileFollower {
  readonly #path: string;
  readonly #onChunk: (chunk: Uint8Array) => void | Promise<void>;
  readonly #buffer = new Uint8Array(CHUNK);
  #handle: FileHandle | undefined;
  #timer: NodeJS.Timeout | undefined;
  #reading: Promise<void> = Promise.resolve();
  #at = 0;

  constructor(path: string, onChunk: (chunk: Uint8Array) => void | Promise<void>) {
    this.#path = path;
    this.#onChunk = onChunk;
    this.#schedule();
  }

  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    await this.#reading;
    await this.#drain();
    await this.#handle?.close();
    this.#handle = undefined;
  }

  #schedule(): void {
    this.#timer = setTimeout(() => {
      this.#reading = this.#drain().then(() => {
        if (this.#timer !== undefined) this.#schedule();
        return undefined;
      });
    }, POLL_MILLISECONDS);
  }

  async #drain(): Promise<void> {
    try {
      this.#handle ??= await open(this.#path, 'r');
      await this.#readRest(this.#handle);
      // Only when the name leads to another file is this one complete.
      while (await isReplaced(this.#handle, this.#path)) {
        await this.#readRest(this.#handle);
        const next = await open(this.#path, 'r');
        await this.#handle.close();
        this.#handle = next;
        this.#at = 0;
        await this.#readRest(next);
      }
    } catch {
      // Not there yet, or not readable just now: tried again. What is followed is a diagnosis, and
      // a run must not fail for want of it.
    }
  }

  async #readRest(handle: FileHandle): Promise<void> {
    for (;;) {
      const { bytesRead } = await handle.read(this.#buffer, 0, CHUNK, this.#at);
      if (bytesRead === 0) return;
      this.#at += bytesRead;
      await this.#onChunk(this.#buffer.subarray(0, bytesRead));
    }
  }
}

async function isReplaced(handle: FileHandle, path: string): Promise<boolean> {
  const [held, named] = await Promise.all([handle.stat(), stat(path)]);
  return held.ino !== named.ino || held.dev !== named.dev;
}

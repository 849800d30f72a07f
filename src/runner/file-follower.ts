/** Follows a file that another process appends to. */

import { type FileHandle, open } from 'node:fs/promises';

const POLL_MILLISECONDS = 25;
const CHUNK = 65536;

/** Calls `onChunk` with what is appended, until `stop`, which first takes in the rest. */
export class FileFollower {
  readonly #path: string;
  readonly #onChunk: (chunk: Uint8Array) => void;
  readonly #buffer = new Uint8Array(CHUNK);
  #handle: FileHandle | undefined;
  #timer: NodeJS.Timeout | undefined;
  #reading: Promise<void> = Promise.resolve();
  #at = 0;

  constructor(path: string, onChunk: (chunk: Uint8Array) => void) {
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
      for (;;) {
        const { bytesRead } = await this.#handle.read(this.#buffer, 0, CHUNK, this.#at);
        if (bytesRead === 0) return;
        this.#at += bytesRead;
        this.#onChunk(this.#buffer.subarray(0, bytesRead));
      }
    } catch {
      // Not there yet, or not readable just now: tried again. What is followed is a diagnosis, and
      // a run must not fail for want of it.
    }
  }
}

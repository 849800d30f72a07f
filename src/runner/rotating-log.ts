/**
 * A log file that cannot fill the disk: `NAME`, and the part before it as `NAME.1`. When the first is full
 * it takes the place of the second.
 */

import { type FileHandle, open, rename, stat } from 'node:fs/promises';

/** Of each of the two files. */
export const LOG_BYTES = 4 << 20;

export const olderLog = (path: string): string => `${path}.1`;

export class RotatingLog {
  readonly #path: string;
  readonly #limit: number;
  #file: FileHandle;
  #size = 0;
  #failed = false;

  private constructor(path: string, limit: number, file: FileHandle) {
    this.#path = path;
    this.#limit = limit;
    this.#file = file;
  }

  /** Makes the file, private whatever the umask is; one that is there is an error. */
  static async open(path: string, limit = LOG_BYTES): Promise<RotatingLog> {
    return new RotatingLog(path, limit, await open(path, 'ax', 0o600));
  }

  /**
   * Adds a chunk, which may be split over both files. To be awaited before the next. A disk that is full
   * loses what comes then: a log must not end what it tells about.
   */
  async write(chunk: Uint8Array): Promise<void> {
    try {
      for (let rest = chunk; rest.length > 0;) {
        if (this.#size >= this.#limit) await this.#rotate();
        const part = rest.subarray(0, this.#limit - this.#size);
        const { bytesWritten } = await this.#file.write(part);
        this.#size += bytesWritten;
        rest = rest.subarray(bytesWritten);
      }
      this.#failed = false;
    } catch {
      this.#failed = true;
    }
  }

  /** Whether the last chunk was lost. */
  get failed(): boolean {
    return this.#failed;
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  async #rotate(): Promise<void> {
    await rename(this.#path, olderLog(this.#path));
    const next = await open(this.#path, 'ax', 0o600);
    await this.#file.close();
    this.#file = next;
    this.#size = 0;
  }
}

/** The part of a log that was rotated away, chunk by chunk; nothing when there is none. */
export async function readOlderLog(
  path: string,
  onChunk: (chunk: Uint8Array) => void | Promise<void>,
): Promise<void> {
  const [current, older] = await Promise.all([inodeOf(path), openOrNothing(olderLog(path))]);
  if (older === undefined) return;
  try {
    // Rotated between the two looks: then it is what the name led to, and will be read by that name.
    if ((await older.stat()).ino === current) return;
    for await (const chunk of older.createReadStream({ autoClose: false })) {
      await onChunk(chunk as Uint8Array);
    }
  } finally {
    await older.close();
  }
}

const inodeOf = (path: string): Promise<number | undefined> =>
  stat(path).then(
    ({ ino }) => ino,
    () => undefined,
  );

const openOrNothing = (path: string): Promise<FileHandle | undefined> =>
  open(path, 'r').catch(() => undefined);

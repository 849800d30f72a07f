/**
 * A copy of a file that nobody else can change: what is verified in it is what the machine gets, whatever
 * happens to the file meanwhile.
 */

import { randomBytes } from 'node:crypto';
import { closeSync, constants, openSync, unlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { openFileSource, streamOf, type ByteSource } from '../io/byte-source.ts';
import { openSealableMemory } from '../native/sealed-memory.ts';

export interface SealedCopy {
  /** Read-only for whoever inherits it. */
  readonly descriptor: number;
  /** The same bytes, to be verified. */
  readonly source: ByteSource;
  close(): Promise<void>;
}

/** @param folder A private one, for where the system has no files in memory. */
export async function sealedCopy(source: ByteSource, folder: string): Promise<SealedCopy> {
  const memory = await openSealableMemory(`microbuild ${source.name}`.slice(0, 200));
  const written = memory?.fd ?? openUnlinked(folder);
  let descriptor: number | undefined;
  try {
    for await (const chunk of streamOf(source)) writeAll(written, chunk);
    if (memory !== undefined) memory.seal();
    // Opened anew, for reading only; of the unlinked file no other descriptor stays.
    descriptor = openSync(`/proc/self/fd/${written}`, constants.O_RDONLY);
    const open = descriptor;
    const copy = await openFileSource(`/proc/self/fd/${descriptor}`, source.name);
    return {
      descriptor,
      source: copy,
      async close() {
        await copy.close();
        closeSync(open);
      },
    };
  } catch (error) {
    if (descriptor !== undefined) closeSync(descriptor);
    throw error;
  } finally {
    closeSync(written);
  }
}

/** A file without a name: only descriptors lead to it. */
function openUnlinked(folder: string): number {
  const path = join(folder, `.sealed-${randomBytes(6).toString('hex')}`);
  const fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600);
  unlinkSync(path);
  return fd;
}

function writeAll(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at, bytes.length - at);
}

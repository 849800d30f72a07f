/** One small file of an archive, in memory. */

import type { ByteSource } from '../../io/byte-source.ts';
import { openEntry } from './entry.ts';
import { readZip, zipError } from './read.ts';

/**
 * Reads a file as a whole; `undefined` when it is not there.
 *
 * @param maxSize In bytes.
 * @throws {FormatError} `too-large`, or when the archive is broken.
 */
export async function readEntry(
  archive: ByteSource,
  name: string,
  maxSize: number,
): Promise<Uint8Array | undefined> {
  const entry = (await readZip(archive)).entries.find((each) => each.name === name);
  if (entry === undefined) return undefined;
  if (entry.size > maxSize) {
    throw zipError('too-large', `${name} has ${entry.size} bytes, ${maxSize} are allowed`);
  }
  const bytes = new Uint8Array(entry.size);
  let at = 0;
  for await (const chunk of (await openEntry(archive, entry)).stream()) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

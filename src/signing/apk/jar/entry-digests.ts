/** The digests that a manifest lists: of each entry's data, not compressed. */

import { createHash } from 'node:crypto';
import { openEntry } from '../../../formats/zip/entry.ts';
import type { ZipEntry } from '../../../formats/zip/read.ts';
import { windowSource } from '../../../formats/zip/window-source.ts';
import type { ByteSource } from '../../../io/byte-source.ts';
import { isListedInManifest } from './names.ts';
import type { JarDigestAlgorithm } from './sign.ts';

/**
 * Digests the entries that a signed manifest lists, in one pass, each as a stream.
 *
 * @throws {FormatError} when an entry cannot be read, or is not what its CRC says.
 */
export async function digestEntries(
  source: ByteSource,
  entries: readonly ZipEntry[],
  algorithm: JarDigestAlgorithm,
  signal?: AbortSignal,
): Promise<ReadonlyMap<string, Uint8Array>> {
  const inFileOrder = entries
    .filter(({ name }) => isListedInManifest(name))
    .toSorted((a, b) => a.localHeaderOffset - b.localHeaderOffset);
  const near = windowSource(source);
  const digests = new Map<string, Uint8Array>();
  for (const entry of inFileOrder) {
    const hash = createHash(algorithm);
    for await (const chunk of (await openEntry(near, entry)).stream()) {
      signal?.throwIfAborted();
      hash.update(chunk);
    }
    digests.set(entry.name, new Uint8Array(hash.digest()));
  }
  return digests;
}

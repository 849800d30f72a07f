/**
 * The data of an entry as a stream, as Android's verifier reads it: the two headers must agree, whatever
 * is not stored is deflated, and the CRC-32 is not looked at. Entries may be larger than memory.
 */

import { createInflateRaw } from 'node:zlib';
import { METHOD_STORED } from '../../../formats/zip/layout.ts';
import type { ZipEntry } from '../../../formats/zip/read.ts';
import { streamOf } from '../../../io/byte-source.ts';
import type { ApkView } from '../verifier/apk-view.ts';
import { entryError, locateEntryData, readEntryData } from '../verifier/entry-data.ts';

/** Up to this, data is inflated at once: setting up a stream costs more. */
const SMALL_ENTRY = 1 << 20;

async function* inflate(
  { source }: ApkView,
  entry: ZipEntry,
  place: { readonly offset: number; readonly size: number },
): AsyncGenerator<Uint8Array> {
  const zlib = createInflateRaw();
  const feed = async (): Promise<void> => {
    for await (const chunk of streamOf(source, place.offset, place.size)) {
      await new Promise<void>((resolve, reject) => {
        zlib.write(chunk, (error) => (error ? reject(error) : resolve()));
      });
    }
    zlib.end();
  };
  feed().catch((error: unknown) => zlib.destroy(error as Error));
  let size = 0;
  try {
    for await (const chunk of zlib) {
      size += (chunk as Uint8Array).length;
      if (size > entry.size) break;
      yield chunk as Uint8Array;
    }
  } catch (cause) {
    throw entryError('bad-value', entry, 'its deflated data is broken', cause);
  } finally {
    zlib.destroy();
  }
  if (size !== entry.size) {
    throw entryError('bad-value', entry, `its data is not the declared ${entry.size} bytes`);
  }
}

/**
 * The data of an entry, not compressed, and never more than is declared.
 *
 * @throws {FormatError} when Android could not read it.
 */
export async function* streamEntry(apk: ApkView, entry: ZipEntry): AsyncGenerator<Uint8Array> {
  if (entry.size <= SMALL_ENTRY && entry.compressedSize <= SMALL_ENTRY) {
    yield await readEntryData(apk, entry, SMALL_ENTRY);
    return;
  }
  const place = await locateEntryData(apk, entry);
  if (entry.method === METHOD_STORED) yield* streamOf(apk.source, place.offset, place.size);
  else yield* inflate(apk, entry, place);
}

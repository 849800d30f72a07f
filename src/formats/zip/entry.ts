/** One entry of an archive: its local header, and its data decompressed and checked. */

import { crc32, createInflateRaw, inflateRawSync } from 'node:zlib';
import type { ByteSource } from '../../io/byte-source.ts';
import { streamOf } from '../../io/byte-source.ts';
import type { FileContent } from '../../io/file-tree.ts';
import {
  LOCAL_FILE_HEADER_SIGNATURE,
  LocalFileHeader,
  METHOD_DEFLATED,
  METHOD_STORED,
} from './layout.ts';
import { shownName, zipError, type ZipEntry } from './read.ts';

export interface LocalHeader {
  readonly header: ReturnType<typeof LocalFileHeader.decode>;
  readonly nameBytes: Uint8Array;
  readonly extra: Uint8Array;
  readonly dataOffset: number;
}

/** Enough for a name and the usual extra data: most entries take one read. */
const FIRST_READ = 256;

/** @throws {FormatError} when there is no local header where the central directory says. */
export async function readLocalHeader(source: ByteSource, entry: ZipEntry): Promise<LocalHeader> {
  const offset = entry.localHeaderOffset;
  const where = { offset, field: entry.name };
  if (offset + LocalFileHeader.size > source.size) {
    throw zipError('out-of-range', `entry ${shownName(entry.name)} starts beyond the file`, where);
  }
  let bytes = await source.read(offset, Math.min(FIRST_READ, source.size - offset));
  const header = LocalFileHeader.decode(bytes);
  if (header.signature !== LOCAL_FILE_HEADER_SIGNATURE) {
    throw zipError('bad-magic', `entry ${shownName(entry.name)} has no local header`, where);
  }
  const size = LocalFileHeader.size + header.nameLength + header.extraLength;
  if (offset + size > source.size) {
    throw zipError('truncated', `the local header of ${shownName(entry.name)} is cut off`, where);
  }
  if (size > bytes.length) bytes = await source.read(offset, size);
  const extraAt = LocalFileHeader.size + header.nameLength;
  return {
    header,
    nameBytes: bytes.subarray(LocalFileHeader.size, extraAt),
    extra: bytes.subarray(extraAt, size),
    dataOffset: offset + size,
  };
}

/** Entries up to this are inflated at once: setting up a stream costs more than they do. */
const SMALL_ENTRY = 64 << 10;

async function* inflateSmall(
  source: ByteSource,
  entry: ZipEntry,
  dataOffset: number,
): AsyncGenerator<Uint8Array> {
  const data = await source.read(dataOffset, entry.compressedSize);
  const where = { offset: dataOffset, field: entry.name };
  let result: { buffer: Uint8Array; engine: { bytesWritten: number } };
  try {
    result = inflateRawSync(data, {
      maxOutputLength: entry.size + 1,
      info: true,
    }) as unknown as typeof result;
  } catch (cause) {
    throw zipError('bad-value', `the deflated data of ${shownName(entry.name)} is broken`, {
      ...where,
      cause,
    });
  }
  if (result.engine.bytesWritten !== entry.compressedSize) {
    throw zipError(
      'trailing-data',
      `the deflated data of ${shownName(entry.name)} ends before its size`,
      where,
    );
  }
  yield result.buffer;
}

async function* inflate(
  source: ByteSource,
  entry: ZipEntry,
  dataOffset: number,
): AsyncGenerator<Uint8Array> {
  const where = { offset: dataOffset, field: entry.name };
  const zlib = createInflateRaw();
  const feed = (async () => {
    for await (const chunk of streamOf(source, dataOffset, entry.compressedSize)) {
      await new Promise<void>((resolve, reject) => {
        zlib.write(chunk, (error) => (error ? reject(error) : resolve()));
      });
    }
    zlib.end();
  })();
  feed.catch((error: unknown) => zlib.destroy(error as Error));
  try {
    for await (const chunk of zlib) yield chunk as Uint8Array;
  } catch (cause) {
    throw zipError('bad-value', `the deflated data of ${shownName(entry.name)} is broken`, {
      ...where,
      cause,
    });
  } finally {
    zlib.destroy();
  }
  if (zlib.bytesWritten !== entry.compressedSize) {
    throw zipError(
      'trailing-data',
      `the deflated data of ${shownName(entry.name)} ends before its size`,
      where,
    );
  }
}

/**
 * The data of an entry. Its stream ends with an error when size or CRC are not those of the central
 * directory; it never yields more than the declared size.
 *
 * @throws {FormatError} when there is no local header, or the method is not stored or deflated.
 */
export async function openEntry(source: ByteSource, entry: ZipEntry): Promise<FileContent> {
  const { dataOffset } = await readLocalHeader(source, entry);
  if (entry.method !== METHOD_STORED && entry.method !== METHOD_DEFLATED) {
    throw zipError('unsupported', `entry ${shownName(entry.name)} uses method ${entry.method}`);
  }
  if (dataOffset + entry.compressedSize > source.size) {
    throw zipError('truncated', `the data of ${shownName(entry.name)} is cut off`, {
      offset: dataOffset,
    });
  }
  const where = { offset: dataOffset, field: entry.name };
  return {
    size: entry.size,
    async *stream() {
      const isSmall = entry.compressedSize <= SMALL_ENTRY && entry.size <= SMALL_ENTRY;
      const data =
        entry.method === METHOD_STORED
          ? streamOf(source, dataOffset, entry.compressedSize)
          : (isSmall ? inflateSmall : inflate)(source, entry, dataOffset);
      let crc = 0;
      let size = 0;
      for await (const chunk of data) {
        size += chunk.length;
        if (size > entry.size) break;
        crc = crc32(chunk, crc);
        yield chunk;
      }
      if (size !== entry.size) {
        throw zipError(
          'bad-value',
          `the data of ${shownName(entry.name)} is not ${entry.size} bytes long`,
          where,
        );
      }
      if (crc !== entry.crc32) {
        throw zipError(
          'bad-checksum',
          `the CRC-32 of ${shownName(entry.name)} does not match`,
          where,
        );
      }
    },
  };
}

/** Streams that are compressed with gzip, xz or zstd, told apart by their first bytes. */

import { once } from 'node:events';
import { createGunzip } from 'node:zlib';
import xzDecompress from 'xz-decompress';
import { FormatError } from '../../core/errors.ts';
import { bytesSource, streamOf, type ByteSource } from '../../io/byte-source.ts';
import { xzStreams } from './xz-streams.ts';
import { unzstd } from '../../compression/zstd/decode-stream.ts';

export type Compression = 'gzip' | 'xz' | 'zstd' | 'none';

const MAGICS: readonly (readonly [Compression, string])[] = [
  ['gzip', '1f8b'],
  ['xz', 'fd377a585a00'],
  ['zstd', '28b52ffd'],
  // A frame to skip: parallel compressors put their table of frames there.
  ...Array.from({ length: 16 }, (_, kind): readonly ['zstd', string] => [
    'zstd',
    `5${kind.toString(16)}2a4d18`,
  ]),
];

/** How a source is compressed, by its first bytes. */
export async function detectCompression(source: ByteSource): Promise<Compression> {
  const head = Buffer.from(await source.read(0, Math.min(6, source.size))).toString('hex');
  return MAGICS.find(([, magic]) => head.startsWith(magic))?.[0] ?? 'none';
}

/** All members of a stream; zeros may fill what is behind them, as tapes do it. */
async function* gunzip(source: ByteSource): AsyncGenerator<Uint8Array> {
  const decoder = createGunzip();
  const stop = new AbortController();
  const feed = async (): Promise<void> => {
    for await (const chunk of streamOf(source)) {
      if (!decoder.write(chunk)) await once(decoder, 'drain', { signal: stop.signal });
    }
    decoder.end();
  };
  // The decoder's own error is the one that its reader sees.
  const feeding = feed().catch((error: unknown) => {
    decoder.destroy(error instanceof Error ? error : new Error(String(error)));
  });
  try {
    yield* decoder as AsyncIterable<Uint8Array>;
    // Node's decoder passes over whatever follows the last member.
    await feeding;
    const end = decoder.bytesWritten;
    for await (const chunk of streamOf(source, end, source.size - end)) {
      if (chunk.some((byte) => byte !== 0)) {
        throw new FormatError('gzip', 'trailing-data', 'other bytes follow its end');
      }
    }
  } finally {
    stop.abort();
    decoder.destroy();
    await feeding;
  }
}

/** xz-decompress is XZ Embedded without branch filters; this is how it says XZ_OPTIONS_ERROR. */
const XZ_OPTIONS_ERROR = /error code 6$/;

function xzError(error: unknown): unknown {
  if (!(error instanceof Error && XZ_OPTIONS_ERROR.test(error.message))) return error;
  return new FormatError('xz', 'unsupported', 'it uses a filter other than LZMA2', {
    cause: error,
    hint: 'Unpack it with the program xz: kernels for x86 are packed so, too',
  });
}

/** The decoder reads one stream; a file may have several. */
async function* unxz(source: ByteSource): AsyncGenerator<Uint8Array> {
  for (const { offset, size } of await xzStreams(source)) {
    yield* unxzStream(streamOf(source, offset, size));
  }
}

async function* unxzStream(input: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const stream = new xzDecompress.XzReadableStream(ReadableStream.from(input));
  const reader = stream.getReader();
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      // The decoder hands out views of its own memory, which it uses again.
      yield next.value.slice();
    }
  } catch (error) {
    throw xzError(error);
  } finally {
    reader.releaseLock();
  }
}

/** Decodes; whatever goes wrong names the source. */
async function* decode(
  source: ByteSource,
  compression: Exclude<Compression, 'none'>,
): AsyncGenerator<Uint8Array> {
  const decoders = {
    gzip: gunzip,
    xz: unxz,
    zstd: (from: ByteSource) => unzstd(streamOf(from)),
  };
  try {
    yield* decoders[compression](source);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    const code = cause instanceof FormatError ? cause.code : 'bad-value';
    const problem = code === 'unsupported' ? 'cannot be read' : 'is damaged or cut off';
    throw new FormatError(
      compression,
      code,
      `Cannot decompress ${source.name}: its ${compression} stream ${problem}: ${why}`,
      {
        cause,
        ...(cause instanceof FormatError && cause.hint !== undefined && { hint: cause.hint }),
      },
    );
  }
}

/**
 * Decodes a whole source, or passes on what is not compressed.
 *
 * @param maxSize What it may decode to, in bytes; a stream that yields more is refused.
 * @throws {FormatError} naming the source, when its stream is damaged, cut off or too large.
 */
export async function* decompress(source: ByteSource, maxSize: number): AsyncGenerator<Uint8Array> {
  const compression = await detectCompression(source);
  let size = 0;
  for await (const chunk of compression === 'none'
    ? streamOf(source)
    : decode(source, compression)) {
    size += chunk.length;
    if (size > maxSize) {
      throw new FormatError(
        compression === 'none' ? 'tar' : compression,
        'too-large',
        `Cannot decompress ${source.name}: it holds more than ${maxSize} bytes`,
      );
    }
    yield chunk;
  }
}

/**
 * Decodes bytes in memory to exactly `size` bytes: a decoder that `extractVmlinux` may be given for zstd.
 * (The XZ of x86 kernels has a branch filter, which is not supported.)
 *
 * @throws {FormatError} when the stream is damaged or decodes to another size.
 */
export async function decompressBytes(data: Uint8Array, size: number): Promise<Uint8Array> {
  const out = new Uint8Array(size);
  let at = 0;
  for await (const chunk of decompress(bytesSource(data, 'kernel'), size)) {
    out.set(chunk, at);
    at += chunk.length;
  }
  if (at !== size) {
    throw new FormatError(
      'tar',
      'truncated',
      `Cannot decompress kernel: it decodes to ${at} bytes, expected ${size}`,
    );
  }
  return out;
}

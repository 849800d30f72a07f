/**
 * Where the streams of an .xz file are. Several may follow each other, with zeros between and behind them; each ends
 * in an index of its blocks and a footer that says how long the index is, so that they are found from the end.
 *
 * @see The .xz File Format 1.2.1, sections 2.1, 2.2 and 4
 */

import { crc32 } from 'node:zlib';
import { FormatError, type FormatErrorCode } from '../../core/errors.ts';
import type { ByteSource } from '../../io/byte-source.ts';

/** A stream in its file, in bytes. */
export interface XzStream {
  readonly offset: number;
  readonly size: number;
}

const HEADER_SIZE = 12;
const FOOTER_SIZE = 12;
const HEADER_MAGIC = 'fd377a585a00';
const FOOTER_MAGIC = 'YZ';
/** How blocks are checked, in the flags of a stream. */
const CHECK_MASK = 0x0f;
const CHECK_SHA256 = 0x0a;
/** Some millions of blocks. In bytes. */
const MAX_INDEX = 32 << 20;
/** Parallel packers write one for each 16 MiB and more. */
const MAX_STREAMS = 4096;
/** Of padding that is read at once, in bytes. */
const PADDING_STEP = 4096;

const refuse = (code: FormatErrorCode, why: string): never => {
  throw new FormatError('xz', code, why);
};

/**
 * @returns the streams in their order.
 * @throws {FormatError} when the file does not consist of streams and padding.
 */
export async function xzStreams(source: ByteSource): Promise<readonly XzStream[]> {
  const streams: XzStream[] = [];
  for (let end = await beforePadding(source, source.size); end > 0;) {
    const stream = await streamBefore(source, end);
    streams.push(stream);
    if (streams.length > MAX_STREAMS)
      refuse('too-large', `it has more than ${MAX_STREAMS} streams`);
    end = await beforePadding(source, stream.offset);
  }
  return streams.reverse();
}

/** Padding comes in words of four zeros. */
async function beforePadding(source: ByteSource, from: number): Promise<number> {
  for (let end = from; end > 0;) {
    const size = Math.min(PADDING_STEP, end);
    const bytes = await source.read(end - size, size);
    let zeros = 0;
    while (zeros < size && bytes[size - 1 - zeros] === 0) zeros += 1;
    if (zeros === size) {
      end -= size;
      continue;
    }
    return from - Math.floor((from - end + zeros) / 4) * 4;
  }
  return 0;
}

async function streamBefore(source: ByteSource, end: number): Promise<XzStream> {
  if (end < HEADER_SIZE + FOOTER_SIZE) refuse('truncated', 'its end is missing');
  const footer = Buffer.from(await source.read(end - FOOTER_SIZE, FOOTER_SIZE));
  if (footer.toString('latin1', 10) !== FOOTER_MAGIC) refuse('truncated', 'its end is missing');
  if (footer.readUInt32LE(0) !== crc32(footer.subarray(4, 10))) {
    refuse('bad-checksum', 'its footer has another checksum');
  }
  const indexSize = (footer.readUInt32LE(4) + 1) * 4;
  const indexOffset = end - FOOTER_SIZE - indexSize;
  if (indexSize > MAX_INDEX) refuse('too-large', `its index has ${indexSize} bytes`);
  if (indexOffset < HEADER_SIZE) refuse('out-of-range', 'its index is longer than it is');
  const offset = indexOffset - blocksSize(await source.read(indexOffset, indexSize)) - HEADER_SIZE;
  if (offset < 0) refuse('out-of-range', 'its blocks are longer than it is');
  const header = Buffer.from(await source.read(offset, HEADER_SIZE));
  if (((header[7] ?? 0) & CHECK_MASK) === CHECK_SHA256) {
    throw new FormatError('xz', 'unsupported', 'it is checked by SHA-256 instead of CRC', {
      hint: 'Pack it with xz --check=crc64, which is what xz does by itself',
    });
  }
  if (!header.toString('hex').startsWith(HEADER_MAGIC))
    refuse('bad-magic', 'a stream has no header where its index says');
  return { offset, size: end - offset };
}

/** What all blocks of an index take, each filled up to four bytes. The decoder looks at the rest of it. */
function blocksSize(index: Uint8Array): number {
  let at = 1;
  /** A number in groups of seven bits. */
  const next = (): number => {
    let value = 0;
    for (let shift = 0; shift < 63; shift += 7) {
      const byte = index[at] ?? refuse('truncated', 'its index is cut off');
      at += 1;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    return refuse('bad-value', 'its index is damaged');
  };
  if (index[0] !== 0) refuse('bad-value', 'its index is damaged');
  const count = next();
  let size = 0;
  for (let block = 0; block < count; block += 1) {
    size += Math.ceil(next() / 4) * 4;
    next();
  }
  return size;
}

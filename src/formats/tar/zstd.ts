/**
 * Zstandard streams by fzstd, which neither checks a frame's checksum nor bounds its window: both are done
 * here, frame by frame.
 *
 * @see RFC 8878, section 3.1.1
 */

import { Decompress } from 'fzstd';
import { FormatError } from '../../core/errors.ts';
import { Xxh64 } from './xxh64.ts';

const MAGIC = 0xfd2fb528;
const SKIPPABLE_MAGIC = 0x184d2a50;
/** What the zstd program takes without being told to take more, and what it writes at most. */
const MAX_WINDOW = 128n << 20n;
const BLOCK_RLE = 1;
const BLOCK_RESERVED = 3;

function refuse(
  code: 'truncated' | 'bad-magic' | 'bad-value' | 'bad-checksum' | 'too-large' | 'unsupported',
  why: string,
): never {
  throw new FormatError('zstd', code, `Cannot decompress zstd: ${why}`);
}

/** Exactly as many bytes as asked for, from chunks of any size. */
class ChunkReader {
  readonly #input: AsyncIterator<Uint8Array>;
  #buffer: Uint8Array = new Uint8Array(0);

  constructor(input: AsyncIterable<Uint8Array>) {
    this.#input = input[Symbol.asyncIterator]();
  }

  async #fill(length: number): Promise<boolean> {
    while (this.#buffer.length < length) {
      const { done, value } = await this.#input.next();
      if (done === true) return false;
      this.#buffer =
        this.#buffer.length === 0 ? value : new Uint8Array(Buffer.concat([this.#buffer, value]));
    }
    return true;
  }

  async atEnd(): Promise<boolean> {
    return !(await this.#fill(1));
  }

  async take(length: number): Promise<Uint8Array> {
    if (!(await this.#fill(length))) refuse('truncated', 'a frame is cut off');
    const taken = this.#buffer.subarray(0, length);
    this.#buffer = this.#buffer.subarray(length);
    return taken;
  }
}

const viewOf = (data: Uint8Array): DataView =>
  new DataView(data.buffer, data.byteOffset, data.length);

interface FrameHeader {
  readonly bytes: Uint8Array;
  readonly hasChecksum: boolean;
}

/** The part of a frame header behind the magic; refuses windows that would take too much memory. */
async function readFrameHeader(reader: ChunkReader): Promise<FrameHeader> {
  const descriptor = await reader.take(1);
  const flags = descriptor[0] ?? 0;
  if ((flags & 0x08) !== 0) refuse('bad-value', 'a reserved bit of a frame header is set');
  if ((flags & 0x03) !== 0) refuse('unsupported', 'a frame needs a dictionary');
  const isSingleSegment = (flags & 0x20) !== 0;
  const contentSizeBytes = [isSingleSegment ? 1 : 0, 2, 4, 8][flags >> 6] ?? 0;
  const rest = await reader.take((isSingleSegment ? 0 : 1) + contentSizeBytes);
  const bytes = new Uint8Array(Buffer.concat([descriptor, rest]));
  let window: bigint;
  if (isSingleSegment) {
    const size = new Uint8Array(8);
    size.set(rest);
    window = viewOf(size).getBigUint64(0, true) + (contentSizeBytes === 2 ? 256n : 0n);
  } else {
    const [exponent, mantissa] = [(rest[0] ?? 0) >> 3, (rest[0] ?? 0) & 7];
    const base = 1n << BigInt(10 + exponent);
    window = base + (base / 8n) * BigInt(mantissa);
  }
  if (window > MAX_WINDOW) refuse('too-large', `a frame needs a window of ${window} bytes`);
  return { bytes, hasChecksum: (flags & 0x04) !== 0 };
}

async function* decodeFrame(reader: ChunkReader, magic: Uint8Array): AsyncGenerator<Uint8Array> {
  const { bytes, hasChecksum } = await readFrameHeader(reader);
  const ready: Uint8Array[] = [];
  const decoder = new Decompress((chunk) => ready.push(chunk));
  const checksum = new Xxh64();
  const feed = (data: Uint8Array, isLast = false): Uint8Array[] => {
    try {
      // A copy, as fzstd keeps views of what it is given.
      decoder.push(data.slice(), isLast);
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new FormatError('zstd', 'bad-value', `Cannot decompress zstd: ${why}`, { cause });
    }
    const chunks = ready.splice(0);
    for (const chunk of chunks) checksum.update(chunk);
    return chunks;
  };
  yield* feed(new Uint8Array(Buffer.concat([magic, bytes])));
  for (let isLast = false; !isLast;) {
    const head = await reader.take(3);
    const value = (head[0] ?? 0) | ((head[1] ?? 0) << 8) | ((head[2] ?? 0) << 16);
    const type = (value >> 1) & 3;
    isLast = (value & 1) === 1;
    if (type === BLOCK_RESERVED) refuse('bad-value', 'a block is of the reserved type');
    const block = await reader.take(type === BLOCK_RLE ? 1 : value >> 3);
    const isEnd = isLast && !hasChecksum;
    yield* feed(new Uint8Array(Buffer.concat([head, block])), isEnd);
  }
  if (!hasChecksum) return;
  const stored = await reader.take(4);
  yield* feed(stored, true);
  if (Number(checksum.digest() & 0xffffffffn) !== viewOf(stored).getUint32(0, true)) {
    refuse('bad-checksum', 'the checksum of a frame is another one');
  }
}

/**
 * Decodes all frames of a stream.
 *
 * @throws {FormatError} when a frame is damaged, cut off, or needs a dictionary or too large a window.
 */
export async function* unzstd(input: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const reader = new ChunkReader(input);
  while (!(await reader.atEnd())) {
    const magic = await reader.take(4);
    const value = viewOf(magic).getUint32(0, true);
    if (value === MAGIC) {
      yield* decodeFrame(reader, magic.slice());
    } else if (value >>> 4 === SKIPPABLE_MAGIC >>> 4) {
      let left = viewOf(await reader.take(4)).getUint32(0, true);
      for (; left > 0; left -= Math.min(left, 65536)) await reader.take(Math.min(left, 65536));
    } else {
      refuse('bad-magic', 'bytes that are no frame follow');
    }
  }
}

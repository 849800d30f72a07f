/**
 * Zstandard streams of any length: frame after frame.
 *
 * @see RFC 8878, section 3.1
 */

import {
  checkFrameHeader,
  createFrameDecoder,
  frameHeaderSize,
  parseBlockHeader,
  refuseZstd,
  ZSTD_MAGIC,
} from './frame.ts';

const SKIPPABLE_MAGIC = 0x184d2a50;
/** What the zstd program takes without being told to take more, and what it writes at most. */
const MAX_WINDOW = 128 << 20;

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
    if (!(await this.#fill(length))) refuseZstd('truncated', 'a frame is cut off');
    const taken = this.#buffer.subarray(0, length);
    this.#buffer = this.#buffer.subarray(length);
    return taken;
  }
}

const viewOf = (data: Uint8Array): DataView =>
  new DataView(data.buffer, data.byteOffset, data.length);

async function* decodeFrame(reader: ChunkReader, magic: Uint8Array): AsyncGenerator<Uint8Array> {
  const descriptor = await reader.take(1);
  const rest = await reader.take(frameHeaderSize(descriptor[0] ?? 0) - 1);
  const header = Buffer.concat([descriptor, rest]);
  const { hasChecksum } = checkFrameHeader(header, MAX_WINDOW);
  const decoder = createFrameDecoder();
  yield* decoder.feed(Buffer.concat([magic, header]));
  for (let isLast = false; !isLast;) {
    const head = await reader.take(3);
    const parsed = parseBlockHeader(head);
    isLast = parsed.isLast;
    const block = await reader.take(parsed.size);
    yield* decoder.feed(Buffer.concat([head, block]), isLast && !hasChecksum);
  }
  if (!hasChecksum) return;
  const stored = await reader.take(4);
  yield* decoder.feed(stored, true);
  decoder.check(stored);
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
    if (value === ZSTD_MAGIC) {
      yield* decodeFrame(reader, magic.slice());
    } else if (value >>> 4 === SKIPPABLE_MAGIC >>> 4) {
      let left = viewOf(await reader.take(4)).getUint32(0, true);
      for (; left > 0; left -= Math.min(left, 65536)) await reader.take(Math.min(left, 65536));
    } else {
      refuseZstd('bad-magic', 'bytes that are no frame follow');
    }
  }
}

/**
 * The legacy LZ4 stream that Linux compresses itself with (`lz4 -l`), decoder only.
 *
 * FORMAT
 * - u32le 0x184c2102
 * - blocks: u32le compressed size, one LZ4 block of at most 8 MiB when decoded
 *
 * @see lz4_Frame_format.md of LZ4, "Legacy frame"
 */

import { decodeLz4Block } from '../../compression/lz4/decode.ts';
import { FormatError } from '../../core/errors.ts';

const LZ4_LEGACY_MAGIC = 0x184c2102;
/** What one block may decode to. */
const LEGACY_BLOCK_SIZE = 8 << 20;

function refuse(why: string, offset: number): never {
  throw new FormatError('lz4', 'bad-value', `Cannot decode LZ4: ${why}`, { offset });
}

/**
 * Decodes a whole legacy stream.
 *
 * @param size What it must decode to, in bytes: allocated once, never exceeded.
 * @throws {FormatError} when it is not such a stream, or decodes to another size.
 */
export function decodeLz4Legacy(source: Uint8Array, size: number): Uint8Array {
  checkMagic(source);
  // Each byte of a block yields at most 255, so that a short stream cannot ask for much memory.
  if (size > source.length * 255) refuse(`${source.length} bytes cannot decode to ${size}`, 0);
  const target = new Uint8Array(size);
  let to = 0;
  for (const { at, end } of blocksOf(source)) {
    const limit = Math.min(size, to + LEGACY_BLOCK_SIZE);
    to += decodeLz4Block(source, at, end, target, to, limit);
  }
  if (to !== size) refuse(`the stream decodes to ${to} bytes, expected ${size}`, source.length);
  return target;
}

/**
 * Decodes a stream that does not say what it decodes to. The kernel's build may put that number, 4
 * bytes, behind it.
 *
 * @param maxSize A stream that yields more bytes is refused.
 * @throws {FormatError} when it is not such a stream, or yields too much.
 */
export function decodeLz4LegacyUpTo(source: Uint8Array, maxSize: number): Uint8Array {
  checkMagic(source);
  const parts: Uint8Array[] = [];
  let size = 0;
  for (const { at, end } of blocksOf(source, () => size)) {
    // A block yields no more than 255 bytes for each of its own.
    const part = new Uint8Array(Math.min(LEGACY_BLOCK_SIZE, (end - at) * 255));
    const length = decodeLz4Block(source, at, end, part, 0, part.length);
    parts.push(part.subarray(0, length));
    size += length;
    if (size > maxSize) refuse(`the stream decodes to more than ${maxSize} bytes`, at);
  }
  return new Uint8Array(Buffer.concat(parts, size));
}

function checkMagic(source: Uint8Array): void {
  const view = new DataView(source.buffer, source.byteOffset, source.length);
  if (source.length < 4 || view.getUint32(0, true) !== LZ4_LEGACY_MAGIC) {
    refuse('the magic of a legacy stream is missing', 0);
  }
}

/** @param decoded How many bytes there are so far, where the stream may end with that number. */
function* blocksOf(
  source: Uint8Array,
  decoded?: () => number,
): Generator<{ readonly at: number; readonly end: number }> {
  const view = new DataView(source.buffer, source.byteOffset, source.length);
  for (let at = 4; at < source.length;) {
    if (source.length - at < 4) refuse('a block has no size', at);
    const blockSize = view.getUint32(at, true);
    if (decoded !== undefined && source.length - at === 4 && blockSize === decoded()) return;
    at += 4;
    if (blockSize > source.length - at) {
      refuse(`a block of ${blockSize} bytes ends behind the stream`, at - 4);
    }
    yield { at, end: at + blockSize };
    at += blockSize;
  }
}

/** One Zstandard frame in memory, whose decompressed size the caller knows: a file system's cluster. */

import {
  checkFrameHeader,
  createFrameDecoder,
  frameHeaderSize,
  parseBlockHeader,
  refuseZstd,
  ZSTD_MAGIC,
} from './frame.ts';

/** Frames that decompress to little still have a window, which no encoder makes smaller than this. */
const SMALLEST_MAX_WINDOW = 1 << 24;

/**
 * Decodes the first `length` bytes of a frame; memory is bounded by them.
 *
 * @param isExact Whether frame and input must end with them; then the checksum counts, too.
 * @throws {FormatError} when the frame is damaged, ends early or needs a dictionary or a window of over 16 MiB
 *   and `length`.
 */
export function decodeZstdFrame(input: Uint8Array, length: number, isExact = false): Uint8Array {
  const at = (offset: number, size: number): Uint8Array => {
    if (offset + size > input.length) refuseZstd('truncated', 'a frame is cut off');
    return input.subarray(offset, offset + size);
  };
  const magic = at(0, 5);
  if (new DataView(magic.buffer, magic.byteOffset).getUint32(0, true) !== ZSTD_MAGIC) {
    refuseZstd('bad-magic', 'it does not start with a frame');
  }
  const headerSize = frameHeaderSize(magic[4] ?? 0);
  const maxWindow = Math.max(length, SMALLEST_MAX_WINDOW);
  const { hasChecksum } = checkFrameHeader(at(4, headerSize), maxWindow);
  const decoder = createFrameDecoder();
  const target = new Uint8Array(length);
  let filled = 0;
  const take = (chunks: readonly Uint8Array[]): void => {
    for (const chunk of chunks) {
      const fitting = chunk.subarray(0, length - filled);
      if (isExact && fitting.length < chunk.length) {
        refuseZstd('bad-value', `a frame holds more than ${length} bytes`);
      }
      target.set(fitting, filled);
      filled += fitting.length;
    }
  };

  take(decoder.feed(at(0, 4 + headerSize)));
  let offset = 4 + headerSize;
  const isEnough = (): boolean => !isExact && filled === length;
  for (let isLast = false; !isLast && !isEnough();) {
    const block = parseBlockHeader(at(offset, 3));
    isLast = block.isLast;
    take(decoder.feed(at(offset, 3 + block.size), isLast && !hasChecksum));
    offset += 3 + block.size;
    if (isLast && hasChecksum) {
      const stored = at(offset, 4);
      take(decoder.feed(stored, true));
      decoder.check(stored);
      offset += 4;
    }
  }
  if (filled < length) refuseZstd('bad-value', `a frame holds ${filled} of ${length} bytes`);
  if (isExact && offset !== input.length) {
    refuseZstd('bad-value', `${input.length - offset} bytes follow a frame`);
  }
  return target;
}

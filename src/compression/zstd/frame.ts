/**
 * One Zstandard frame by fzstd, which neither checks a frame's checksum nor bounds its window: both are done
 * here.
 *
 * @see RFC 8878, section 3.1.1
 */

import { Decompress } from 'fzstd';
import { FormatError } from '../../core/errors.ts';
import { Xxh64 } from './xxh64.ts';

export const ZSTD_MAGIC = 0xfd2fb528;
const BLOCK_RLE = 1;
const BLOCK_RESERVED = 3;

export function refuseZstd(
  code: 'truncated' | 'bad-magic' | 'bad-value' | 'bad-checksum' | 'too-large' | 'unsupported',
  why: string,
): never {
  throw new FormatError('zstd', code, `Cannot decompress zstd: ${why}`);
}

/** Bytes of the frame header behind the magic, told by its first byte. */
export function frameHeaderSize(descriptor: number): number {
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const contentSizeBytes = [isSingleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0;
  return 1 + (isSingleSegment ? 0 : 1) + contentSizeBytes;
}

/**
 * Checks the part of a frame header behind the magic.
 *
 * @param maxWindow The largest window that is allowed, in bytes.
 * @throws {FormatError} on reserved bits, dictionaries and larger windows.
 */
export function checkFrameHeader(header: Uint8Array, maxWindow: number): { hasChecksum: boolean } {
  const flags = header[0] ?? 0;
  if ((flags & 0x08) !== 0) refuseZstd('bad-value', 'a reserved bit of a frame header is set');
  if ((flags & 0x03) !== 0) refuseZstd('unsupported', 'a frame needs a dictionary');
  let window: bigint;
  if ((flags & 0x20) !== 0) {
    const size = new Uint8Array(8);
    size.set(header.subarray(1));
    const smallest = header.length === 3 ? 256n : 0n;
    window = new DataView(size.buffer).getBigUint64(0, true) + smallest;
  } else {
    const [exponent, mantissa] = [(header[1] ?? 0) >> 3, (header[1] ?? 0) & 7];
    const base = 1n << BigInt(10 + exponent);
    window = base + (base / 8n) * BigInt(mantissa);
  }
  if (window > BigInt(maxWindow)) {
    refuseZstd('too-large', `a frame needs a window of ${window} bytes`);
  }
  return { hasChecksum: (flags & 0x04) !== 0 };
}

/** The header of a block: how many bytes follow, and whether more blocks do. */
export function parseBlockHeader(header: Uint8Array): { size: number; isLast: boolean } {
  const value = (header[0] ?? 0) | ((header[1] ?? 0) << 8) | ((header[2] ?? 0) << 16);
  const type = (value >> 1) & 3;
  if (type === BLOCK_RESERVED) refuseZstd('bad-value', 'a block is of the reserved type');
  return { size: type === BLOCK_RLE ? 1 : value >> 3, isLast: (value & 1) === 1 };
}

/** Decodes a frame that is fed piece by piece. */
export interface FrameDecoder {
  /** @returns what became ready. */
  feed(data: Uint8Array, isLast?: boolean): Uint8Array[];
  /** @throws {FormatError} when what was made has another checksum. */
  check(stored: Uint8Array): void;
}

export function createFrameDecoder(): FrameDecoder {
  const ready: Uint8Array[] = [];
  const decoder = new Decompress((chunk) => ready.push(chunk));
  const checksum = new Xxh64();
  return {
    feed(data, isLast = false) {
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
    },
    check(stored) {
      const expected = new DataView(stored.buffer, stored.byteOffset).getUint32(0, true);
      if (Number(checksum.digest() & 0xffffffffn) !== expected) {
        refuseZstd('bad-checksum', 'the checksum of a frame is another one');
      }
    },
  };
}

import { alignUp } from '../core/math.ts';
import type { ByteSource } from '../io/byte-source.ts';

/**
 * Reads blocks of a source; what is missing of the last one is zeros.
 *
 * @param at The first byte to read: a multiple of the block size.
 */
export async function readBlocks(
  source: ByteSource,
  at: number,
  length: number,
  blockSize: number,
): Promise<Uint8Array> {
  const data = await source.read(at, Math.min(length, source.size - at));
  if (data.length % blockSize === 0) return data;
  const padded = new Uint8Array(alignUp(data.length, blockSize));
  padded.set(data);
  return padded;
}

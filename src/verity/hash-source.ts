/** The digests of a source's blocks: read by the hasher itself where it can, a chunk at a time else. */

import { divCeil } from '../core/math.ts';
import { STREAM_CHUNK, type ByteSource } from '../io/byte-source.ts';
import {
  digestStride,
  type BlockHasher,
  type BlockHashParameters,
  type FileRange,
} from './block-hasher.ts';
import { readBlocks } from './read-blocks.ts';

/** So many bytes of data are hashed between two reports of progress, ... */
const MAX_WINDOW_BYTES = 1 << 27;
/** ... and so many digests are in memory: at most 4 MiB. */
const MAX_WINDOW_BLOCKS = 1 << 16;

/** How many blocks to hash at a time: a multiple of 4096, which all digests-per-block divide. */
export function windowBlocks(blockSize: number): number {
  return Math.max(4096, Math.min(MAX_WINDOW_BYTES / blockSize, MAX_WINDOW_BLOCKS));
}

/**
 * Hashes `blocks` blocks of a source from block `first` on; what is missing of the last one is zeros.
 *
 * @param digests Where they go, a power of two apart (`digestStride`).
 * @throws whatever reading throws; the signal's reason.
 */
export async function hashSourceBlocks(
  source: ByteSource,
  { first, blocks }: { readonly first: number; readonly blocks: number },
  parameters: BlockHashParameters,
  hasher: BlockHasher,
  digests: Uint8Array,
  signal?: AbortSignal,
): Promise<void> {
  signal?.throwIfAborted();
  const { blockSize, algorithm } = parameters;
  const start = first * blockSize;
  const length = Math.min(blocks * blockSize, source.size - start);
  const range: FileRange | undefined = source.file && {
    fd: source.file.fd,
    offset: source.file.offset + start,
    length,
  };
  const hashed = range && hasher.hashFile?.(parameters, range, digests);
  if (hashed !== undefined) return hashed;

  const stride = digestStride(algorithm);
  const chunks = divCeil(length, STREAM_CHUNK);
  const readChunk = (index: number): Promise<Uint8Array> | undefined => {
    if (index >= chunks) return undefined;
    const at = index * STREAM_CHUNK;
    const read = readBlocks(source, start + at, Math.min(STREAM_CHUNK, length - at), blockSize);
    // Awaited at its turn; until then a failure must not count as unhandled.
    read.catch(() => undefined);
    return read;
  };
  let ahead = readChunk(0);
  for (let index = 0; ahead !== undefined; index += 1) {
    signal?.throwIfAborted();
    const data = await ahead;
    // The next chunk is read while this one is hashed.
    ahead = readChunk(index + 1);
    const to = ((index * STREAM_CHUNK) / blockSize) * stride;
    await hasher.hashBlocks(parameters, data, digests.subarray(to));
  }
}

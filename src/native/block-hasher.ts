/** Hash trees with the native library: the same digests as node:crypto's, several times as fast. */

import { availableParallelism } from 'node:os';
import { digestStride, nodeBlockHasher, type BlockHasher } from '../verity/block-hasher.ts';
import type { NativeLibrary } from './library.ts';

/** Below this a thread costs more than it saves: handing over work takes about 30 us. */
const MIN_BYTES_PER_THREAD = 256 << 10;
/** The threads of libuv's pool, which reading files needs too. */
const MAX_THREADS = 4;

/** Hashes SHA-256 trees with the library, on as many threads as it pays for; others with node:crypto. */
export function createNativeBlockHasher(
  library: Pick<NativeLibrary, 'hashBlocks' | 'hashBlocksAsync'>,
  threads: number = Math.min(availableParallelism(), MAX_THREADS),
): BlockHasher {
  const stride = digestStride('sha256');
  return {
    hashBlocks(parameters, data, digests) {
      if (parameters.algorithm !== 'sha256') {
        return nodeBlockHasher.hashBlocks(parameters, data, digests);
      }
      const { blockSize, salt } = parameters;
      const parts = Math.min(threads, Math.floor(data.length / MIN_BYTES_PER_THREAD));
      if (parts <= 1) return library.hashBlocks(data, blockSize, salt, digests);

      const blocks = Math.ceil(data.length / blockSize / parts);
      const work: Promise<void>[] = [];
      for (let first = 0; first * blockSize < data.length; first += blocks) {
        work.push(
          library.hashBlocksAsync(
            data.subarray(first * blockSize, (first + blocks) * blockSize),
            blockSize,
            salt,
            digests.subarray(first * stride),
          ),
        );
      }
      return Promise.all(work).then(() => undefined);
    },
  };
}

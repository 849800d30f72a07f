/** Hash trees with the native library: the same digests as node:crypto's, several times as fast. */

import { availableParallelism } from 'node:os';
import { digestStride, nodeBlockHasher, type BlockHasher } from '../verity/block-hasher.ts';
import { callAsync, type NativeLibrary } from './library.ts';

const SHA256_SIZE = 32;
const MAX_SALT = 256;

/** Below this a thread costs more than it saves: handing over work takes about 30 us. */
const MIN_BYTES_PER_THREAD = 256 << 10;
/** The threads of libuv's pool, which reading files needs too. */
const MAX_THREADS = 4;

/** Hashes SHA-256 trees with the library, on as many threads as it pays for; others with node:crypto. */
export function createNativeBlockHasher(
  library: NativeLibrary,
  threads: number = Math.min(availableParallelism(), MAX_THREADS),
): BlockHasher {
  const hash = library.func(
    'int mb_hash_blocks_sha256(const uint8_t *data, size_t blocks, size_t block_size, const uint8_t *salt, size_t salt_len, _Out_ uint8_t *out)',
  );
  const stride = digestStride('sha256');
  const hashHere = (
    data: Uint8Array,
    size: number,
    salt: Uint8Array,
    digests: Uint8Array,
  ): void => {
    const blocks = countBlocks(data, size, salt, digests);
    checkHashed(hash(data, blocks, size, salt, salt.length, digests));
  };
  const hashAside = async (
    data: Uint8Array,
    size: number,
    salt: Uint8Array,
    digests: Uint8Array,
  ): Promise<void> => {
    const blocks = countBlocks(data, size, salt, digests);
    checkHashed(await callAsync(hash, data, blocks, size, salt, salt.length, digests));
  };

  return {
    hashBlocks(parameters, data, digests) {
      if (parameters.algorithm !== 'sha256') {
        return nodeBlockHasher.hashBlocks(parameters, data, digests);
      }
      const { blockSize, salt } = parameters;
      const parts = Math.min(threads, Math.floor(data.length / MIN_BYTES_PER_THREAD));
      if (parts <= 1) return hashHere(data, blockSize, salt, digests);

      const blocks = Math.ceil(data.length / blockSize / parts);
      const work: Promise<void>[] = [];
      for (let first = 0; first * blockSize < data.length; first += blocks) {
        work.push(
          hashAside(
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

/** How many blocks there are, once every size is what the library relies on. */
function countBlocks(
  data: Uint8Array,
  blockSize: number,
  salt: Uint8Array,
  digests: Uint8Array,
): number {
  if (!Number.isSafeInteger(blockSize) || blockSize <= 0 || data.length % blockSize !== 0) {
    throw new RangeError(`${data.length} bytes are not a whole number of blocks of ${blockSize}`);
  }
  const blocks = data.length / blockSize;
  if (salt.length > MAX_SALT) {
    throw new RangeError(`A salt of ${salt.length} bytes is longer than ${MAX_SALT}`);
  }
  if (digests.length < blocks * SHA256_SIZE) {
    throw new RangeError(`${digests.length} bytes have no room for ${blocks} digests`);
  }
  return blocks;
}

function checkHashed(result: unknown): void {
  if (result !== 0) throw new RangeError(`The native library refused to hash: ${String(result)}`);
}

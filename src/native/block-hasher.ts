/** Hash trees with the native library: the same digests as node:crypto's, several times as fast. */

import { availableParallelism } from 'node:os';
import { divCeil } from '../core/math.ts';
import {
  digestStride,
  nodeBlockHasher,
  type BlockHasher,
  type BlockHashParameters,
  type FileRange,
} from '../verity/block-hasher.ts';
import { checkFileRange, checkRead } from './file.ts';
import { callAsync, type NativeLibrary } from './library.ts';
import { sha256EngineNumber, type Sha256Engine } from './sha256-engine.ts';

const SHA256_SIZE = 32;
const MAX_SALT = 256;
const MAX_FILE_BLOCK = 1 << 16;

/** Below this a thread costs more than it saves: handing over work takes about 30 us. */
const MIN_BYTES_PER_THREAD = 256 << 10;
/** The threads of libuv's pool, which reading files needs too. */
const MAX_THREADS = 4;
/** The library's own threads, for files: more only wait for memory. */
const MAX_FILE_THREADS = 16;

/**
 * Hashes SHA-256 trees with the library, on as many threads as it pays for; others with node:crypto.
 * Looking for holes moves a file's position, which is put back at the end: read at positions meanwhile.
 *
 * @param threads How many at most. Default what the machine has, within reason.
 * @param engine For tests: the instructions to use instead of the best ones.
 * @throws {RangeError} when this processor has not the instructions asked for.
 */
export function createNativeBlockHasher(
  library: NativeLibrary,
  threads: number = availableParallelism(),
  engine: Sha256Engine = 'best',
): BlockHasher {
  const hash = library.func(
    'int mb_hash_blocks_sha256(uint32_t engine, const uint8_t *data, size_t blocks, size_t block_size, const uint8_t *salt, size_t salt_len, _Out_ uint8_t *out)',
  );
  const hashFile = library.func(
    'int mb_hash_file_sha256(uint32_t engine, uint32_t threads, int fd, uint64_t offset, uint64_t length, size_t block_size, const uint8_t *salt, size_t salt_len, _Out_ uint8_t *out, size_t out_len)',
  );
  const instructions = sha256EngineNumber(library, engine);
  const stride = digestStride('sha256');
  const hashHere = (
    data: Uint8Array,
    size: number,
    salt: Uint8Array,
    digests: Uint8Array,
  ): void => {
    const blocks = countBlocks(data, size, salt, digests);
    checkHashed(hash(instructions, data, blocks, size, salt, salt.length, digests));
  };
  const hashAside = async (
    data: Uint8Array,
    size: number,
    salt: Uint8Array,
    digests: Uint8Array,
  ): Promise<void> => {
    const blocks = countBlocks(data, size, salt, digests);
    checkHashed(
      await callAsync(hash, instructions, data, blocks, size, salt, salt.length, digests),
    );
  };
  const hashRange = async (
    { blockSize, salt }: BlockHashParameters,
    range: FileRange,
    digests: Uint8Array,
  ): Promise<void> => {
    checkFileRange(range);
    const size = divCeil(range.length, blockSize) * SHA256_SIZE;
    checkSizes(blockSize, salt, digests, size);
    const result = await callAsync(
      hashFile,
      instructions,
      Math.min(threads, MAX_FILE_THREADS),
      range.fd,
      range.offset,
      range.length,
      blockSize,
      salt,
      salt.length,
      digests,
      size,
    );
    checkRead(result, range);
  };

  return {
    hashBlocks(parameters, data, digests) {
      if (parameters.algorithm !== 'sha256') {
        return nodeBlockHasher.hashBlocks(parameters, data, digests);
      }
      const { blockSize, salt } = parameters;
      const parts = Math.min(threads, MAX_THREADS, Math.floor(data.length / MIN_BYTES_PER_THREAD));
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

    hashFile(parameters, range, digests) {
      if (parameters.algorithm !== 'sha256' || parameters.blockSize > MAX_FILE_BLOCK) {
        return undefined;
      }
      return hashRange(parameters, range, digests);
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
  const blocks = data.length / blockSize;
  checkSizes(blockSize, salt, digests, blocks * SHA256_SIZE);
  if (!Number.isInteger(blocks)) {
    throw new RangeError(`${data.length} bytes are not a whole number of blocks of ${blockSize}`);
  }
  return blocks;
}

function checkSizes(
  blockSize: number,
  salt: Uint8Array,
  digests: Uint8Array,
  digestsSize: number,
): void {
  if (!Number.isSafeInteger(blockSize) || blockSize <= 0) {
    throw new RangeError(`A block of ${blockSize} bytes cannot be`);
  }
  if (salt.length > MAX_SALT) {
    throw new RangeError(`A salt of ${salt.length} bytes is longer than ${MAX_SALT}`);
  }
  if (digests.length < digestsSize) {
    throw new RangeError(`${digests.length} bytes have no room for ${digestsSize} of digests`);
  }
}

function checkHashed(result: unknown): void {
  if (result !== 0) throw new RangeError(`The native library refused to hash: ${String(result)}`);
}

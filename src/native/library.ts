/**
 * The library of `native/`, called through its C interface. Nothing needs it: each of its functions
 * has a twin in TypeScript, or can be done without.
 */

import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { EnvironmentError } from '../core/errors.ts';

/** Raised with the library's own `ABI_VERSION`: another one has other functions. */
const ABI_VERSION = 1;

/** What the library can do, with sizes checked: its functions take pointers. */
export interface NativeLibrary {
  /** Where it was found. */
  readonly path: string;
  /**
   * SHA-256 of each block behind the salt, 32 bytes each, on the calling thread.
   *
   * @param data A whole number of blocks.
   * @param salt At most 256 bytes.
   * @throws {RangeError} when a size does not fit.
   */
  hashBlocks(data: Uint8Array, blockSize: number, salt: Uint8Array, digests: Uint8Array): void;
  /** The same on another thread. The buffers are the library's until it is done. */
  hashBlocksAsync(
    data: Uint8Array,
    blockSize: number,
    salt: Uint8Array,
    digests: Uint8Array,
  ): Promise<void>;
  /** Decodes one LZ4 block into `target`: how many bytes it became, undefined if it is not one. */
  decodeLz4Block(source: Uint8Array, target: Uint8Array): number | undefined;
  /**
   * The frequency of the processor's time stamp counter in kHz, measured on another thread over so
   * many milliseconds (1 to 1000). Undefined where there is none.
   */
  measureTscKhz(milliseconds: number): Promise<number | undefined>;
}

const SHA256_SIZE = 32;
const MAX_SALT = 256;
const ERROR_FORMAT = -2n;

/** Where `cargo build --release` leaves the library. */
const builtLibrary = fileURLToPath(
  new URL('../../target/release/libmicrobuild_native.so', import.meta.url),
);

/**
 * Loads the library that was built with this package, or the one that the environment names.
 *
 * @param named The value of `MICROBUILD_NATIVE`: a path, or empty to do without.
 * @returns undefined where none was built, or where what was built is of another version.
 * @throws {EnvironmentError} when a library that was asked for by name cannot be used.
 */
export async function loadNativeLibrary(
  named: string | undefined = process.env['MICROBUILD_NATIVE'],
): Promise<NativeLibrary | undefined> {
  if (named === '') return undefined;
  if (named === undefined) {
    if (!existsSync(builtLibrary)) return undefined;
    try {
      return await open(builtLibrary);
    } catch {
      return undefined; // built for another machine or from other sources: the twins do its work
    }
  }
  try {
    return await open(named);
  } catch (cause) {
    throw new EnvironmentError('native', `Cannot load the native library ${named}`, {
      cause,
      hint: 'Build it with `cargo build --release -p microbuild-native`, or unset MICROBUILD_NATIVE',
    });
  }
}

async function open(path: string): Promise<NativeLibrary> {
  // Only here, as loading koffi costs more than most commands need it for.
  const koffi = await import('koffi');
  const library = koffi.load(path);
  const version: unknown = library.func('uint32_t mb_abi_version(void)')();
  if (version !== ABI_VERSION) {
    throw new RangeError(`The library has ABI version ${String(version)}, expected ${ABI_VERSION}`);
  }
  const hash = library.func(
    'int mb_hash_blocks_sha256(const uint8_t *data, size_t blocks, size_t block_size, const uint8_t *salt, size_t salt_len, _Out_ uint8_t *out)',
  );
  const decode = library.func(
    'int64_t mb_lz4_decode_block(const uint8_t *source, size_t source_len, _Out_ uint8_t *target, size_t target_len)',
  );
  const measure = library.func('uint64_t mb_tsc_khz(uint32_t milliseconds)');

  return {
    path,
    hashBlocks(data, blockSize, salt, digests) {
      const blocks = countBlocks(data, blockSize, salt, digests);
      checkHashed(hash(data, blocks, blockSize, salt, salt.length, digests));
    },
    async hashBlocksAsync(data, blockSize, salt, digests) {
      const blocks = countBlocks(data, blockSize, salt, digests);
      const result = await callAsync(hash, data, blocks, blockSize, salt, salt.length, digests);
      checkHashed(result);
    },
    decodeLz4Block(source, target) {
      const length = BigInt(
        decode(source, source.length, target, target.length) as number | bigint,
      );
      if (length >= 0n) return Number(length);
      if (length === ERROR_FORMAT) return undefined;
      throw new RangeError(`The native library refused to decode ${source.length} bytes`);
    },
    async measureTscKhz(milliseconds) {
      const khz = Number(await callAsync(measure, milliseconds));
      return khz === 0 ? undefined : khz;
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

interface AsyncFunction {
  async(...args: unknown[]): unknown;
}

/** Runs a function of the library on a thread of libuv's pool. */
function callAsync(called: AsyncFunction, ...args: unknown[]): Promise<unknown> {
  return new Promise((resolve, reject) => {
    called.async(...args, (error: unknown, result: unknown) => {
      if (error instanceof Error) reject(error);
      else resolve(result);
    });
  });
}

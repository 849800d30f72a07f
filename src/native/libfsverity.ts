/**
 * fs-verity by the system's libfsverity, which is what the fsverity program is made of: the independent peer of our
 * own file digests and built-in signatures.
 *
 * @see https://git.kernel.org/pub/scm/fs/fsverity/fsverity-utils.git/tree/include/libfsverity.h
 */

import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { getSystemErrorName } from 'node:util';
import { UsageError } from '../core/errors.ts';
import type { FsVerityAlgorithm } from '../verity/fs-verity.ts';
import { fsVerityAlgorithmOf, fsVerityNumber } from './fs-verity-ioctl.ts';
import { openSystemLibrary, type SystemLibraryName } from './system-library.ts';

export const LIBFSVERITY: SystemLibraryName = {
  soname: 'libfsverity.so.0',
  debianPackage: 'libfsverity0',
};

/** Of the descriptor. */
const MAX_SALT = 32;
const MAX_DIGEST = 64;
/** How much is read at a time; the library asks for a block at a time. */
const READ_SIZE = 1 << 20;
const EIO = -5;

export interface LibfsverityParameters {
  readonly algorithm: FsVerityAlgorithm;
  /** Of data and tree, in bytes. */
  readonly blockSize: number;
  /** At most 32 bytes; may be empty. */
  readonly salt: Uint8Array;
}

/**
 * The digest of a file: the hash of its descriptor. It is computed on this thread, as the library asks for each
 * block: nothing else happens meanwhile, for about a second a gigabyte.
 *
 * @throws {UsageError} `input` when the library refuses the parameters.
 */
export async function digestWithLibfsverity(
  path: string,
  { algorithm, blockSize, salt }: LibfsverityParameters,
): Promise<Uint8Array> {
  if (salt.length > MAX_SALT) {
    throw new RangeError(`A salt of ${salt.length} bytes is longer than ${MAX_SALT}`);
  }
  const { compute, copy, decode } = await (library ??= bind());
  const fd = openSync(path, 'r');
  try {
    const chunk = new Uint8Array(READ_SIZE);
    let [at, end] = [0, 0];
    let failure: unknown;
    const read = (_context: unknown, target: bigint, wanted: number | bigint): number => {
      const count = Number(wanted);
      try {
        for (let filled = 0; filled < count;) {
          if (at === end) {
            [at, end] = [0, readSync(fd, chunk)];
            if (end === 0) return EIO; // the file became shorter
          }
          const part = chunk.subarray(at, Math.min(end, at + count - filled));
          copy(target + BigInt(filled), part, part.length);
          filled += part.length;
          at += part.length;
        }
        return 0;
      } catch (error) {
        failure = error;
        return EIO;
      }
    };
    const results: [bigint | null] = [null];
    const parameters = {
      version: 1,
      hash_algorithm: fsVerityNumber(algorithm),
      file_size: fstatSync(fd).size,
      block_size: blockSize,
      salt_size: salt.length,
      salt: salt.length === 0 ? null : salt,
      reserved1: EIGHT_ZEROS,
      metadata_callbacks: null,
      reserved2: EIGHT_ZEROS.slice(1),
    };
    const result = compute(null, read, parameters, results) as number;
    if (failure !== undefined) throw failure;
    if (result !== 0 || results[0] === null) throw refused(`digest ${path}`, result);
    return decode(results[0], algorithm);
  } finally {
    closeSync(fd);
  }
}

/**
 * A built-in signature: PKCS#7 in DER, over a file digest.
 *
 * @param signer Paths of PEM files.
 * @throws {UsageError} `input` when the library cannot use key or certificate.
 */
export async function signWithLibfsverity(
  measured: { readonly algorithm: FsVerityAlgorithm; readonly digest: Uint8Array },
  signer: { readonly keyPath: string; readonly certificatePath: string },
): Promise<Uint8Array> {
  const { sign } = await (library ??= bind());
  // The library says less of a file that is not there.
  for (const path of [signer.keyPath, signer.certificatePath]) await (await open(path)).close();
  const { algorithm, digest } = measured;
  const value = new Uint8Array(4 + digest.length);
  const view = new DataView(value.buffer);
  const littleEndian = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;
  view.setUint16(0, fsVerityNumber(algorithm), littleEndian);
  view.setUint16(2, digest.length, littleEndian);
  value.set(digest, 4);
  const { signature, result } = sign(value, {
    keyfile: signer.keyPath,
    certfile: signer.certificatePath,
    reserved1: EIGHT_ZEROS,
    pkcs11_engine: null,
    pkcs11_module: null,
    pkcs11_keyid: null,
    reserved2: EIGHT_ZEROS.slice(3),
  });
  if (signature === undefined) throw refused(`sign with ${signer.keyPath}`, result);
  return signature;
}

const EIGHT_ZEROS: readonly number[] = Array.from({ length: 8 }, () => 0);

function refused(action: string, result: number): UsageError {
  const reason = result < 0 ? getSystemErrorName(result) : `result ${result}`;
  return new UsageError('input', `Cannot ${action}: libfsverity says: ${reason}`);
}

let library: ReturnType<typeof bind> | undefined;

async function bind() {
  const { koffi, library: lib } = await openSystemLibrary(LIBFSVERITY);
  const pointer = 'void *';
  // Each type has a name: koffi may give a structure and a callback without one the same, and mistake them.
  const TreeParameters = koffi.struct('libfsverity_merkle_tree_params', {
    version: 'uint32_t',
    hash_algorithm: 'uint32_t',
    file_size: 'uint64_t',
    block_size: 'uint32_t',
    salt_size: 'uint32_t',
    salt: 'const uint8_t *',
    reserved1: koffi.array('uint64_t', 8),
    metadata_callbacks: pointer,
    reserved2: koffi.array('uintptr_t', 7),
  });
  const SignatureParameters = koffi.struct('libfsverity_signature_params', {
    keyfile: 'const char *',
    certfile: 'const char *',
    reserved1: koffi.array('uint64_t', 8),
    pkcs11_engine: 'const char *',
    pkcs11_module: 'const char *',
    pkcs11_keyid: 'const char *',
    reserved2: koffi.array('uintptr_t', 5),
  });
  const Read = koffi.proto('libfsverity_read_fn', 'int', [pointer, pointer, 'size_t']);
  const compute = lib.func('libfsverity_compute_digest', 'int', [
    pointer,
    koffi.pointer(Read),
    koffi.pointer(TreeParameters),
    koffi.out(koffi.pointer(pointer)),
  ]);
  const signDigest = lib.func('libfsverity_sign_digest', 'int', [
    'const uint8_t *',
    koffi.pointer(SignatureParameters),
    koffi.out(koffi.pointer(pointer)),
    koffi.out(koffi.pointer('size_t')),
  ]);
  const copy = koffi
    .load(null)
    .func('void *memcpy(void *target, const uint8_t *source, size_t size)');

  /** The bytes that the library allocated, copied and freed. */
  const take = (address: bigint, size: number): Uint8Array => {
    const bytes = new Uint8Array(koffi.view(address, size)).slice();
    koffi.free(address);
    return bytes;
  };
  return {
    compute,
    copy,
    decode: (address: bigint, algorithm: FsVerityAlgorithm): Uint8Array => {
      const number = koffi.decode(address, 'uint16_t') as number;
      const size = koffi.decode(address, 2, 'uint16_t') as number;
      if (fsVerityAlgorithmOf(number) !== algorithm || size > MAX_DIGEST) {
        throw new RangeError(
          `libfsverity returned ${size} bytes of algorithm ${number} for ${algorithm}`,
        );
      }
      return take(address, 4 + size).slice(4);
    },
    sign: (
      digest: Uint8Array,
      parameters: object,
    ): { signature: Uint8Array | undefined; result: number } => {
      const address: [bigint | null] = [null];
      const size: [number | bigint] = [0];
      const result = signDigest(digest, parameters, address, size) as number;
      const [at] = address;
      const signature = result === 0 && at !== null ? take(at, Number(size[0])) : undefined;
      return { signature, result };
    },
  };
}

/**
 * fs-verity in the kernel: making a file a verity file, and asking for the digest that the kernel enforces.
 *
 * Both go through the native library: `ioctl` takes variable arguments, which koffi cannot pass off the main thread,
 * and building the tree of a large file takes the kernel seconds.
 *
 * @see https://docs.kernel.org/filesystems/fsverity.html
 */

import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { getSystemErrorName } from 'node:util';
import { digestSize } from '../core/digest.ts';
import { EnvironmentError } from '../core/errors.ts';
import type { FsVerityAlgorithm } from '../verity/fs-verity.ts';
import { callAsync, loadNativeLibrary, type NativeLibrary } from './library.ts';

/** `FS_VERITY_HASH_ALG_*` of linux/fsverity.h. */
const ALGORITHM_NUMBERS: Readonly<Record<FsVerityAlgorithm, number>> = { sha256: 1, sha512: 2 };

export const fsVerityNumber = (algorithm: FsVerityAlgorithm): number =>
  ALGORITHM_NUMBERS[algorithm];

export const fsVerityAlgorithmOf = (number: number): FsVerityAlgorithm | undefined =>
  (['sha256', 'sha512'] as const).find((each) => ALGORITHM_NUMBERS[each] === number);

/** Of the descriptor and of the kernel. */
const MAX_SALT = 32;
/** `FS_VERITY_MAX_SIGNATURE_SIZE` of the kernel, which says EMSGSIZE to more. */
const MAX_SIGNATURE = 16128;

export interface FsVerityMeasurement {
  readonly algorithm: FsVerityAlgorithm;
  /** The hash of the file's descriptor. */
  readonly digest: Uint8Array;
}

export interface FsVerityEnableOptions {
  /** Default sha256. */
  readonly algorithm?: FsVerityAlgorithm | undefined;
  /** Of the tree, in bytes; kernels before 6.3 take the page size only. Default 4096. */
  readonly blockSize?: number | undefined;
  /** At most 32 bytes. Default none. */
  readonly salt?: Uint8Array | undefined;
  /** A built-in signature: PKCS#7 in DER over the file digest, checked with the keys of `.fs-verity`. */
  readonly signature?: Uint8Array | undefined;
}

/**
 * The digest that the kernel enforces when the file is read.
 *
 * @throws {EnvironmentError} when the file is no verity file, or kernel or file system have no fs-verity.
 */
export async function measureFsVerity(
  path: string,
  library?: NativeLibrary,
): Promise<FsVerityMeasurement> {
  const measure = (await needLibrary(library)).func(
    'int mb_fs_verity_measure(int fd, _Out_ uint16_t *header, _Out_ uint8_t *digest, uint32_t digest_len)',
  );
  const header = new Uint16Array(2);
  const digest = new Uint8Array(64);
  await withFile(path, async ({ fd }) => {
    expectDone(await callAsync(measure, fd, header, digest, digest.length), path, 'measure');
  });
  const [number = 0, size = 0] = header;
  const algorithm = fsVerityAlgorithmOf(number);
  if (algorithm === undefined || size !== digestSize[algorithm]) {
    throw new EnvironmentError(
      'fs-verity',
      `Cannot measure ${path}: the kernel uses hash algorithm ${number} with ${size} bytes, which is not known here`,
      { hint: 'Use a later microbuild' },
    );
  }
  return { algorithm, digest: digest.slice(0, size) };
}

/**
 * Makes a file a verity file: read-only for ever, each block checked when it is read. The kernel builds the tree;
 * nobody may have the file open for writing.
 *
 * @throws {EnvironmentError} when kernel, file system or file do not allow it; the hint says what to do.
 */
export async function enableFsVerity(
  path: string,
  options: FsVerityEnableOptions = {},
  library?: NativeLibrary,
): Promise<void> {
  const { algorithm = 'sha256', blockSize = 4096 } = options;
  const { salt = new Uint8Array(0), signature = new Uint8Array(0) } = options;
  if (salt.length > MAX_SALT || signature.length > MAX_SIGNATURE) {
    throw new RangeError(
      `A salt has at most ${MAX_SALT} bytes and a signature ${MAX_SIGNATURE}, these have ${salt.length} and ${signature.length}`,
    );
  }
  if (!Number.isInteger(blockSize) || blockSize <= 0 || blockSize > 2 ** 31) {
    throw new RangeError(`A block of ${blockSize} bytes is no block`);
  }
  const enable = (await needLibrary(library)).func(
    'int mb_fs_verity_enable(int fd, uint32_t algorithm, uint32_t block_size, const uint8_t *salt, uint32_t salt_len, const uint8_t *signature, uint32_t signature_len)',
  );
  const number = ALGORITHM_NUMBERS[algorithm];
  await withFile(path, async ({ fd }) => {
    const buffers = [salt, salt.length, signature, signature.length];
    expectDone(await callAsync(enable, fd, number, blockSize, ...buffers), path, 'enable');
  });
}

async function needLibrary(library: NativeLibrary | undefined): Promise<NativeLibrary> {
  const found = library ?? (await loadNativeLibrary());
  if (found !== undefined) return found;
  throw new EnvironmentError('native', 'Cannot ask the kernel: the native library is not built', {
    hint: 'Build it with `cargo build --release -p microbuild-native`, or use the fsverity program',
  });
}

async function withFile(path: string, work: (handle: FileHandle) => Promise<void>): Promise<void> {
  // Not to wait for the other end of a pipe.
  const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    await work(handle);
  } finally {
    await handle.close();
  }
}

type Action = 'enable' | 'measure';

/** What the errors of the two ioctls mean, and what to do about it. */
const REASONS: Readonly<Record<string, readonly [reason: string, hint: string]>> = {
  ENOTTY: [
    'its file system has no fs-verity',
    'Copy it to ext4, f2fs or btrfs, or use the digest alone: microbuild fsverity digest',
  ],
  ENOTSUP: [
    'the kernel has no fs-verity, or the file system was made without it',
    'Take a kernel with CONFIG_FS_VERITY=y, and turn the feature on: tune2fs -O verity DEVICE (ext4), mkfs.f2fs -O verity',
  ],
  ENODATA: [
    'it is not a verity file',
    'Make it one with microbuild fsverity enable, or compute its digest with microbuild fsverity digest',
  ],
  EEXIST: ['it is a verity file already', 'See its digest with microbuild fsverity measure'],
  EBUSY: ['somebody else is enabling it', 'Wait until they are done'],
  ETXTBSY: ['somebody has it open for writing', 'Close it there (fuser -v FILE says who)'],
  EPERM: [
    'it can only be appended to, or this kernel demands a signature',
    'Remove the attribute (chattr -a FILE), or give --signature; see /proc/sys/fs/verity/require_signatures',
  ],
  EACCES: ['its owner allows no writing', 'Make it writable: chmod u+w FILE'],
  EROFS: ['its file system is read-only', 'Mount it for writing: mount -o remount,rw'],
  EISDIR: ['it is a folder', 'Name a file'],
  EINVAL: [
    'it is no plain file, or this kernel does not take the block size',
    'Kernels before 6.3 take --block-size of the page size only: getconf PAGESIZE',
  ],
  EFBIG: ['it is too large for its tree', 'Take a larger --block-size'],
  ENOPKG: ['the kernel has not the hash function', 'Take --hash-alg sha256'],
  EMSGSIZE: ['salt or signature are too long', 'Take a signature without attached certificates'],
  EBADMSG: ['the signature is malformed', 'Sign it again: fsverity sign'],
  EKEYREJECTED: ['the signature is of another digest or key', 'Sign the digest of this very file'],
  ENOKEY: [
    'the kernel does not know the certificate of the signature',
    'Add it first: keyctl padd asymmetric "" %keyring:.fs-verity < CERTIFICATE.der',
  ],
};

/** Numbers of Linux that Node has no names for. */
const OTHER_ERRORS: Readonly<Record<number, string>> = {
  65: 'ENOPKG',
  74: 'EBADMSG',
  126: 'ENOKEY',
  127: 'EKEYEXPIRED',
  128: 'EKEYREVOKED',
  129: 'EKEYREJECTED',
};

function expectDone(result: unknown, path: string, action: Action): void {
  if (result === 0) return;
  const errno = Number(result);
  const code = OTHER_ERRORS[-errno] ?? (errno < 0 ? getSystemErrorName(errno) : `result ${errno}`);
  const verb = action === 'enable' ? 'enable fs-verity on' : 'measure';
  const known = REASONS[code];
  if (known === undefined) {
    const error = new Error(`${code}: cannot ${verb} ${path}`);
    throw Object.assign(error, { code, errno, syscall: 'ioctl', path });
  }
  const [reason, hint] = known;
  throw new EnvironmentError('fs-verity', `Cannot ${verb} ${path}: ${reason} (${code})`, { hint });
}

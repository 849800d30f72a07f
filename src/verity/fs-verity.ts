/**
 * fs-verity's file digest: the hash of a descriptor that holds the root of a Merkle tree over the file.
 *
 * @see https://docs.kernel.org/filesystems/fsverity.html
 */

import { digestOf, digestSize } from '../core/digest.ts';
import { UsageError } from '../core/errors.ts';
import { bytes, le, struct, u8 } from '../formats/struct.ts';
import type { ByteSource } from '../io/byte-source.ts';
import type { ImageSink } from '../io/image-sink.ts';
import type { BlockHasher } from './block-hasher.ts';
import { isBlockSize } from './hash-tree-layout.ts';
import { fsVeritySalt } from './hash-tree.ts';
import { writeHashTree } from './write-hash-tree.ts';

/** `FS_VERITY_HASH_ALG_*`. */
const ALGORITHM_NUMBERS = { sha256: 1, sha512: 2 } as const;
export type FsVerityAlgorithm = keyof typeof ALGORITHM_NUMBERS;

const MAX_SALT = 32;

/** `struct fsverity_descriptor`, without the signature that may follow it. */
export const FsverityDescriptor = struct('fsverity_descriptor', 256, {
  version: u8,
  hash_algorithm: u8,
  log_blocksize: u8,
  salt_size: u8,
  reserved_0x04: le.u32,
  data_size: le.u64,
  root_hash: bytes(64),
  salt: bytes(MAX_SALT),
  reserved: bytes(144),
});

export interface FsVerityOptions {
  readonly algorithm: FsVerityAlgorithm;
  /** Of data and tree, in bytes: a power of two up to 65536 that holds two digests. */
  readonly blockSize: number;
  /** At most 32 bytes; may be empty. */
  readonly salt: Uint8Array;
  /** Takes the Merkle tree, if it is wanted. */
  readonly tree?: Pick<ImageSink, 'write'> | undefined;
  readonly hasher?: BlockHasher | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((done: number) => void) | undefined;
}

export interface FsVerityDigest {
  /** The file digest: what the kernel measures. */
  readonly digest: Uint8Array;
  readonly descriptor: Uint8Array;
  readonly rootDigest: Uint8Array;
  /** In bytes. */
  readonly treeSize: number;
}

/**
 * The file digest of a source, in one pass over it.
 *
 * @throws {UsageError} on block sizes and salts that fs-verity does not have.
 */
export async function fsVerityDigest(
  source: ByteSource,
  options: FsVerityOptions,
): Promise<FsVerityDigest> {
  const { algorithm, blockSize, salt, tree = NOWHERE } = options;
  // Kernels take 1024 at least; digests are defined, and made by others, for all that hold two.
  const smallest = 2 * digestSize[algorithm];
  if (!isBlockSize(blockSize) || blockSize < smallest) {
    throw new UsageError(
      'usage',
      `Cannot take blocks of ${blockSize} bytes: fs-verity with ${algorithm} has powers of two of ${smallest} to 65536`,
    );
  }
  if (salt.length > MAX_SALT) {
    throw new UsageError(
      'usage',
      `Cannot take a salt of ${salt.length} bytes: fs-verity has room for ${MAX_SALT}`,
    );
  }
  const { rootDigest, layout } = await writeHashTree(source, tree, {
    ...options,
    dataBlockSize: blockSize,
    hashBlockSize: blockSize,
    salt: fsVeritySalt(algorithm, salt),
  });
  const descriptor = FsverityDescriptor.encode({
    version: 1,
    hash_algorithm: ALGORITHM_NUMBERS[algorithm],
    log_blocksize: Math.log2(blockSize),
    salt_size: salt.length,
    reserved_0x04: 0,
    data_size: BigInt(source.size),
    root_hash: rootDigest,
    salt,
    reserved: new Uint8Array(0),
  });
  const digest = digestOf(algorithm, descriptor);
  return { digest, descriptor, rootDigest, treeSize: layout.treeSize };
}

const NOWHERE: Pick<ImageSink, 'write'> = { write: () => Promise.resolve() };

/** `struct fsverity_formatted_digest`: what a built-in signature signs. */
export function formattedDigest(algorithm: FsVerityAlgorithm, digest: Uint8Array): Uint8Array {
  const head = struct('fsverity_formatted_digest', 12, {
    magic: bytes(8),
    digest_algorithm: le.u16,
    digest_size: le.u16,
  }).encode({
    magic: Buffer.from('FSVerity', 'latin1'),
    digest_algorithm: ALGORITHM_NUMBERS[algorithm],
    digest_size: digest.length,
  });
  return new Uint8Array(Buffer.concat([head, digest]));
}

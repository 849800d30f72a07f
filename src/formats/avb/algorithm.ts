/**
 * The signature algorithms of AVB: RSASSA-PKCS1-v1_5 with SHA-256 or SHA-512 (AVB 1.0), and ML-DSA
 * (FIPS 204), which signs header and auxiliary block themselves and stores no hash.
 *
 * @see avb_crypto.h, `AvbAlgorithmType`
 */

export type AvbAlgorithmName =
  | 'NONE'
  | 'SHA256_RSA2048'
  | 'SHA256_RSA4096'
  | 'SHA256_RSA8192'
  | 'SHA512_RSA2048'
  | 'SHA512_RSA4096'
  | 'SHA512_RSA8192'
  | 'MLDSA65'
  | 'MLDSA87';

export interface AvbAlgorithm {
  readonly name: AvbAlgorithmName;
  /** `algorithm_type` of the header. */
  readonly type: number;
  /** The hash over header and auxiliary block; undefined where none is stored. */
  readonly hash: 'sha256' | 'sha512' | undefined;
  /** Size of that hash in bytes. */
  readonly hashSize: number;
  readonly scheme: 'none' | 'rsa' | 'ml-dsa';
  /** Of a public key in AVB's encoding, in bytes; 0 for NONE. */
  readonly publicKeySize: number;
  /** In bytes; 0 for NONE. */
  readonly signatureSize: number;
}

const rsa = (type: number, hash: 'sha256' | 'sha512', keyBits: number): AvbAlgorithm => ({
  name: `${hash === 'sha256' ? 'SHA256' : 'SHA512'}_RSA${keyBits}` as AvbAlgorithmName,
  type,
  hash,
  hashSize: hash === 'sha256' ? 32 : 64,
  scheme: 'rsa',
  publicKeySize: 8 + keyBits / 4,
  signatureSize: keyBits / 8,
});

const mldsa = (
  type: number,
  name: AvbAlgorithmName,
  rawKeySize: number,
  signatureSize: number,
): AvbAlgorithm => ({
  name,
  type,
  hash: undefined,
  hashSize: 0,
  scheme: 'ml-dsa',
  publicKeySize: 4 + rawKeySize,
  signatureSize,
});

/** By `algorithm_type`. */
export const AVB_ALGORITHMS: readonly AvbAlgorithm[] = [
  {
    name: 'NONE',
    type: 0,
    hash: undefined,
    hashSize: 0,
    scheme: 'none',
    publicKeySize: 0,
    signatureSize: 0,
  },
  rsa(1, 'sha256', 2048),
  rsa(2, 'sha256', 4096),
  rsa(3, 'sha256', 8192),
  rsa(4, 'sha512', 2048),
  rsa(5, 'sha512', 4096),
  rsa(6, 'sha512', 8192),
  mldsa(7, 'MLDSA65', 1952, 3309),
  mldsa(8, 'MLDSA87', 2592, 4627),
];

/**
 * @throws {RangeError} when AVB has no algorithm of that name.
 */
export function avbAlgorithm(name: string): AvbAlgorithm {
  const found = AVB_ALGORITHMS.find((algorithm) => algorithm.name === name);
  if (found === undefined) {
    const known = AVB_ALGORITHMS.map((algorithm) => algorithm.name).join(', ');
    throw new RangeError(`Cannot use AVB algorithm "${name}": known are ${known}`);
  }
  return found;
}

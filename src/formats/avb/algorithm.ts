/**
 * The signature algorithms of AVB 1.3: RSASSA-PKCS1-v1_5 with SHA-256 or SHA-512.
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
  | 'SHA512_RSA8192';

export interface AvbAlgorithm {
  readonly name: AvbAlgorithmName;
  /** `algorithm_type` of the header. */
  readonly type: number;
  /** The hash over header and auxiliary block; undefined for NONE. */
  readonly hash: 'sha256' | 'sha512' | undefined;
  /** Size of that hash in bytes. */
  readonly hashSize: number;
  /** Modulus size in bits; 0 for NONE. A signature has as many. */
  readonly keyBits: number;
}

const signed = (type: number, hash: 'sha256' | 'sha512', keyBits: number): AvbAlgorithm => ({
  name: `${hash === 'sha256' ? 'SHA256' : 'SHA512'}_RSA${keyBits}` as AvbAlgorithmName,
  type,
  hash,
  hashSize: hash === 'sha256' ? 32 : 64,
  keyBits,
});

/** By `algorithm_type`. */
export const AVB_ALGORITHMS: readonly AvbAlgorithm[] = [
  { name: 'NONE', type: 0, hash: undefined, hashSize: 0, keyBits: 0 },
  signed(1, 'sha256', 2048),
  signed(2, 'sha256', 4096),
  signed(3, 'sha256', 8192),
  signed(4, 'sha512', 2048),
  signed(5, 'sha512', 4096),
  signed(6, 'sha512', 8192),
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

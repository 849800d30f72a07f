/**
 * AVB's own encodings of public keys.
 *
 * RSA: size, two precomputed Montgomery values, modulus; the exponent is always 65537 and not stored.
 * ML-DSA: size and the raw key of FIPS 204.
 *
 * @see avb_crypto.h, `AvbRSAPublicKeyHeader`; avb_mldsa.h, `AvbMLDSAPublicKeyHeader`
 */

import { FormatError } from '../../core/errors.ts';
import { equalBytes, toHex } from '../../core/digest.ts';
import { avbAlgorithm, type AvbAlgorithm } from './algorithm.ts';
import { mldsaPublicKeyHeader, rsaPublicKeyHeader } from './layout.ts';
import { plainBytes } from './text.ts';

export interface RsaPublicKey {
  /** Big-endian, without leading zeros: 256, 512 or 1024 bytes. */
  readonly modulus: Uint8Array;
}

const KEY_BITS: readonly number[] = [2048, 4096, 8192];

const toBigInt = (bytes: Uint8Array): bigint => BigInt(`0x${toHex(bytes)}`);

function fromBigInt(value: bigint, size: number): Uint8Array {
  return new Uint8Array(Buffer.from(value.toString(16).padStart(size * 2, '0'), 'hex'));
}

/** -1/n mod 2^32 by Newton's iteration; `n` must be odd. */
function negativeInverse(n: bigint): number {
  const low = BigInt.asUintN(32, n);
  // An odd number is its own inverse modulo 8; each round doubles the number of right bits.
  let inverse = low;
  for (let bits = 3; bits < 32; bits *= 2) {
    inverse = BigInt.asUintN(32, inverse * (2n - low * inverse));
  }
  return Number(BigInt.asUintN(32, -inverse));
}

/**
 * @throws {RangeError} when the key is not RSA-2048, RSA-4096 or RSA-8192 with exponent 65537.
 */
export function encodeRsaPublicKey(modulus: Uint8Array, exponent: bigint = 65537n): Uint8Array {
  const first = modulus.findIndex((byte) => byte !== 0);
  const n = first === -1 ? new Uint8Array(0) : modulus.subarray(first);
  const bits = n.length * 8;
  const top = n[0] ?? 0;
  const last = n.at(-1) ?? 0;
  if (!KEY_BITS.includes(bits) || top < 0x80 || last % 2 === 0) {
    throw new RangeError('Cannot use RSA key for AVB: its size must be 2048, 4096 or 8192 bits');
  }
  if (exponent !== 65537n) {
    throw new RangeError(
      `Cannot use RSA key for AVB: its exponent is ${exponent}, AVB fixes 65537`,
    );
  }
  const value = toBigInt(n);
  const out = new Uint8Array(rsaPublicKeyHeader.size + 2 * n.length);
  out.set(rsaPublicKeyHeader.encode({ key_num_bits: bits, n0inv: negativeInverse(value) }));
  out.set(n, rsaPublicKeyHeader.size);
  const rr = (1n << BigInt(2 * bits)) % value;
  out.set(fromBigInt(rr, n.length), rsaPublicKeyHeader.size + n.length);
  return out;
}

function refuse(code: 'truncated' | 'bad-value' | 'trailing-data', why: string): never {
  throw new FormatError('avb', code, `Cannot read RSA public key: ${why}`);
}

/**
 * Decodes a key and recomputes its Montgomery values, so that a key has one encoding.
 *
 * @throws {FormatError} when the bytes are not such a key.
 */
export function decodeRsaPublicKey(data: Uint8Array): RsaPublicKey {
  if (data.length < rsaPublicKeyHeader.size) refuse('truncated', `it has ${data.length} bytes`);
  const { key_num_bits: bits } = rsaPublicKeyHeader.decode(data);
  if (!KEY_BITS.includes(bits)) refuse('bad-value', `its size is ${bits} bits`);
  const size = rsaPublicKeyHeader.size + bits / 4;
  if (data.length < size) refuse('truncated', `it has ${data.length} of ${size} bytes`);
  if (data.length > size) refuse('trailing-data', `it has ${data.length} bytes, expected ${size}`);
  const modulus = plainBytes(data).slice(
    rsaPublicKeyHeader.size,
    rsaPublicKeyHeader.size + bits / 8,
  );
  let expected: Uint8Array;
  try {
    expected = encodeRsaPublicKey(modulus);
  } catch (cause) {
    throw new FormatError(
      'avb',
      'bad-value',
      'Cannot read RSA public key: its modulus is even or too small',
      { cause },
    );
  }
  if (!equalBytes(expected, data)) refuse('bad-value', 'n0inv or rr do not belong to the modulus');
  return { modulus };
}

/** Which ML-DSA a raw public key of this size belongs to. */
function mldsaOfSize(rawSize: number): AvbAlgorithm | undefined {
  return [avbAlgorithm('MLDSA65'), avbAlgorithm('MLDSA87')].find(
    ({ publicKeySize }) => publicKeySize === mldsaPublicKeyHeader.size + rawSize,
  );
}

/**
 * @param raw The public key as FIPS 204 encodes it.
 * @throws {RangeError} when it is neither ML-DSA-65 nor ML-DSA-87.
 */
export function encodeMldsaPublicKey(raw: Uint8Array): Uint8Array {
  if (mldsaOfSize(raw.length) === undefined) {
    throw new RangeError(
      `Cannot use ML-DSA key for AVB: ${raw.length} bytes are neither ML-DSA-65 nor ML-DSA-87`,
    );
  }
  const out = new Uint8Array(mldsaPublicKeyHeader.size + raw.length);
  out.set(mldsaPublicKeyHeader.encode({ key_num_bytes: raw.length }));
  out.set(raw, mldsaPublicKeyHeader.size);
  return out;
}

/**
 * @throws {FormatError} when the bytes are not such a key.
 */
export function decodeMldsaPublicKey(data: Uint8Array): {
  readonly algorithm: AvbAlgorithm;
  readonly raw: Uint8Array;
} {
  const raw = plainBytes(data).slice(mldsaPublicKeyHeader.size);
  const algorithm = mldsaOfSize(raw.length);
  if (algorithm === undefined || mldsaPublicKeyHeader.decode(data).key_num_bytes !== raw.length) {
    throw new FormatError(
      'avb',
      'bad-value',
      `Cannot read ML-DSA public key: ${data.length} bytes are not one of ML-DSA-65 or ML-DSA-87`,
    );
  }
  return { algorithm, raw };
}

/** Digests as values: an algorithm and its bytes. */

import { createHash, hash as hashOnce, timingSafeEqual } from 'node:crypto';
import { blake2b256 } from './blake2b.ts';

export type HashAlgorithm = 'sha1' | 'sha256' | 'sha384' | 'sha512' | 'blake2b-256';

/** Digest length in bytes. */
export const digestSize: Readonly<Record<HashAlgorithm, number>> = {
  sha1: 20,
  sha256: 32,
  sha384: 48,
  sha512: 64,
  'blake2b-256': 32,
};

/** Lower-case hexadecimal. */
export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex');
}

/**
 * Parses hexadecimal of either case.
 *
 * @throws {SyntaxError} when the text is not an even number of hexadecimal digits.
 */
export function fromHex(text: string): Uint8Array {
  if (!/^(?:[0-9a-fA-F]{2})*$/.test(text)) {
    throw new SyntaxError(`Cannot parse "${text.slice(0, 80)}" as hexadecimal`);
  }
  return new Uint8Array(Buffer.from(text, 'hex'));
}

/** Whether both are the same bytes, in time that depends on their length only. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

/** SHA-256 of the concatenation of `parts`. */
export function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return new Uint8Array(hash.digest());
}

/** The digest of a message, by any of the algorithms. */
export function digestOf(algorithm: HashAlgorithm, message: Uint8Array): Uint8Array {
  if (algorithm === 'blake2b-256') return blake2b256(message);
  return new Uint8Array(hashOnce(algorithm, message, 'buffer'));
}

/**
 * ECDSA that gives the same signature each time: its secret number comes from key and message instead of
 * a random generator, so that a build with the same key gives the same bytes.
 *
 * The curve's arithmetic is OpenSSL's; what is left are a few operations modulo the order, on numbers
 * that a random factor hides.
 *
 * @see https://www.rfc-editor.org/rfc/rfc6979
 */

import { createECDH, createHash, createHmac, randomBytes, type KeyObject } from 'node:crypto';
import { readElement, TAG } from '../formats/der/element.ts';
import { fieldsOf } from '../formats/der/fields.ts';
import { integer, sequence } from '../formats/der/write.ts';
import type { SignatureHash } from './signer.ts';

interface Curve {
  /** As node:crypto calls it. */
  readonly name: string;
  /** Number of points. */
  readonly order: bigint;
  /** Of the order, in bits. */
  readonly bits: number;
}

/** SP 800-186, 3.2.1. */
const CURVES: readonly Curve[] = [
  {
    name: 'prime256v1',
    order: 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
    bits: 256,
  },
  {
    name: 'secp384r1',
    order:
      0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n,
    bits: 384,
  },
  {
    name: 'secp521r1',
    order:
      0x01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409n,
    bits: 521,
  },
];

const toBigInt = (bytes: Uint8Array): bigint => BigInt(`0x${Buffer.from(bytes).toString('hex')}`);

const toBytes = (value: bigint, size: number): Buffer =>
  Buffer.from(value.toString(16).padStart(size * 2, '0'), 'hex');

/** `bits2int`: the leftmost bits, as many as the order has. */
function leftmost(bytes: Uint8Array, bits: number): bigint {
  const excess = bytes.length * 8 - bits;
  return excess > 0 ? toBigInt(bytes) >> BigInt(excess) : toBigInt(bytes);
}

/** By Euclid's algorithm; `order` is prime and `value` no multiple of it. */
function inverse(value: bigint, order: bigint): bigint {
  let [a, b] = [order, value % order];
  let [x, y] = [0n, 1n];
  while (b > 0n) {
    const quotient = a / b;
    [a, b] = [b, a - quotient * b];
    [x, y] = [y, x - quotient * y];
  }
  return ((x % order) + order) % order;
}

/** Section 3.2: numbers from 1 to order - 1 that depend on nothing but key and digest. */
function* secretNumbers(
  hash: SignatureHash,
  secret: Uint8Array,
  digest: Uint8Array,
  { order, bits }: Curve,
): Generator<bigint, never> {
  const size = Math.ceil(bits / 8);
  const reduced = toBytes(leftmost(digest, bits) % order, size);
  let key: Buffer = Buffer.alloc(digest.length, 0);
  let value: Buffer = Buffer.alloc(digest.length, 1);
  const hmac = (...parts: readonly Uint8Array[]): Buffer => {
    const mac = createHmac(hash, key);
    for (const part of parts) mac.update(part);
    return mac.digest();
  };
  const rekey = (...parts: readonly Uint8Array[]): void => {
    key = hmac(value, ...parts);
    value = hmac(value);
  };
  rekey(Buffer.of(0), secret, reduced);
  rekey(Buffer.of(1), secret, reduced);
  for (;;) {
    const taken: Buffer[] = [];
    for (let made = 0; made * 8 < bits; made += value.length) {
      value = hmac(value);
      taken.push(value);
    }
    const number = leftmost(Buffer.concat(taken), bits);
    if (number > 0n && number < order) yield number;
    rekey(Buffer.of(0));
  }
}

/** The private number of a key, as long as the order. */
function privateNumber(privateKey: KeyObject): Buffer {
  const der = privateKey.export({ type: 'sec1', format: 'der' });
  const fields = fieldsOf(readElement(der), 'ECPrivateKey');
  fields.next(TAG.INTEGER, 'version');
  const secret = Buffer.from(fields.next(TAG.OCTET_STRING, 'privateKey').contents);
  der.fill(0);
  return secret;
}

/** Whether `signEcdsa` knows the curve of a key. */
export const hasKnownCurve = (key: KeyObject): boolean =>
  CURVES.some(({ name }) => name === key.asymmetricKeyDetails?.namedCurve);

/**
 * Signs with a key of P-256, P-384 or P-521.
 *
 * @returns DER `SEQUENCE { r, s }`.
 * @throws {TypeError} when the key is of another curve.
 */
export function signEcdsa(
  privateKey: KeyObject,
  hash: SignatureHash,
  data: Uint8Array,
): Uint8Array {
  const curve = CURVES.find(({ name }) => name === privateKey.asymmetricKeyDetails?.namedCurve);
  if (curve === undefined) throw new TypeError('Cannot sign with a key of an unknown curve');
  const { name, order, bits } = curve;
  const size = Math.ceil(bits / 8);
  const secret = privateNumber(privateKey);
  const digest = createHash(hash).update(data).digest();
  const message = leftmost(digest, bits);
  const d = toBigInt(secret);
  const ecdh = createECDH(name);
  try {
    for (const k of secretNumbers(hash, secret, digest, curve)) {
      ecdh.setPrivateKey(toBytes(k, size));
      const point = ecdh.getPublicKey();
      // 04, x, y.
      const r = toBigInt(point.subarray(1, 1 + size)) % order;
      // With some bits more than the order, so that all factors are about as likely.
      const factor = (toBigInt(randomBytes(size + 8)) % (order - 1n)) + 1n;
      const hidden = (factor * message + r * ((factor * d) % order)) % order;
      const s = (hidden * inverse((factor * k) % order, order)) % order;
      if (r > 0n && s > 0n) return sequence(integer(r), integer(s));
    }
    throw new TypeError('There is always another number');
  } finally {
    secret.fill(0);
  }
}

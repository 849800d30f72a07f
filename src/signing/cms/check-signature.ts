/** Checks the signature value of a signer, by node:crypto alone. */

import { constants, verify, type KeyObject } from 'node:crypto';
import { FormatError } from '../../core/errors.ts';
import { readElement } from '../../formats/der/element.ts';
import { fieldsOf } from '../../formats/der/fields.ts';
import { integerOf } from '../../formats/der/values.ts';
import type { CmsHash, CmsScheme } from './algorithms.ts';

const KEY_TYPE: Readonly<Record<CmsScheme, string>> = { rsa: 'rsa', dsa: 'dsa', ecdsa: 'ec' };

/**
 * - `valid`: the signature is the key's over this input.
 * - `invalid`: it has the right form, and is not.
 * - `malformed`: the key is of another type, or the bytes are no signature of the key at all.
 */
export type SignatureCheck = 'valid' | 'invalid' | 'malformed';

/** The two numbers of `SEQUENCE { r, s }`; undefined when bytes are none. */
function numbersOf(signature: Uint8Array): readonly [bigint, bigint] | undefined {
  try {
    const fields = fieldsOf(readElement(signature), 'Signature');
    const r = integerOf(fields.any('r'), 'r');
    const s = integerOf(fields.any('s'), 's');
    fields.end();
    return [r, s];
  } catch (error) {
    if (error instanceof FormatError) return undefined;
    throw error;
  }
}

/** As Java's library tells them apart: for DSA, numbers out of range are no signature at all. */
function hasForm(key: KeyObject, scheme: CmsScheme, signature: Uint8Array): boolean {
  const { modulusLength = 0, divisorLength = 0 } = key.asymmetricKeyDetails ?? {};
  if (scheme === 'rsa') return signature.length === Math.ceil(modulusLength / 8);
  const numbers = numbersOf(signature);
  if (numbers === undefined || scheme === 'ecdsa') return numbers !== undefined;
  return numbers.every((each) => each > 0n && each >> BigInt(divisorLength) === 0n);
}

/** Checks a signature over `input`. */
export function checkSignature(
  key: KeyObject,
  { scheme, hash }: { readonly scheme: CmsScheme; readonly hash: CmsHash },
  input: Uint8Array,
  signature: Uint8Array,
): SignatureCheck {
  if (key.asymmetricKeyType !== KEY_TYPE[scheme]) return 'malformed';
  if (!hasForm(key, scheme, signature)) return 'malformed';
  const padding = scheme === 'rsa' ? { padding: constants.RSA_PKCS1_PADDING } : {};
  try {
    return verify(hash, input, { key, ...padding }, signature) ? 'valid' : 'invalid';
  } catch {
    // OpenSSL throws for keys and numbers that it does not want to calculate with.
    return 'malformed';
  }
}

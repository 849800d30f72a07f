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

/** Whether bytes are `SEQUENCE { r, s }` of two positive numbers. */
function isPairOfNumbers(signature: Uint8Array): boolean {
  try {
    const fields = fieldsOf(readElement(signature), 'Signature');
    const r = integerOf(fields.any('r'), 'r');
    const s = integerOf(fields.any('s'), 's');
    fields.end();
    return r > 0n && s > 0n;
  } catch (error) {
    if (error instanceof FormatError) return false;
    throw error;
  }
}

function hasForm(key: KeyObject, scheme: CmsScheme, signature: Uint8Array): boolean {
  if (scheme !== 'rsa') return isPairOfNumbers(signature);
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
  return signature.length === Math.ceil(bits / 8);
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

/**
 * Verifies DSSE envelopes: the signatures first, over the bytes that are then handed on. Nothing is read out
 * of the envelope a second time.
 *
 * A key's type decides how its signatures are checked; the envelope has no say in it.
 */

import { constants, verify, type KeyObject } from 'node:crypto';
import { VerificationError } from '../core/errors.ts';
import { decodeEnvelope, preAuthenticationEncoding } from '../formats/dsse/envelope.ts';

export interface DsseTrust {
  /** The keys that are trusted; the same key twice counts once. */
  readonly keys: readonly KeyObject[];
  /** How many of them must have signed. Default 1. */
  readonly threshold?: number;
  /** The only type that is taken; default any. */
  readonly payloadType?: string | undefined;
}

export interface VerifiedDsse {
  readonly payloadType: string;
  /** The bytes that were signed. */
  readonly payload: Uint8Array;
  /** The trusted keys that signed, in the order of the trust. */
  readonly keys: readonly KeyObject[];
}

const MIN_RSA_BITS = 2048;

const CURVES: ReadonlyMap<string, { readonly hash: string; readonly size: number }> = new Map([
  ['prime256v1', { hash: 'sha256', size: 64 }],
  ['secp384r1', { hash: 'sha384', size: 96 }],
  ['secp521r1', { hash: 'sha512', size: 132 }],
]);

const spkiOf = (key: KeyObject): string =>
  key.export({ type: 'spki', format: 'der' }).toString('base64');

/** Whether a signature is the key's, in any form that is known for its type. */
function isSignedBy(key: KeyObject, data: Uint8Array, signature: Uint8Array): boolean {
  const check = (hash: string | null, how: object = {}): boolean => {
    try {
      return verify(hash, data, { key, ...how }, signature);
    } catch {
      return false;
    }
  };
  const { modulusLength = 0, namedCurve = '' } = key.asymmetricKeyDetails ?? {};
  const type = key.asymmetricKeyType;
  if (type === 'ed25519') return check(null);
  if (type === 'rsa' && modulusLength >= MIN_RSA_BITS) {
    const padding = constants.RSA_PKCS1_PSS_PADDING;
    const saltLength = constants.RSA_PSS_SALTLEN_AUTO;
    return (
      check('sha256', { padding: constants.RSA_PKCS1_PADDING }) ||
      check('sha256', { padding, saltLength })
    );
  }
  const curve = CURVES.get(namedCurve);
  if (curve === undefined) return false;
  // DER, or r and s one behind the other, as in the specification's example.
  return (
    check(curve.hash, { dsaEncoding: 'der' }) ||
    (signature.length === curve.size && check(curve.hash, { dsaEncoding: 'ieee-p1363' }))
  );
}

/**
 * Proves that enough of the trusted keys signed an envelope.
 *
 * @throws {FormatError} when the bytes are no envelope.
 * @throws {VerificationError} `dsse`: `untrusted` when too few did, `payload-type` when they signed something
 *   of another type.
 */
export function verifyDsse(bytes: Uint8Array, trust: DsseTrust): VerifiedDsse {
  const { threshold = 1 } = trust;
  const { payloadType, payload, signatures } = decodeEnvelope(bytes);
  const data = preAuthenticationEncoding(payloadType, payload);
  const unique = new Map(trust.keys.map((key) => [spkiOf(key), key]));
  if (!Number.isInteger(threshold) || threshold < 1 || threshold > unique.size) {
    throw new RangeError(
      `Cannot ask for ${threshold} signatures: ${unique.size} different keys are trusted`,
    );
  }
  const keys = [...unique.values()].filter((key) =>
    signatures.some(({ signature }) => isSignedBy(key, data, signature)),
  );
  if (keys.length < threshold) {
    const found = keys.length === 0 ? 'none' : `only ${keys.length}`;
    throw new VerificationError(
      'dsse',
      'untrusted',
      `Cannot trust the envelope: ${found} of the trusted keys signed it, ${threshold} must have`,
      { expected: `${threshold} of ${unique.size} keys`, actual: `${keys.length}` },
    );
  }
  if (trust.payloadType !== undefined && payloadType !== trust.payloadType) {
    throw new VerificationError(
      'dsse',
      'payload-type',
      'Cannot use the envelope: what was signed is of another type',
      { expected: trust.payloadType, actual: payloadType },
    );
  }
  return { payloadType, payload, keys };
}

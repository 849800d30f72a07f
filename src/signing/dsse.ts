/**
 * Signs DSSE envelopes, one signature a key. What checks them is `verify-dsse.ts`; both share the codec and
 * nothing else.
 */

import { createHash, type KeyObject } from 'node:crypto';
import { UsageError } from '../core/errors.ts';
import {
  preAuthenticationEncoding,
  type DsseEnvelope,
  type DsseSignature,
} from '../formats/dsse/envelope.ts';
import { signChecked, type SignatureOptions, type Signer } from './signer.ts';

/** Verifiers refuse RSA below this. */
const MIN_RSA_BITS = 2048;

/** How a key signs envelopes. @throws {UsageError} `key` when it does not. */
function schemeOf(key: KeyObject): SignatureOptions {
  const { modulusLength = 0, namedCurve } = key.asymmetricKeyDetails ?? {};
  if (key.asymmetricKeyType === 'rsa' && modulusLength >= MIN_RSA_BITS) {
    return { hash: 'sha256', scheme: 'rsa-pkcs1', purpose: 'dsse' };
  }
  if (namedCurve === 'prime256v1') return { hash: 'sha256', scheme: 'ecdsa', purpose: 'dsse' };
  if (namedCurve === 'secp384r1') return { hash: 'sha384', scheme: 'ecdsa', purpose: 'dsse' };
  if (key.asymmetricKeyType === 'ed25519') {
    return { hash: 'sha512', scheme: 'ed25519', purpose: 'dsse' };
  }
  throw new UsageError(
    'key',
    `Cannot sign DSSE with this key (${key.asymmetricKeyType} ${namedCurve ?? (modulusLength || '')})`,
    { hint: 'Use RSA of 2048 bits or more, P-256, P-384 or Ed25519' },
  );
}

/** The name of a key in envelopes: SHA-256 of its SubjectPublicKeyInfo. A hint, no more. */
export const dsseKeyid = (key: KeyObject): string =>
  createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest('hex');

/**
 * Signs bytes as what `payloadType` says. The signatures are made at the same time.
 *
 * @throws {UsageError} `key` when a key cannot sign envelopes, or answers wrongly.
 */
export async function signDsse(
  content: Pick<DsseEnvelope, 'payloadType' | 'payload'>,
  signers: readonly Signer[],
): Promise<DsseEnvelope> {
  const { payloadType, payload } = content;
  const schemes = signers.map(({ publicKey }) => schemeOf(publicKey));
  const data = preAuthenticationEncoding(payloadType, payload);
  const signatures = await Promise.all(
    signers.map(async (signer, index): Promise<DsseSignature> => ({
      keyid: dsseKeyid(signer.publicKey),
      signature: await signChecked(signer, data, schemes[index] ?? schemeOf(signer.publicKey)),
    })),
  );
  return { payloadType, payload, signatures };
}

/** Adds signatures to an envelope that others have signed; one by the same key is replaced. */
export async function addDsseSignatures(
  envelope: DsseEnvelope,
  signers: readonly Signer[],
): Promise<DsseEnvelope> {
  const { signatures: added } = await signDsse(envelope, signers);
  const ours = new Set(added.map(({ keyid }) => keyid));
  const others = envelope.signatures.filter(({ keyid }) => !ours.has(keyid));
  return { ...envelope, signatures: [...others, ...added] };
}

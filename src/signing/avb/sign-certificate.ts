/** Making the certificates of libavb_cert and credentials that unlock a device. RSA-4096 with SHA-512. */

import { sha256 } from '../../core/digest.ts';
import { UsageError } from '../../core/errors.ts';
import { encodeCertificate, encodeUnlockCredential } from '../../formats/avb/certificate.ts';
import { signChecked, type Signer } from '../signer.ts';

const USAGE = 'com.google.android.things.vboot';
const CHALLENGE_SIZE = 16;

export interface CertificateOptions {
  /** AVB's encoding of the key that is certified. */
  readonly subjectKey: Uint8Array;
  /** Who it is for; of a product signing key the product ID. Hashed. */
  readonly subject: Uint8Array;
  readonly keyVersion: bigint;
  /** Whether the key may certify others. */
  readonly isIntermediateAuthority: boolean;
  /** What the key is for; default vboot, or its authority. Hashed. */
  readonly usage?: string;
  /** Undefined for a certificate that is signed elsewhere. */
  readonly authority?: Signer | undefined;
}

async function signWith(authority: Signer, data: Uint8Array): Promise<Uint8Array> {
  if (authority.publicKey.asymmetricKeyDetails?.modulusLength !== 4096) {
    throw new UsageError('key', 'Cannot sign AVB certificate: the key must be RSA-4096');
  }
  return signChecked(authority, data, {
    hash: 'sha512',
    scheme: 'rsa-pkcs1',
    purpose: 'certificate',
  });
}

const join = (...parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));

/** A certificate; without authority, what is to be signed. */
export async function makeCertificate(options: CertificateOptions): Promise<Uint8Array> {
  const { isIntermediateAuthority, authority } = options;
  const usage = options.usage ?? `${USAGE}${isIntermediateAuthority ? '.ca' : ''}`;
  const data = encodeCertificate({
    publicKey: options.subjectKey,
    subject: sha256(options.subject),
    usage: sha256(Buffer.from(usage, 'utf8')),
    keyVersion: options.keyVersion,
  });
  return authority === undefined ? data : join(data, await signWith(authority, data));
}

export interface UnlockOptions {
  /** Certificates with their signatures. */
  readonly intermediate: Uint8Array;
  readonly unlock: Uint8Array;
  /** What the device asks, 16 bytes, and the key that answers. */
  readonly answer?: { readonly challenge: Uint8Array; readonly signer: Signer } | undefined;
}

/** An unlock credential; without answer, what a signature of the challenge is to be appended to. */
export async function makeUnlockCredential(options: UnlockOptions): Promise<Uint8Array> {
  const { intermediate, unlock, answer } = options;
  const head = encodeUnlockCredential(intermediate, unlock);
  if (answer === undefined) return head;
  if (answer.challenge.length !== CHALLENGE_SIZE) {
    throw new UsageError(
      'input',
      `Cannot answer a challenge of ${answer.challenge.length} bytes: it must have ${CHALLENGE_SIZE}`,
    );
  }
  return join(head, await signWith(answer.signer, answer.challenge));
}

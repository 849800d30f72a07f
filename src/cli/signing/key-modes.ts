/** How a session comes by a key: opened to sign now, or by its public half for signatures from elsewhere. */

import { createPublicKey, type KeyObject } from 'node:crypto';
import { toHex } from '../../core/digest.ts';
import { UsageError } from '../../core/errors.ts';
import {
  readCertificateFile,
  readPublicKeyFile,
  requireOwnCertificate,
} from '../../signing/keys/certificates.ts';
import { publicKeyDigest } from '../../signing/keys/development.ts';
import { openKey, type OpenKeyOptions, type OpenedKey } from '../../signing/keys/open-key.ts';
import { parseKeyReference } from '../../signing/keys/reference.ts';
import type { RequestedKey } from '../../signing/two-phase/request.ts';
import {
  decodeCertificatePem,
  encodeCertificatePem,
  readCertificateKey,
} from '../../signing/x509.ts';
import { withoutPin } from './job.ts';

export interface SigningKeyOptions {
  readonly certificate?: string | undefined;
  readonly passphrase?: string | undefined;
  readonly storePassphrase?: string | undefined;
}

/** What else opens a key. */
export type SigningEnvironment = OpenKeyOptions;

/** A key as far as it is public. */
export interface PublicKeyParts {
  readonly reference: string;
  readonly publicKey: KeyObject;
  /** X.509 DER, the key's own first. */
  readonly certificates: readonly Uint8Array[];
}

/** @throws {UsageError} when no key is named, or it does not open. */
export function openToSign(
  reference: string | undefined,
  options: OpenKeyOptions,
): Promise<OpenedKey> {
  if (reference === undefined) {
    throw new UsageError('usage', 'Cannot sign: no key is given', {
      hint: 'Name it with --key: a file, or p12:, jks:, pkcs11: or helper:',
    });
  }
  return openKey(reference, options);
}

/**
 * The public half of a key: from a file that holds no more, from the certificate alone, or from wherever
 * the key is.
 */
export async function openToRequest(
  reference: string | undefined,
  options: OpenKeyOptions,
): Promise<PublicKeyParts> {
  const { certificate } = options;
  const given = certificate === undefined ? [] : await readCertificateFile(certificate);
  if (reference === undefined) {
    const [own] = given;
    if (own === undefined) {
      throw new UsageError('usage', 'Cannot prepare: neither a key nor a certificate is given', {
        hint: 'Name the public key with --key, or its certificate with --cert',
      });
    }
    return {
      reference: certificate ?? '',
      publicKey: readCertificateKey(own),
      certificates: given,
    };
  }
  const place = parseKeyReference(reference);
  const path = place.kind === 'file' ? place.path : '';
  const publicKey =
    path !== ''
      ? // What holds no public key is for those who open private ones, who also say what is wrong.
        await readPublicKeyFile(path).catch(() => undefined)
      : undefined;
  if (publicKey !== undefined) {
    requireOwnCertificate(given, publicKey, certificate ?? '', reference);
    // A certificate in the place of the key is both.
    const own = await readCertificateFile(path).catch(() => []);
    return { reference, publicKey, certificates: certificate === undefined ? own : given };
  }
  const key = await openKey(reference, options);
  await key.close();
  return { ...key, publicKey: key.signer.publicKey };
}

/** What a request tells of a key. */
export function describeKey(
  reference: string | undefined,
  certificate: string | undefined,
  { publicKey, certificates }: PublicKeyParts,
): RequestedKey {
  return {
    id: toHex(publicKeyDigest(publicKey)),
    reference: reference === undefined ? null : withoutPin(reference),
    certificate: certificate ?? null,
    publicKey: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    certificates: certificates.map(encodeCertificatePem),
  };
}

/** A key of the request that the same command line names. */
export function findRequestedKey(
  keys: readonly RequestedKey[],
  reference: string | undefined,
  certificate: string | undefined,
): PublicKeyParts | undefined {
  const name = reference === undefined ? null : withoutPin(reference);
  const found = keys.find(
    (key) => key.reference === name && key.certificate === (certificate ?? null),
  );
  return (
    found && {
      reference: found.reference ?? certificate ?? '',
      publicKey: createPublicKey(found.publicKey),
      certificates: found.certificates.flatMap((pem) => decodeCertificatePem(pem)),
    }
  );
}

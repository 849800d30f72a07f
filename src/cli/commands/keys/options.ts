/** What the commands of `microbuild keys` have in common. */

import type { Options } from 'yargs';
import type { KeyObject } from 'node:crypto';
import { UsageError } from '../../../core/errors.ts';
import { loadCryptoki } from '../../../native/load-cryptoki.ts';
import {
  findPublicParts,
  readCertificateFile,
  requireOwnCertificate,
} from '../../../signing/keys/certificates.ts';
import type { CertificateFacts, KeyFacts } from '../../../signing/keys/describe-key.ts';
import { openKey } from '../../../signing/keys/open-key.ts';
import { parseKeyReference } from '../../../signing/keys/reference.ts';
import type { CommandArguments, CommandContext } from '../../command.ts';
import { lastText } from '../avb/options.ts';

/** Of what is shown of a key. */
export const publicKeyOptions = {
  cert: {
    type: 'string',
    requiresArg: true,
    describe: 'Certificate of the key, PEM or DER; default: what the key store holds',
  },
  'key-pass': {
    type: 'string',
    requiresArg: true,
    describe: 'Pass phrase or PIN: env:NAME, file:PATH, stdin or prompt',
  },
  'store-pass': {
    type: 'string',
    requiresArg: true,
    describe: 'Pass phrase of a key store, where it is not that of the key',
  },
} as const satisfies Record<string, Options>;

export const keyPositional = {
  key: {
    type: 'string',
    required: true,
    describe:
      'Key, public key or certificate: a file, or p12:PATH, jks:PATH, pkcs11:URI, helper:PROGRAM',
  },
} as const;

export interface PublicKeyParts {
  readonly reference: string;
  readonly publicKey: KeyObject;
  /** X.509 DER, the key's own first. */
  readonly certificates: readonly Uint8Array[];
  /** Whether the private half is there, too. */
  readonly isPrivate: boolean;
}

/** The files that a key is read from, which nothing may replace. */
export function filesOf(args: CommandArguments): readonly (string | undefined)[] {
  const place = parseKeyReference(args.text('key'));
  return ['path' in place ? place.path : undefined, lastText(args, 'cert')];
}

/** The public half of whatever a reference leads to: a file may hold no more than that. */
export async function openPublicHalf(
  args: CommandArguments,
  { env, signal }: CommandContext,
): Promise<PublicKeyParts> {
  const reference = args.text('key');
  const certificate = lastText(args, 'cert');
  const place = parseKeyReference(reference);
  // A file that cannot be read is for those who open keys, who also say what can be done about it.
  const found =
    place.kind === 'file' ? await findPublicParts(place.path).catch(ignoreUsage) : undefined;
  if (found !== undefined) {
    const certificates =
      certificate === undefined ? found.certificates : await readCertificateFile(certificate);
    requireOwnCertificate(certificates, found.publicKey, certificate ?? reference, reference);
    return { reference, publicKey: found.publicKey, certificates, isPrivate: false };
  }
  const key = await openKey(reference, {
    certificate,
    passphrase: lastText(args, 'key-pass'),
    storePassphrase: lastText(args, 'store-pass'),
    env,
    signal,
    loadCryptoki,
  });
  await key.close();
  const { certificates } = key;
  return {
    reference: key.reference,
    publicKey: key.signer.publicKey,
    certificates,
    isPrivate: true,
  };
}

function ignoreUsage(error: unknown): undefined {
  if (!(error instanceof UsageError)) throw error;
}

const days = (time: string): string => time.replace('T00:00:00Z', '');

/** A certificate for people, without a last newline. */
export function formatCertificate(facts: CertificateFacts): string {
  const { subject, issuer, notBefore, notAfter } = facts;
  return [
    `certificate  ${subject}`,
    ...(issuer === subject ? [] : [`  issued by  ${issuer}`]),
    `  valid      ${days(notBefore)} to ${days(notAfter)}`,
    `  sha256     ${facts.sha256}`,
  ].join('\n');
}

/** A key for people, without a last newline. */
export function formatKey({ kind, publicKey, avb, certificates, published }: KeyFacts): string {
  return [
    `kind         ${kind}`,
    `public key`,
    `  sha256     ${publicKey.sha256}`,
    ...(avb === null ? [] : [`avb key`, `  sha256     ${avb.sha256}`]),
    ...certificates.map(formatCertificate),
    ...(published === null
      ? []
      : [`published    ${published}: everybody can sign with this key, never release with it`]),
  ].join('\n');
}

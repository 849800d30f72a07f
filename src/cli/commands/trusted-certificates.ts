/** `--trust` and signature files of the commands that verify PKCS #7 signatures. */

import { toHex } from '../../core/digest.ts';
import { UsageError } from '../../core/errors.ts';
import { openFileSource } from '../../io/byte-source.ts';
import { readCertificateFile } from '../../signing/keys/certificates.ts';
import { certificateDigest } from '../../signing/x509.ts';
import type { CommandArguments } from '../command.ts';

export const trustOption = {
  type: 'string',
  array: true,
  nargs: 1,
  describe: 'Certificate that may have signed, PEM or DER; may be given several times',
} as const;

/** Far above what a signature takes, chains of certificates included. */
const MAX_SIGNATURE = 1 << 18;

/** @throws {UsageError} when none is given, or one is no certificate. */
export async function trustedCertificates(
  args: CommandArguments,
  signature: string,
): Promise<readonly Uint8Array[]> {
  const certificates = await Promise.all(args.list('trust').map(readCertificateFile));
  if (certificates.length > 0) return certificates.flat();
  throw new UsageError('usage', `Cannot verify ${signature}: no certificate is trusted`, {
    hint: 'Name the certificate that must have signed: --trust FILE',
  });
}

/** @throws {UsageError} when the file is far too large to be one. */
export async function readSignature(path: string): Promise<Uint8Array> {
  const source = await openFileSource(path);
  try {
    if (source.size <= MAX_SIGNATURE) return await source.read(0, source.size);
    throw new UsageError('input', `Cannot verify ${path}: ${source.size} bytes are no signature`);
  } finally {
    await source.close();
  }
}

/** How a certificate is named: `sha256:` and its digest. */
export const certificateId = (certificate: Uint8Array): string =>
  `sha256:${toHex(certificateDigest(certificate, 'sha256'))}`;

/** Keys behind `helper:`: a program signs, and a file says with which public key. */

import { UsageError } from '../../core/errors.ts';
import { readCertificateKey } from '../x509.ts';
import { readCertificateFile, readPublicKeyFile } from './certificates.ts';
import { helperSigner } from './helper-signer.ts';
import type { KeyMaterial, OpenKeyOptions } from './open-key.ts';
import type { HelperReference } from './reference.ts';

/**
 * Makes a signer of a helper. The program is not run before something is to be signed.
 *
 * @throws {UsageError} `key` when nothing says what its public key is.
 */
export async function openHelperKey(
  reference: HelperReference,
  { certificate, passphrase, env, signal }: OpenKeyOptions,
): Promise<KeyMaterial> {
  const { program, publicKey: file } = reference;
  if (passphrase !== undefined) {
    throw new UsageError('key', `Cannot give helper ${program} a pass phrase`, {
      hint: 'A helper gets its secrets by itself; it inherits the environment',
    });
  }
  if (certificate === undefined && file === undefined) {
    throw new UsageError(
      'key',
      `Cannot use helper ${program}: nothing says what its public key is`,
      { hint: 'Name its certificate with --cert, or write helper:PROGRAM?public-key=FILE' },
    );
  }
  const [own] = certificate === undefined ? [] : await readCertificateFile(certificate);
  const publicKey =
    own === undefined ? await readPublicKeyFile(file ?? '') : readCertificateKey(own);
  if (
    own !== undefined &&
    file !== undefined &&
    !(await readPublicKeyFile(file)).equals(publicKey)
  ) {
    throw new UsageError(
      'key',
      `Cannot use helper ${program}: certificate ${certificate} is not of public key ${file}`,
    );
  }
  return {
    signer: helperSigner({
      ...reference,
      // avbtool gives its helpers the path that it was given itself.
      key: reference.key ?? (reference.mode === 'raw' ? (file ?? certificate) : undefined),
      publicKey,
      env,
      signal,
    }),
    // The certificate that was named is added, and checked, like that of any other key.
    certificates: [],
    close: () => Promise.resolve(),
  };
}

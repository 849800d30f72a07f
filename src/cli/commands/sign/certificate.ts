/** The certificate that goes along with a key that signs files for the kernel. */

import { UsageError } from '../../../core/errors.ts';
import type { OpenedKey } from '../../../signing/keys/open-key.ts';

/** @throws {UsageError} `key` when the key has none. */
export function certificateOf({ certificates, reference }: OpenedKey): Uint8Array {
  const [certificate] = certificates;
  if (certificate !== undefined) return certificate;
  throw new UsageError('key', `Cannot sign with ${reference}: its certificate is not known`, {
    hint: 'PKCS #7 names the certificate of the key that signs: give it with --cert',
  });
}

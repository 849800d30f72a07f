/** Private keys into node:crypto. */

import { createPrivateKey, type KeyObject, type PrivateKeyInput } from 'node:crypto';

/** What comparing keys of two types leaves behind in OpenSSL. */
const LEFT_BEHIND = 'ERR_OSSL_EVP_DIFFERENT_KEY_TYPES';

/**
 * As `createPrivateKey`, which takes an error that an earlier comparison left behind for its own
 * (seen with Node 20.20): `equals` of keys of two types is such a comparison.
 *
 * @throws what `createPrivateKey` throws.
 */
export function importPrivateKey(input: PrivateKeyInput): KeyObject {
  try {
    return createPrivateKey(input);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === LEFT_BEHIND)) throw error;
    // The first try has thrown it away.
    return createPrivateKey(input);
  }
}

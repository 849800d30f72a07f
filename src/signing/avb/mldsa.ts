/** ML-DSA signatures of vbmeta images, over header and auxiliary block, with an empty context. */

import { createPublicKey, sign, type KeyObject } from 'node:crypto';
import { isMldsa, requireMldsa } from './public-key.ts';

export interface MldsaSigner {
  readonly publicKey: KeyObject;
  /** Signs all of `data`, which ML-DSA hashes itself. */
  signMessage(data: Uint8Array): Promise<Uint8Array>;
}

/**
 * Signs with a private key in this process's memory.
 *
 * @throws {EnvironmentError} when this Node has no ML-DSA.
 * @throws {TypeError} when the key is another one.
 */
export function mldsaSigner(privateKey: KeyObject): MldsaSigner {
  requireMldsa();
  if (privateKey.type !== 'private' || !isMldsa(privateKey)) {
    throw new TypeError('Cannot sign with ML-DSA: the key is not a private ML-DSA key');
  }
  return {
    publicKey: createPublicKey(privateKey),
    signMessage: (data) =>
      new Promise((resolve, reject) => {
        sign(null, data, privateKey, (error, signature) => {
          if (error === null) resolve(new Uint8Array(signature));
          else reject(error);
        });
      }),
  };
}

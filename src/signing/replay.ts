/**
 * Signs without the key: with signatures that its owner has made before. What is built again from the same inputs asks
 * for the same signatures, as long as they are over the same bytes.
 */

import type { KeyObject } from 'node:crypto';
import { UsageError } from '../core/errors.ts';
import { isSignatureOf, type SignatureOptions, type Signer } from './signer.ts';

/** Asked for, but made over no such bytes before. */
export type MissingSignature = SignatureOptions;

/**
 * @param signatures All that there are, by whomever and over whatever: each answer is verified.
 * @param onMissing Told before `sign` rejects.
 */
export function replaySigner(
  publicKey: KeyObject,
  signatures: readonly Uint8Array[],
  onMissing: (missing: MissingSignature) => void,
): Signer {
  return {
    publicKey,
    sign(data, options) {
      const found = signatures.find((each) => isSignatureOf(publicKey, data, options, each));
      if (found !== undefined) return Promise.resolve(found.slice());
      onMissing(options);
      return Promise.reject(
        new UsageError(
          'key',
          `Cannot replay the ${options.purpose ?? options.scheme} signature: none that there is was made over these bytes`,
        ),
      );
    },
  };
}

/** A signer whose every signature is in the audit log before anybody has it. */

import { toHex, sha256 } from '../../core/digest.ts';
import type { AuditLog } from '../../signing/audit.ts';
import { publicKeyDigest } from '../../signing/keys/development.ts';
import type { OpenedKey } from '../../signing/keys/open-key.ts';
import { isSignatureOf, type Signer } from '../../signing/signer.ts';
import { algorithmName } from '../../signing/two-phase/algorithm.ts';
import { SignaturesNeeded } from '../../signing/two-phase/signers.ts';
import { withoutPin } from './job.ts';

/** @param artefact What is signed. */
export function auditedSigner(key: OpenedKey, artefact: string, audit: AuditLog): Signer {
  const { publicKey } = key.signer;
  return {
    publicKey,
    async sign(data, options) {
      const entry = {
        artefact,
        purpose: options.purpose,
        key: withoutPin(key.reference),
        keyId: toHex(publicKeyDigest(publicKey)),
        algorithm: algorithmName(publicKey, options),
        dataSha256: toHex(sha256(data)),
      };
      let signature: Uint8Array;
      try {
        signature = await key.signer.sign(data, options);
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        await audit.append(
          error instanceof SignaturesNeeded
            ? { verdict: 'requested', ...entry }
            : { verdict: 'failed', reason, ...entry },
        );
        throw error;
      }
      await audit.append(
        isSignatureOf(publicKey, data, options, signature)
          ? { verdict: 'signed', ...entry }
          : { verdict: 'failed', reason: 'the answer is no signature of the key', ...entry },
      );
      return signature;
    },
  };
}

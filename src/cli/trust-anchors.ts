/** Whom `verify` trusts: those that are named with `--trust`, else this workspace’s development key. */

import { join } from 'node:path';
import { createPublicKey } from 'node:crypto';
import { findKeyFolder } from '../builder/workspace.ts';
import { sha256, toHex } from '../core/digest.ts';
import { UsageError, VerificationError, type VerificationCode } from '../core/errors.ts';
import { avbPublicKey, publicKeyOfAvb } from '../signing/avb/public-key.ts';
import { readPrivateKey } from '../signing/keys/private-key-file.ts';
import { readTrustAnchor, type TrustAnchor } from '../signing/keys/trust-anchor.ts';

/**
 * @param named What was given with `--trust`.
 * @param target What is verified, near which a workspace may be.
 * @returns Nobody, where nobody is named and there is no development key.
 */
export async function trustAnchors(
  named: readonly string[],
  target: string,
  env: NodeJS.ProcessEnv,
): Promise<readonly TrustAnchor[]> {
  if (named.length > 0) return Promise.all(named.map(readTrustAnchor));
  const path = join(await findKeyFolder(process.cwd(), [target], env), 'image.pem');
  try {
    const key = createPublicKey(await readPrivateKey(path));
    const name = `${path} (development)`;
    return [{ name, keys: [key], avbKeys: [avbPublicKey(key)], certificates: [] }];
  } catch (cause) {
    if (cause instanceof UsageError) return [];
    throw cause;
  }
}

/** A key by its AVB encoding, for people: what it is, and the digest that `--trust` takes. */
export function describeAvbKey(blob: Uint8Array): string {
  if (blob.length === 0) return 'nobody';
  const digest = `sha256:${toHex(sha256(blob))}`;
  try {
    const { modulusLength } = publicKeyOfAvb(blob).asymmetricKeyDetails ?? {};
    return `RSA-${modulusLength} key ${digest}`;
  } catch {
    return `key ${digest}`;
  }
}

/**
 * Somebody signed, and nobody trusts them.
 *
 * @param link The link of the chain of trust.
 * @param signer Who it was, for people.
 * @param trust What `--trust` would have to be.
 */
export function untrusted(
  link: string,
  code: VerificationCode,
  { signer, trust, anchors }: { signer: string; trust: string; anchors: readonly TrustAnchor[] },
): VerificationError {
  const expected = anchors.map(({ name }) => name).join(' or ');
  return new VerificationError(
    link,
    code,
    `Cannot trust ${link}: it is signed by ${signer}, which nothing here trusts`,
    {
      ...(expected !== '' && { expected }),
      actual: signer,
      hint: `If you know from elsewhere that this key is right: --trust ${trust}`,
    },
  );
}

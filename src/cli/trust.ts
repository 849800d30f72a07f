/** Which AVB key `verify` and `run` trust: the one that is named, else this workspace's development key. */

import { createPublicKey } from 'node:crypto';
import { join } from 'node:path';
import { findKeyFolder } from '../builder/workspace.ts';
import { openBundle } from '../bundle/open.ts';
import { digestOf, digestSize, toHex } from '../core/digest.ts';
import { UsageError, VerificationError } from '../core/errors.ts';
import { readVbmeta } from '../formats/avb/footer.ts';
import { decodeVbmeta } from '../formats/avb/vbmeta.ts';
import { avbPublicKey } from '../signing/avb/public-key.ts';
import { readPrivateKey } from '../signing/keys/private-key-file.ts';
import { readTrustedAvbKey } from '../signing/keys/trusted-key.ts';

export interface TrustedKey {
  /** AVB's encoding. */
  readonly key: Uint8Array;
  /** Where it came from, for people. */
  readonly from: string;
}

/**
 * @param named Path or digest given with `--trust`, or undefined.
 * @param bundle Path of the bundle, near which a workspace may be.
 */
export async function trustedKey(
  named: string | undefined,
  bundle: string,
  env: NodeJS.ProcessEnv,
): Promise<TrustedKey> {
  if (named !== undefined && isKeyDigest(named)) {
    return { key: keyOfDigest(named, await kernelKey(bundle), 'kernel'), from: named };
  }
  if (named !== undefined) return { key: await readTrustedAvbKey(named), from: named };
  const path = join(await findKeyFolder(process.cwd(), [bundle], env), 'image.pem');
  try {
    const key = avbPublicKey(createPublicKey(await readPrivateKey(path)));
    return { key, from: `${path} (development)` };
  } catch (cause) {
    if (!(cause instanceof UsageError)) throw cause;
    throw new UsageError(
      'key',
      'No key is trusted: there is no development key here, and none was named',
      {
        cause,
        hint: 'Name the public key that must have signed the kernel: --trust KEY',
      },
    );
  }
}

/** Whether trust is named by a digest instead of a file. */
const isKeyDigest = (text: string): boolean => /^sha(?:256|512):/i.test(text);

/**
 * The key of which a digest is trusted: it is the one that was found, or nothing is.
 *
 * @param digest `sha256:HEX` or `sha512:HEX` of AVB's encoding.
 * @throws {VerificationError} `PublicKeyRejected` when the found key has another digest.
 */
function keyOfDigest(digest: string, found: Uint8Array, link: string): Uint8Array {
  const [, bits = '256', hex = ''] = /^sha(256|512):([0-9a-f]*)$/i.exec(digest) ?? [];
  const algorithm = bits === '512' ? 'sha512' : 'sha256';
  if (hex.length !== digestSize[algorithm] * 2) {
    throw new UsageError('key', `Cannot trust ${digest}: it is no ${algorithm} digest`);
  }
  const actual = toHex(digestOf(algorithm, found));
  if (actual === hex.toLowerCase()) return found;
  throw new VerificationError(
    link,
    'PublicKeyRejected',
    `Cannot trust ${link}: it is signed by another key than the trusted one`,
    { expected: digest, actual: `${algorithm}:${actual}` },
  );
}

/** The key that a bundle's kernel holds; nothing says yet that it is to be trusted. */
async function kernelKey(path: string): Promise<Uint8Array> {
  const bundle = await openBundle(path);
  try {
    return decodeVbmeta((await readVbmeta(bundle.kernel)).bytes).publicKey;
  } finally {
    await bundle.close();
  }
}

/** What every command that trusts a key takes. */
export const trustOptions = {
  trust: {
    type: 'string',
    describe:
      'AVB public key to trust: a file (AVB encoding, PEM, DER or certificate) or sha256: and the digest of AVB’s encoding; default: this workspace’s development key',
  },
  'minimum-rollback-index': {
    type: 'number',
    default: 0,
    describe: 'Refuse a kernel with a lower rollback index',
  },
} as const;

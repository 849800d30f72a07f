/** Which AVB key `verify` and `run` trust: the one that is named, else this workspace's development key. */

import { createPublicKey } from 'node:crypto';
import { join } from 'node:path';
import { findKeyFolder } from '../builder/workspace.ts';
import { UsageError } from '../core/errors.ts';
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
 * @param named Path given with `--trust`, or undefined.
 * @param bundle Path of the bundle, near which a workspace may be.
 */
export async function trustedKey(
  named: string | undefined,
  bundle: string,
  env: NodeJS.ProcessEnv,
): Promise<TrustedKey> {
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

/** What every command that trusts a key takes. */
export const trustOptions = {
  trust: {
    type: 'string',
    describe:
      'AVB public key to trust (AVB encoding, PEM, DER or certificate); default: this workspace’s development key',
  },
  'minimum-rollback-index': {
    type: 'number',
    default: 0,
    describe: 'Refuse a kernel with a lower rollback index',
  },
} as const;

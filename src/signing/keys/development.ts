/**
 * Keys for first steps: made once a project, never to sign a release.
 *
 * The folder ignores itself in git, so that a key cannot be committed by accident.
 */

import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import { stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { UsageError } from '../../core/errors.ts';
import { makeFolder } from '../../io/make-folder.ts';
import { keySigner, type Signer } from '../signer.ts';
import type { RsaKeySize } from './generate.ts';
import { readPrivateKey } from './private-key-file.ts';

/** File names inside the folder, and the size that each key gets. */
const FILES = {
  image: { name: 'image.pem', bits: 4096 },
  payload: { name: 'payload.pem', bits: 2048 },
} as const satisfies Record<string, { name: string; bits: RsaKeySize }>;

/** Tells development keys from others: it stands beside them. */
const MARK = 'README';

const README = `These are development keys.

microbuild made them so that a first image can be built, signed and booted. Whoever can read this
folder can sign images that your machine starts. Never sign a release with them: make its keys with
"microbuild keys generate" or keep them in a hardware token, and name them in the recipe.

  image.pem     RSA-4096, signs kernel and vbmeta (AVB)
  payload.pem   RSA-2048, signs the payload APK

Deleting the folder is safe: the next build makes new ones. What was signed with the old ones is then
no longer trusted.
`;

export interface DevelopmentKey {
  readonly path: string;
  readonly signer: Signer;
}

export interface DevelopmentKeys {
  readonly image: DevelopmentKey;
  readonly payload: DevelopmentKey;
  /** Whether any of them did not exist before. */
  readonly created: boolean;
}

export interface DevelopmentKeyOptions {
  /** Default 4096. */
  readonly imageBits?: RsaKeySize;
  /** Default 2048. */
  readonly payloadBits?: RsaKeySize;
}

/** Writes a file only if there is none. */
async function writeNew(path: string, text: string): Promise<void> {
  try {
    await writeFile(path, text, { flag: 'wx', mode: 0o600 });
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return false;
    throw error;
  }
}

async function ensureKey(
  folder: string,
  name: string,
  bits: RsaKeySize,
): Promise<{ key: DevelopmentKey; created: boolean }> {
  const path = join(folder, name);
  let created = false;
  if (!(await exists(path))) {
    const { generateRsaKey, writePrivateKey } = await import('./generate.ts');
    created = await writePrivateKey(path, await generateRsaKey(bits));
  }
  // Read back also what was just written: of two builds at once both use the key that won.
  return { key: { path, signer: keySigner(await readPrivateKey(path)) }, created };
}

/**
 * The development keys of a folder; makes the folder (mode 0700) and what is missing in it. Two builds
 * that start at once end up with the same keys.
 *
 * @throws {UsageError} `key` when others than its owner may enter the folder or read a key.
 */
export async function ensureDevelopmentKeys(
  folder: string,
  options: DevelopmentKeyOptions = {},
): Promise<DevelopmentKeys> {
  await makeFolder(folder, 0o700);
  const { mode } = await stat(folder);
  if ((mode & 0o077) !== 0) {
    throw new UsageError(
      'key',
      `Cannot use key folder ${folder}: its mode is 0${(mode & 0o7777).toString(8)}`,
      { hint: `Run: chmod 700 ${folder}` },
    );
  }
  // Both stand before any key does: a key is never in the folder without them.
  await writeNew(join(folder, '.gitignore'), '*\n');
  await writeNew(join(folder, MARK), README);
  const [image, payload] = await Promise.all([
    ensureKey(folder, FILES.image.name, options.imageBits ?? FILES.image.bits),
    ensureKey(folder, FILES.payload.name, options.payloadBits ?? FILES.payload.bits),
  ]);
  return {
    image: image.key,
    payload: payload.key,
    created: image.created || payload.created,
  };
}

/** SHA-256 of the key's SubjectPublicKeyInfo: what key pins and deny lists hold. */
export function publicKeyDigest(key: KeyObject): Uint8Array {
  const publicKey = key.type === 'public' ? key : createPublicKey(key);
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  return new Uint8Array(createHash('sha256').update(spki).digest());
}

/** Whether `publicKey` is one of the development keys of `folder`. False when there is no such folder. */
export async function isDevelopmentKey(publicKey: KeyObject, folder: string): Promise<boolean> {
  if (!(await exists(join(folder, MARK)))) return false;
  const digest = Buffer.from(publicKeyDigest(publicKey));
  for (const { name } of Object.values(FILES)) {
    const path = join(folder, name);
    if (!(await exists(path))) continue;
    if (digest.equals(publicKeyDigest(await readPrivateKey(path)))) return true;
  }
  return false;
}

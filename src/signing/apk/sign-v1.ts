/** The JAR signature (v1) of an APK that is being signed: its files behind all other entries. */

import { createHash } from 'node:crypto';
import { MANIFEST_NAME } from '../../formats/jar/manifest.ts';
import { STAMP_CERTIFICATE_ENTRY } from '../../formats/apk/source-stamp.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import type { CopyPlan } from './copy-plan.ts';
import { digestEntries } from './jar/entry-digests.ts';
import { jarDigestAlgorithm, signJar } from './jar/sign.ts';
import type { NewEntry } from './sign-entries.ts';
import type { SigningInput } from './sign-input.ts';
import type { SigningKey } from './sign-key.ts';

export { jarSignatureNames } from './jar/sign.ts';

export interface JarSignatureOptions {
  readonly input: ByteSource;
  readonly opened: SigningInput;
  /** The entries of the input. */
  readonly copied: CopyPlan;
  /** The entry of a source stamp, which is signed too. */
  readonly stampEntry: NewEntry | undefined;
  readonly signers: readonly SigningKey[];
  /** Ids of the schemes that sign as well. */
  readonly schemes: readonly number[];
  readonly createdBy: string | undefined;
  readonly signal: AbortSignal | undefined;
}

export interface JarSignature {
  readonly files: readonly NewEntry[];
  /** What a source stamp signs of it. */
  readonly manifest: Uint8Array;
}

/**
 * Digests the entries and signs them.
 *
 * @throws {FormatError} when an entry cannot be read.
 * @throws {UsageError} `key` or `usage` when the signers cannot sign so.
 */
export async function signEntries(options: JarSignatureOptions): Promise<JarSignature> {
  const { input, opened, copied, stampEntry, signers, schemes, createdBy, signal } = options;
  const { minSdk } = opened;
  const algorithm = jarDigestAlgorithm(signers, minSdk);
  const kept = new Set(copied.records.map(({ name }) => name));
  const digests = new Map(
    await digestEntries(
      input,
      opened.zip.entries.filter(({ name }) => kept.has(name)),
      algorithm,
      signal,
    ),
  );
  if (stampEntry !== undefined) {
    const digest = createHash(algorithm).update(stampEntry.content).digest();
    digests.set(STAMP_CERTIFICATE_ENTRY, new Uint8Array(digest));
  }
  const sourceManifest = await opened.entry(MANIFEST_NAME);
  const files = await signJar({ signers, minSdk, digests, schemes, sourceManifest, createdBy });
  const manifest = files.find(({ name }) => name === MANIFEST_NAME);
  if (manifest === undefined) throw new RangeError('A JAR signature has a manifest');
  return { files, manifest: manifest.content };
}

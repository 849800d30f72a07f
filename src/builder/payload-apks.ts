/** APKs for a payload disk, each with an idsig that is theirs: as the guest will check them. */

import { toHex } from '../core/digest.ts';
import { openFileSource } from '../io/byte-source.ts';
import { createFileSink } from '../io/image-sink.ts';
import type { ApkHasher } from '../signing/apk/content-digests.ts';
import { verifyIdsig } from '../signing/apk/verify-idsig.ts';
import type { VerifiedApk } from '../signing/apk/verify.ts';
import { writeUnsignedIdsig } from '../signing/apk/write-idsig.ts';

/** Paths. */
export interface ApkFiles {
  readonly apk: string;
  readonly idsig: string;
}

export interface CheckedApk {
  readonly rootHash: Uint8Array;
  readonly apk: VerifiedApk;
}

/**
 * Verifies an APK, and makes its idsig as a new file.
 *
 * @throws {VerificationError} when the guest would refuse it.
 */
export async function makeIdsig(
  files: ApkFiles,
  hasher: ApkHasher | undefined,
): Promise<CheckedApk> {
  const apk = await openFileSource(files.apk);
  try {
    const sink = await createFileSink(files.idsig);
    try {
      return await writeUnsignedIdsig(apk, sink, { hasher });
    } finally {
      // It goes into an image, which is flushed.
      await sink.close({ flush: false });
    }
  } finally {
    await apk.close();
  }
}

/**
 * Verifies an APK and the idsig that is there, which may be unsigned.
 *
 * @throws {VerificationError} or {FormatError} when the guest would refuse them.
 */
export async function checkIdsig(
  files: ApkFiles,
  hasher: ApkHasher | undefined,
): Promise<CheckedApk> {
  const apk = await openFileSource(files.apk);
  try {
    const idsig = await openFileSource(files.idsig);
    try {
      return await verifyIdsig(apk, idsig, { hasher, allowUnsigned: true });
    } finally {
      await idsig.close();
    }
  } finally {
    await apk.close();
  }
}

/** The names by which a guest may be told to accept the signer of an APK. */
export const certificateNames = ({
  certificateDigests: { sha256, sha512 },
}: VerifiedApk): readonly [sha256: string, sha512: string] => [
  `sha256:${toHex(sha256)}`,
  `sha512:${toHex(sha512)}`,
];

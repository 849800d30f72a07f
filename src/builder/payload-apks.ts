/** APKs for a payload disk, each with an idsig that is theirs: as the guest will check them. */

import { toHex } from '../core/digest.ts';
import { openFileSource, streamOf } from '../io/byte-source.ts';
import type { ApkHasher } from '../signing/apk/content-digests.ts';
import { verifyIdsig } from '../signing/apk/verify-idsig.ts';
import { verifyPayload, type VerifiedApk } from '../signing/apk/verify.ts';
import { writeUnsignedIdsig } from '../signing/apk/write-idsig.ts';
import type { ApkPlace } from './steps/payload-disk.ts';

/** Paths; an idsig that is left out is made, without a signature. */
export interface GivenApk {
  readonly apk: string;
  readonly idsig?: string | undefined;
}

export interface CheckedApk {
  readonly rootHash: Uint8Array;
  readonly apk: VerifiedApk;
}

/**
 * Verifies an APK and its idsig, which may be unsigned, and copies them to their places. The APK's bytes are read
 * once for all of it.
 *
 * @throws {VerificationError} or {FormatError} when the guest would refuse them.
 */
export async function copyApk(
  given: GivenApk,
  place: ApkPlace,
  hasher: ApkHasher | undefined,
): Promise<CheckedApk> {
  const source = await openFileSource(given.apk);
  try {
    if (given.idsig === undefined) {
      return await writeUnsignedIdsig(source, place.idsig, { hasher, copy: place.apk });
    }
    const idsig = await openFileSource(given.idsig);
    try {
      const apk = await verifyPayload(source, { hasher, tree: true, copy: place.apk });
      const { rootHash } = await verifyIdsig(source, idsig, { apk, hasher, allowUnsigned: true });
      let at = 0;
      for await (const chunk of streamOf(idsig)) {
        await place.idsig.write(at, chunk);
        at += chunk.length;
      }
      return { rootHash, apk };
    } finally {
      await idsig.close();
    }
  } finally {
    await source.close();
  }
}

/** @throws {VerificationError} when the guest would refuse it. */
export async function verifyApk(path: string, hasher: ApkHasher | undefined): Promise<void> {
  const source = await openFileSource(path);
  try {
    await verifyPayload(source, { hasher });
  } finally {
    await source.close();
  }
}

/** The names by which a guest may be told to accept the signer of an APK. */
export const certificateNames = ({
  certificateDigests: { sha256, sha512 },
}: VerifiedApk): readonly [sha256: string, sha512: string] => [
  `sha256:${toHex(sha256)}`,
  `sha512:${toHex(sha512)}`,
];

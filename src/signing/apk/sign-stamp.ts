/** The source stamp of an APK that is being signed: its entry, and its pair of the signing block. */

import { equalBytes, sha256 } from '../../core/digest.ts';
import { UsageError } from '../../core/errors.ts';
import { encodeLineage } from '../../formats/apk/lineage.ts';
import {
  STAMP_CERTIFICATE_ENTRY,
  type StampDigests,
  type StampedScheme,
} from '../../formats/apk/source-stamp.ts';
import type { ContentDigests } from './entries-pass.ts';
import { truncateLineage, type Lineage } from './lineage-change.ts';
import type { NewEntry } from './sign-entries.ts';
import type { SigningInput } from './sign-input.ts';
import { signingKey, type ApkSigner } from './sign-key.ts';
import type { BlockSigner, SignaturePlan } from './sign-plan.ts';
import { signSourceStamp, stampEntryContent } from './source-stamp-sign.ts';

export interface ApkStamp {
  readonly signer: ApkSigner;
  /** How the key came to stamp. */
  readonly lineage?: Lineage | undefined;
  /** Whether a stamp of another key is replaced. Default: the APK is refused. */
  readonly overwrite?: boolean | undefined;
  /** Seconds since 1970. Default: the stamp tells no time. */
  readonly time?: number | undefined;
}

/** @throws {UsageError} `input` when the APK is stamped by another key. */
export async function newStampEntry(
  input: SigningInput,
  { signer, overwrite = false }: ApkStamp,
): Promise<NewEntry> {
  const content = stampEntryContent(signingKey(signer).certificate);
  const existing = await input.entry(STAMP_CERTIFICATE_ENTRY);
  if (!overwrite && existing !== undefined && !equalBytes(existing, content)) {
    throw new UsageError('input', 'Cannot stamp APK: it is stamped by another key', {
      hint: 'Replace that stamp with --force-stamp-overwrite',
    });
  }
  return { name: STAMP_CERTIFICATE_ENTRY, content };
}

function digestsOf(signers: readonly BlockSigner[], digests: ContentDigests): StampDigests {
  const signed = new Set(
    signers.flatMap(({ algorithms }) => algorithms.map(({ contentDigest }) => contentDigest)),
  );
  return new Map([...digests].filter(([algorithm]) => signed.has(algorithm)));
}

/** The value of the stamp's pair: over what each scheme has signed. */
export function stampPair(
  { signer, lineage, time }: ApkStamp,
  { v2, v3 }: SignaturePlan,
  digests: ContentDigests,
  jarManifest: Uint8Array | undefined,
): Promise<Uint8Array> {
  const key = signingKey(signer);
  const history = lineage && truncateLineage(lineage, key.certificate);
  if (lineage !== undefined && history === undefined) {
    throw new UsageError('key', "Cannot stamp APK: the stamp's certificate is not in its lineage");
  }
  const schemes = new Map<StampedScheme, StampDigests>();
  if (jarManifest !== undefined) schemes.set(1, new Map([['manifest', sha256(jarManifest)]]));
  if (v2.length > 0) schemes.set(2, digestsOf(v2, digests));
  if (v3.length > 0) schemes.set(3, digestsOf(v3, digests));
  return signSourceStamp(
    {
      signer: key.signer,
      certificate: key.certificate,
      ...(history && { lineage: encodeLineage(history) }),
    },
    schemes,
    time === undefined ? {} : { time },
  );
}

/** The further APKs of a payload, checked as the guest will check them, each with its idsig. */

import { FormatError, RecipeError, VerificationError } from '../../core/errors.ts';
import type { RecipePath } from '../../recipe/issues.ts';
import type { Recipe } from '../../recipe/parse.ts';
import type { ApkHasher } from '../../signing/apk/content-digests.ts';
import type { VerifiedApk } from '../../signing/apk/verify.ts';
import type { BuiltPayload } from '../payloads.ts';
import { certificateNames, copyApk } from '../payload-apks.ts';
import type { PayloadDisk } from './payload-disk.ts';

interface ExtraApkContext {
  readonly payload: BuiltPayload;
  /** Digests of the certificates that the guest accepts. */
  readonly certificates: readonly string[];
  readonly hasher?: ApkHasher | undefined;
}

/**
 * @returns the root hashes of their idsigs.
 * @throws {RecipeError} at the one that the guest would refuse.
 */
export async function addExtraApks(
  recipe: Recipe,
  disk: PayloadDisk,
  { payload, certificates, hasher }: ExtraApkContext,
): Promise<readonly Uint8Array[]> {
  const roots: Uint8Array[] = [];
  for (const [index, { apk, idsig }] of payload.data.extraApks.entries()) {
    const at: RecipePath = [...payload.at, 'extraApks', index, 'apk'];
    const files = { apk: payload.place(apk), idsig: idsig && payload.place(idsig) };
    const refuse = (message: string, hint?: string): RecipeError =>
      new RecipeError([recipe.diagnosticAt(at, `"${apk}": ${message}`, hint)]);
    try {
      const found = await disk.addApk((place) => copyApk(files, place, hasher));
      requireTrusted(found.apk, certificates, refuse);
      roots.push(found.rootHash);
    } catch (cause) {
      if (!(cause instanceof VerificationError || cause instanceof FormatError)) throw cause;
      throw refuse(cause.message);
    }
  }
  return roots;
}

function requireTrusted(
  apk: VerifiedApk,
  certificates: readonly string[],
  refuse: (message: string, hint: string) => RecipeError,
): void {
  const own = certificateNames(apk);
  if (own.some((each) => certificates.includes(each))) return;
  throw refuse(
    'The guest would refuse it: its certificate is not among those of trust.payload',
    `Add ${own[0]}, and your own, to trust.payload`,
  );
}

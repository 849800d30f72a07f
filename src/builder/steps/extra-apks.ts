/** The further APKs of a payload, checked as the guest will check them, each with its idsig. */

import { join } from 'node:path';
import { FormatError, RecipeError, VerificationError } from '../../core/errors.ts';
import type { Recipe } from '../../recipe/parse.ts';
import type { ApkHasher } from '../../signing/apk/content-digests.ts';
import type { VerifiedApk } from '../../signing/apk/verify.ts';
import { inputPath } from '../inputs.ts';
import { certificateNames, checkIdsig, makeIdsig, type ApkFiles } from '../payload-apks.ts';

export interface ExtraApk extends ApkFiles {
  readonly rootHash: Uint8Array;
}

interface ExtraApkContext {
  /** Where the build command left its outputs, if the recipe has one. */
  readonly buildFolder: string | undefined;
  /** For idsigs that are made; the caller removes it. */
  readonly scratch: string;
  /** Digests of the certificates that the guest accepts. */
  readonly certificates: readonly string[];
  readonly hasher?: ApkHasher | undefined;
}

/**
 * @throws {RecipeError} at the one that the guest would refuse.
 */
export async function prepareExtraApks(
  recipe: Recipe,
  context: ExtraApkContext,
): Promise<readonly ExtraApk[]> {
  const { extraApks, build } = recipe.data.payload;
  const made = new Set(build?.outputs);
  const place = (path: string): string =>
    context.buildFolder !== undefined && made.has(path)
      ? join(context.buildFolder, path)
      : inputPath(recipe, path);
  const prepared: ExtraApk[] = [];
  for (const [index, { apk, idsig }] of extraApks.entries()) {
    const at = ['payload', 'extraApks', index, 'apk'];
    const files = {
      apk: place(apk),
      idsig: idsig === undefined ? join(context.scratch, `extra-${index}.idsig`) : place(idsig),
    };
    const refuse = (message: string, hint?: string): RecipeError =>
      new RecipeError([recipe.diagnosticAt(at, `"${apk}": ${message}`, hint)]);
    try {
      const found = await (idsig === undefined ? makeIdsig : checkIdsig)(files, context.hasher);
      requireTrusted(found.apk, context.certificates, refuse);
      prepared.push({ ...files, rootHash: found.rootHash });
    } catch (cause) {
      if (!(cause instanceof VerificationError || cause instanceof FormatError)) throw cause;
      throw refuse(cause.message);
    }
  }
  return prepared;
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

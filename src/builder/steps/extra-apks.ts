/** The further APKs of a payload, checked as the guest will check them, each with its idsig. */

import { join } from 'node:path';
import { toHex } from '../../core/digest.ts';
import { FormatError, RecipeError, VerificationError } from '../../core/errors.ts';
import { openFileSource } from '../../io/byte-source.ts';
import { createFileSink } from '../../io/image-sink.ts';
import type { Recipe } from '../../recipe/parse.ts';
import type { ApkHasher } from '../../signing/apk/content-digests.ts';
import { verifyIdsig } from '../../signing/apk/verify-idsig.ts';
import type { VerifiedApk } from '../../signing/apk/verify.ts';
import { writeUnsignedIdsig } from '../../signing/apk/write-idsig.ts';
import { inputPath } from '../inputs.ts';

export interface ExtraApk {
  /** Paths. */
  readonly apk: string;
  readonly idsig: string;
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

type Files = Pick<ExtraApk, 'apk' | 'idsig'>;
interface Found {
  readonly rootHash: Uint8Array;
  readonly apk: VerifiedApk;
}

async function makeIdsig(files: Files, hasher: ApkHasher | undefined): Promise<Found> {
  const apk = await openFileSource(files.apk);
  const sink = await createFileSink(files.idsig);
  try {
    return await writeUnsignedIdsig(apk, sink, { hasher });
  } finally {
    // It goes into an image, which is flushed.
    await Promise.all([apk.close(), sink.close({ flush: false })]);
  }
}

async function checkIdsig(files: Files, hasher: ApkHasher | undefined): Promise<Found> {
  const [apk, idsig] = [await openFileSource(files.apk), await openFileSource(files.idsig)];
  try {
    return await verifyIdsig(apk, idsig, { hasher, allowUnsigned: true });
  } finally {
    await Promise.all([apk.close(), idsig.close()]);
  }
}

function requireTrusted(
  { certificateDigests: { sha256, sha512 } }: VerifiedApk,
  certificates: readonly string[],
  refuse: (message: string, hint: string) => RecipeError,
): void {
  const own = [`sha256:${toHex(sha256)}`, `sha512:${toHex(sha512)}`];
  if (own.some((each) => certificates.includes(each))) return;
  throw refuse(
    'The guest would refuse it: its certificate is not among those of trust.payload',
    `Add ${own[0]}, and your own, to trust.payload`,
  );
}

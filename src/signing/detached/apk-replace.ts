/** Puts a signature that was taken out of an APK onto another build of the same. */

import { createHash } from 'node:crypto';
import { VerificationError } from '../../core/errors.ts';
import { readLocalHeader } from '../../formats/zip/entry.ts';
import { streamOf, type ByteSource } from '../../io/byte-source.ts';
import type { ImageSink } from '../../io/image-sink.ts';
import { compareEntries } from './apk-compare.ts';
import { isOfSignature, readUniqueEntries, type ApkPieces } from './apk-pieces.ts';
import type { ContentDifference } from './difference.ts';

const otherContent = (
  name: string,
  differences: readonly ContentDifference[],
): VerificationError => {
  const shown = differences.slice(0, 5).map(({ path, what }) => `${path}: ${what}`);
  const more =
    differences.length > shown.length ? `, and ${differences.length - shown.length} more` : '';
  return new VerificationError(
    'detached-signature',
    'other-content',
    `Cannot put the signature onto ${name}: it is over other content (${shown.join('; ')}${more})`,
    { hint: 'See microbuild sign compare; only the build that was signed takes the signature' },
  );
};

/**
 * Writes the signed APK: the entries of `build`, everything else as it was signed. Earlier signatures of
 * `build` are left out.
 *
 * @throws {VerificationError} `other-content` naming the entries whose data is not what was signed.
 */
export async function putApkTogether(
  signature: ApkPieces,
  build: ByteSource,
  sink: ImageSink,
  signal?: AbortSignal,
): Promise<void> {
  const wanted = signature.pieces.flatMap((piece) => (piece.kind === 'entry' ? [piece.entry] : []));
  const entries = (await readUniqueEntries(build)).filter(
    ({ name }) => !name.endsWith('/') && !isOfSignature(name),
  );
  const differences = compareEntries(wanted, entries);
  if (differences.length > 0) throw otherContent(build.name, differences);
  const byName = new Map(entries.map((entry) => [entry.name, entry]));
  const whole = createHash('sha256');
  let at = 0;
  const write = async (chunk: Uint8Array): Promise<void> => {
    whole.update(chunk);
    await sink.write(at, chunk);
    at += chunk.length;
  };
  for (const piece of signature.pieces) {
    signal?.throwIfAborted();
    if (piece.kind !== 'entry') {
      await write(piece.bytes);
      continue;
    }
    const { name, compressedSize, sha256 } = piece.entry;
    const entry = byName.get(name);
    // compareEntries has found every one of them.
    if (entry === undefined)
      throw otherContent(build.name, [{ path: name, what: 'it is missing' }]);
    const { dataOffset } = await readLocalHeader(build, entry);
    const hash = createHash('sha256');
    for await (const chunk of streamOf(build, dataOffset, compressedSize)) {
      hash.update(chunk);
      await write(chunk);
    }
    if (hash.digest('hex') !== sha256) {
      throw otherContent(build.name, [{ path: name, what: 'its bytes differ' }]);
    }
  }
  await sink.truncate(at);
  if (whole.digest('hex') === signature.sha256) return;
  throw new VerificationError(
    'detached-signature',
    'damaged',
    'Cannot put the signature together: it is not what was taken out of the signed APK',
    { hint: 'Take it out again: microbuild sign extract' },
  );
}

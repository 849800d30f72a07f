/**
 * What a payload may look like beyond a valid signature: the strict ZIP profile, and a signing block
 * of known pairs only.
 */

import { sliceSource, type ByteSource } from '../../io/byte-source.ts';
import { readZip, type ZipDirectory } from '../zip/read.ts';
import { checkStrictZip, type StrictZipOptions } from '../zip/strict.ts';
import { apkError } from './length-prefixed.ts';
import {
  findApkSections,
  findBlockName,
  readSigningBlock,
  VERITY_PADDING_BLOCK_ID,
  type ApkSections,
  type PlacedPair,
} from './signing-block.ts';

/**
 * Checks the pairs of a signing block: known ids, each once, padding of zeros. A pair of any other
 * id is a place for bytes that no signature covers.
 *
 * @throws {FormatError} naming the pair.
 */
export function checkSigningBlockPairs(pairs: readonly PlacedPair[]): void {
  const seen = new Set<number>();
  for (const { id, value, offset } of pairs) {
    const where = { offset, field: `0x${id.toString(16).padStart(8, '0')}` };
    if (findBlockName(id) === undefined) {
      throw apkError(
        'unsupported',
        `APK Signing Block has a pair of unknown id ${where.field}`,
        where,
      );
    }
    if (seen.has(id)) {
      throw apkError('duplicate', `APK Signing Block has two pairs of id ${where.field}`, where);
    }
    seen.add(id);
    if (id === VERITY_PADDING_BLOCK_ID && value.some((byte) => byte !== 0)) {
      throw apkError('bad-value', 'APK Signing Block has padding that is not zero', where);
    }
  }
}

export interface StrictApk {
  readonly zip: ZipDirectory;
  readonly sections: ApkSections;
}

/**
 * Checks an APK, signed or not, against the profile. Fewer than 4096 zeros may follow it.
 *
 * @throws {FormatError} naming the first rule that is broken.
 */
export async function checkStrictApk(
  source: ByteSource,
  options: Pick<StrictZipOptions, 'contents' | 'maxTotalSize'> = {},
): Promise<StrictApk> {
  const sections = await findApkSections(source);
  if (sections.hasSigningBlock) checkSigningBlockPairs(await readSigningBlock(source, sections));
  // In a partition, zeros follow; `findApkSections` has seen that they are zeros.
  const apk = sliceSource(source, 0, sections.size);
  const zip = await readZip(apk);
  await checkStrictZip(apk, zip, {
    ...options,
    ...(sections.hasSigningBlock && { entriesEnd: sections.entriesEnd }),
  });
  return { zip, sections };
}

/** Finds the signing certificate lineage in a file: a lineage file, or an APK that is signed with one. */

import { FormatError, UsageError } from '../../core/errors.ts';
import {
  decodeLineage,
  decodeLineageFile,
  isLineageFile,
  MAX_LINEAGE_FILE_SIZE,
  PROOF_OF_ROTATION_ATTRIBUTE_ID,
} from '../../formats/apk/lineage.ts';
import { decodeSignedData, decodeSigners } from '../../formats/apk/signer-block.ts';
import {
  APK_SIGNATURE_SCHEME_V31_BLOCK_ID,
  APK_SIGNATURE_SCHEME_V3_BLOCK_ID,
  findApkSections,
  readSigningBlock,
} from '../../formats/apk/signing-block.ts';
import { openFileSource, type ByteSource } from '../../io/byte-source.ts';
import { mergeLineages, type Lineage } from './lineage-change.ts';
import { verifyLineage } from './lineage.ts';

const RANGED: ReadonlySet<number> = new Set([
  APK_SIGNATURE_SCHEME_V31_BLOCK_ID,
  APK_SIGNATURE_SCHEME_V3_BLOCK_ID,
]);

/** The lineages of all signers for ranges of releases: parts of one history. */
async function lineagesOfApk(source: ByteSource): Promise<readonly Lineage[]> {
  const sections = await findApkSections(source);
  if (!sections.hasSigningBlock) return [];
  const pairs = await readSigningBlock(source, sections);
  return pairs
    .filter(({ id }) => RANGED.has(id))
    .flatMap(({ value, offset }) => decodeSigners(value, 'v3', offset))
    .flatMap(({ signedData }) => decodeSignedData(signedData, 'v3').attributes)
    .filter(({ id }) => id === PROOF_OF_ROTATION_ATTRIBUTE_ID)
    .map(({ value }) => decodeLineage(value));
}

/** Archives start with an entry, or with their end where they have none. */
const isZip = (head: Uint8Array): boolean => head[0] === 0x50 && head[1] === 0x4b;

async function readSource(source: ByteSource): Promise<Lineage> {
  const head = await source.read(0, Math.min(4, source.size));
  if (isLineageFile(head)) {
    if (source.size > MAX_LINEAGE_FILE_SIZE) {
      throw new UsageError('input', `Cannot read lineage ${source.name}: it is too large for one`);
    }
    return decodeLineageFile(await source.read(0, source.size));
  }
  if (!isZip(head)) {
    throw new FormatError(
      'apk',
      'bad-magic',
      `Cannot read lineage: ${source.name} is neither a lineage file nor an APK`,
      { offset: 0 },
    );
  }
  const [first, ...others] = await lineagesOfApk(source);
  if (first === undefined || first.length === 0) {
    throw new UsageError('input', `Cannot read lineage: ${source.name} is signed without one`, {
      hint: 'Name a lineage file, or an APK whose key was rotated',
    });
  }
  return others.reduce(mergeLineages, first);
}

/**
 * Reads the lineage of a file, and verifies that each certificate is signed by the one before. Of an APK,
 * nothing else is verified.
 *
 * @throws {FormatError} when the file is neither a lineage nor an APK.
 * @throws {UsageError} `input` when the APK has no lineage, or has several that contradict each other.
 * @throws {VerificationError} `lineage` when a certificate is not signed by the one before.
 */
export async function readLineageOf(path: string): Promise<Lineage> {
  const source = await openFileSource(path);
  try {
    const lineage = await readSource(source);
    verifyLineage(lineage);
    return lineage;
  } finally {
    await source.close();
  }
}

/**
 * The rules of payloads on top of Android's: a signature says which bytes were signed, and these rules
 * that the bytes mean the same to every reader, and that none stand beside the signatures.
 */

import { FormatError } from '../../../core/errors.ts';
import { decodeSigners, type SignerLayout } from '../../../formats/apk/signer-block.ts';
import {
  APK_SIGNATURE_SCHEME_V2_BLOCK_ID,
  APK_SIGNATURE_SCHEME_V31_BLOCK_ID,
  APK_SIGNATURE_SCHEME_V3_BLOCK_ID,
  findApkSections,
  readSigningBlock,
} from '../../../formats/apk/signing-block.ts';
import { checkSigningBlockPairs, checkStrictApk } from '../../../formats/apk/strict.ts';
import type { ByteSource } from '../../../io/byte-source.ts';
import type { IssueLog } from './issue.ts';

const LAYOUTS: ReadonlyMap<number, SignerLayout> = new Map([
  [APK_SIGNATURE_SCHEME_V2_BLOCK_ID, 'v2'],
  [APK_SIGNATURE_SCHEME_V3_BLOCK_ID, 'v3'],
  [APK_SIGNATURE_SCHEME_V31_BLOCK_ID, 'v3'],
]);

/** Lengths inside the pairs must leave nothing over. What a stamp is worth is told by its own findings. */
function checkPairValue(id: number, value: Uint8Array, offset: number): void {
  const layout = LAYOUTS.get(id);
  if (layout !== undefined) decodeSigners(value, layout, offset);
}

async function checkBlock(source: ByteSource): Promise<void> {
  const sections = await findApkSections(source);
  if (!sections.hasSigningBlock) return;
  const pairs = await readSigningBlock(source, sections);
  checkSigningBlockPairs(pairs);
  for (const { id, value, offset } of pairs) checkPairValue(id, value, offset);
}

/** Checks the rules; the first broken one of the block and of the archive is an error. */
export async function checkStrictRules(source: ByteSource, log: IssueLog): Promise<void> {
  let blockProblem: string | undefined;
  try {
    await checkBlock(source);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    blockProblem = error.message;
    log.error('STRICT_SIGNING_BLOCK', { reason: error.message });
  }
  try {
    await checkStrictApk(source);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    // That the block is wrong was said.
    if (error.message !== blockProblem) log.error('STRICT_ZIP', { reason: error.message });
  }
}

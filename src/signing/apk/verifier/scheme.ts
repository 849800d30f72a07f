/** What v2, v3 and v3.1 have in common: a list of signers over digests of the content. */

import { toHex } from '../../../core/digest.ts';
import { FormatError } from '../../../core/errors.ts';
import {
  findSignatureAlgorithm,
  type ContentDigestAlgorithm,
} from '../../../formats/apk/algorithms.ts';
import { cursor } from '../../../formats/apk/length-prefixed.ts';
import type { ApkSections, PlacedPair } from '../../../formats/apk/signing-block.ts';
import { SIGNING_BLOCK_ALIGNMENT } from '../../../formats/apk/signing-block.ts';
import type { ContentDigests } from '../content-digests.ts';
import type { IssueLog, SchemeName } from './issue.ts';
import { draftSigner, verifySigner, type SchemeSigner, type SignerRules } from './signers.ts';

/** A scheme that was found, before the content is compared. */
export interface ParsedScheme {
  readonly scheme: SchemeName;
  /** Of this scheme and its signers. */
  readonly log: IssueLog;
  readonly signers: readonly SchemeSigner[];
}

/** As many as apksig takes of v2; each costs a signature check. */
export const MAX_SIGNERS = 10;

/**
 * Reads and verifies the signers of a pair. Those beyond the tenth are only counted.
 *
 * @param log Of the scheme.
 * @returns the signers, and how many there are.
 */
export function parseSigners(
  scheme: SchemeName,
  { value, offset }: PlacedPair,
  rules: SignerRules,
  log: IssueLog,
): { readonly signers: readonly SchemeSigner[]; readonly count: number } {
  const { prefix } = rules;
  const signers: SchemeSigner[] = [];
  let count = 0;
  let sequence;
  try {
    sequence = cursor(value, offset).nested('signers');
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    log.error(`${prefix}_SIG_MALFORMED_SIGNERS`, { reason: error.message });
    return { signers, count };
  }
  if (sequence.left === 0) log.error(`${prefix}_SIG_NO_SIGNERS`);
  for (; sequence.left > 0; count++) {
    const index = count;
    const signer = draftSigner(index, log.of({ scheme, index }));
    if (index < MAX_SIGNERS) signers.push(signer);
    try {
      const block = sequence.nested('signer');
      if (index < MAX_SIGNERS) verifySigner(block, signer, rules);
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      signer.log.error(`${prefix}_SIG_MALFORMED_SIGNER`, { reason: error.message });
      return { signers, count: count + 1 };
    }
  }
  return { signers, count };
}

/** The digests that the signatures that hold are about. */
export function digestsToVerify({ signers, log }: ParsedScheme): readonly ContentDigestAlgorithm[] {
  // Signers with errors are refused already, whatever the content is.
  if (log.has('error')) return [];
  const verified = signers.flatMap((signer) => signer.verified);
  return [...new Set(verified.map(({ contentDigest }) => contentDigest))];
}

/** Compares what the signers signed with the content of the APK. */
export function verifyContent(
  parsed: ParsedScheme,
  prefix: SignerRules['prefix'],
  sections: ApkSections,
  actual: ContentDigests,
): void {
  const wanted = new Set(digestsToVerify(parsed));
  if (wanted.has('verity-sha256')) {
    const { entriesEnd, centralDirectoryOffset } = sections;
    for (const offset of [entriesEnd, centralDirectoryOffset]) {
      if (offset % SIGNING_BLOCK_ALIGNMENT === 0) continue;
      const reason = `A verity digest needs a signing block between multiples of ${SIGNING_BLOCK_ALIGNMENT} bytes, and there is an end of it at ${offset}`;
      parsed.log.error('MALFORMED_APK', { reason });
    }
  }
  for (const { digests, log } of parsed.signers) {
    for (const { algorithm, digest } of digests) {
      const name = findSignatureAlgorithm(algorithm)?.contentDigest;
      const found = name === undefined || !wanted.has(name) ? undefined : actual.get(name);
      if (name === undefined || found === undefined || Buffer.from(digest).equals(found)) continue;
      log.error(`${prefix}_SIG_APK_DIGEST_DID_NOT_VERIFY`, {
        algorithm: name,
        expected: toHex(digest),
        actual: toHex(found),
      });
    }
  }
}

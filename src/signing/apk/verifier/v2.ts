/**
 * APK Signature Scheme v2: one or several signers for all releases since Android 7.
 *
 * @see https://source.android.com/docs/security/features/apksigning/v2#v2-verification
 */

import {
  STRIPPING_PROTECTION_ATTRIBUTE_ID,
  type SdkRange,
} from '../../../formats/apk/signer-block.ts';
import type { PlacedPair } from '../../../formats/apk/signing-block.ts';
import type { IssueLog } from './issue.ts';
import { MAX_SIGNERS, parseSigners, type ParsedScheme } from './scheme.ts';
import type { SignerRules } from './signers.ts';

/** The first release that knows the scheme. */
export const V2_SDK = 24;

export interface V2Context {
  readonly sdk: SdkRange;
  /** Schemes that releases in the range know, by the number with which signers point to them. */
  readonly knownSchemes: ReadonlyMap<number, string>;
  /** Those for which there is a signature. */
  readonly foundSchemes: ReadonlySet<number>;
}

/** Reads and verifies the signers; the content is compared later. */
export function parseV2(pair: PlacedPair, context: V2Context, log: IssueLog): ParsedScheme {
  const { knownSchemes, foundSchemes } = context;
  const rules: SignerRules = {
    prefix: 'V2',
    sdk: { min: Math.max(context.sdk.min, V2_SDK), max: context.sdk.max },
    attribute(signer, id, value) {
      if (id !== STRIPPING_PROTECTION_ATTRIBUTE_ID) {
        signer.log.warning('V2_SIG_UNKNOWN_ADDITIONAL_ATTRIBUTE', { id: `0x${id.toString(16)}` });
        return;
      }
      const scheme = value.u32('scheme') | 0;
      const name = knownSchemes.get(scheme);
      if (name === undefined) {
        signer.log.warning('V2_SIG_UNKNOWN_APK_SIG_SCHEME_ID', { scheme });
      } else if (!foundSchemes.has(scheme)) {
        signer.log.error('V2_SIG_MISSING_APK_SIG_REFERENCED', { scheme: name });
      }
    },
  };
  const { signers, count } = parseSigners('v2', pair, rules, log);
  if (count > MAX_SIGNERS) {
    log.error('V2_SIG_MAX_SIGNATURES_EXCEEDED', { maximum: MAX_SIGNERS, found: count });
  }
  return { scheme: 'v2', log, signers };
}

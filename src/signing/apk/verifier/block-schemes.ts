/**
 * The schemes of the signing block and of the idsig, as far as releases in a range know them: v3.1 and
 * v3 before v2, in one pass over the content.
 */

import type { LineageNode } from '../../../formats/apk/lineage.ts';
import type { SdkRange } from '../../../formats/apk/signer-block.ts';
import {
  APK_SIGNATURE_SCHEME_V2_BLOCK_ID,
  APK_SIGNATURE_SCHEME_V31_BLOCK_ID,
  APK_SIGNATURE_SCHEME_V3_BLOCK_ID,
} from '../../../formats/apk/signing-block.ts';
import type { ByteSource } from '../../../io/byte-source.ts';
import { digestContent, type ApkHasher } from '../content-digests.ts';
import type { ApkView } from './apk-view.ts';
import type { IssueLog } from './issue.ts';
import { digestsToVerify, verifyContent, type ParsedScheme } from './scheme.ts';
import { parseV2, V2_SDK } from './v2.ts';
import { checkV3Ranges, parseV3, V31_SDK, V3_SDK, type V3Context } from './v3.ts';
import { verifyV4, type V4Result } from './v4.ts';

export interface BlockSchemes {
  /** Undefined where there is none, or no release in the range would look at it. */
  readonly v2: ParsedScheme | undefined;
  readonly v3: ParsedScheme | undefined;
  readonly v31: ParsedScheme | undefined;
  readonly v4: V4Result | undefined;
  /** Of v3.1, or else of v3; empty when no key was rotated. */
  readonly lineage: readonly LineageNode[];
  /** Schemes by the numbers with which signatures point to each other. */
  readonly found: ReadonlySet<number>;
}

/** The schemes that older signatures may point to, and that releases up to `maxSdk` know. */
export function knownSchemes(maxSdk: number): ReadonlyMap<number, string> {
  const names = new Map<number, string>();
  if (maxSdk >= V2_SDK) names.set(2, 'APK Signature Scheme v2');
  if (maxSdk >= V3_SDK) names.set(3, 'APK Signature Scheme v3');
  return names;
}

interface ParsedBlock {
  readonly parsed: ParsedScheme;
  readonly context: V3Context;
}

function parseV31(apk: ApkView, sdk: SdkRange, log: IssueLog): ParsedBlock | undefined {
  const pair = sdk.max < V31_SDK ? undefined : apk.block?.pair(APK_SIGNATURE_SCHEME_V31_BLOCK_ID);
  if (pair === undefined) return undefined;
  const context = { scheme: 'v3.1', sdk, rotationMinSdk: undefined, complete: true } as const;
  return { parsed: parseV3(pair, context, log.step()), context };
}

function parseV30(
  apk: ApkView,
  sdk: SdkRange,
  rotated: ParsedScheme | undefined,
  log: IssueLog,
): ParsedBlock | undefined {
  if (sdk.max < V3_SDK) return undefined;
  const pair = apk.block?.pair(APK_SIGNATURE_SCHEME_V3_BLOCK_ID);
  if (pair === undefined) {
    if (rotated !== undefined) log.error('V31_BLOCK_FOUND_WITHOUT_V3_BLOCK');
    return undefined;
  }
  const starts = rotated?.signers.map((signer) => signer.sdk?.min ?? 0) ?? [];
  const rotationMinSdk = Math.max(0, Math.min(...starts));
  const context: V3Context = {
    scheme: 'v3',
    sdk,
    rotationMinSdk: starts.length > 0 && rotationMinSdk > 0 ? rotationMinSdk : undefined,
    complete: true,
  };
  return { parsed: parseV3(pair, context, log.step()), context };
}

export interface BlockOptions {
  readonly sdk: SdkRange;
  readonly idsig: ByteSource | undefined;
  /** Default: node:crypto on this thread. */
  readonly hasher: ApkHasher | undefined;
}

/** Verifies the schemes; what is wrong with them is in the log. */
export async function verifyBlockSchemes(
  apk: ApkView,
  { sdk, idsig, hasher }: BlockOptions,
  log: IssueLog,
): Promise<BlockSchemes> {
  const found = new Set<number>();
  const v31 = parseV31(apk, sdk, log);
  if (v31 !== undefined) found.add(31);
  const v3 = parseV30(apk, sdk, v31?.parsed, log);
  if (v3 !== undefined) found.add(3);
  // Releases since Android 9 look at v2 only where there is nothing newer.
  const wantsV2 = sdk.max >= V2_SDK && (sdk.min < V3_SDK || found.size === 0);
  const pair = wantsV2 ? apk.block?.pair(APK_SIGNATURE_SCHEME_V2_BLOCK_ID) : undefined;
  const v2Context = { sdk, knownSchemes: knownSchemes(sdk.max), foundSchemes: new Set(found) };
  const v2 = pair && parseV2(pair, v2Context, log.step());
  if (v2 !== undefined) found.add(2);
  const wantsV4 = idsig !== undefined && sdk.max >= V2_SDK;
  if (wantsV4) found.add(4);

  const parsed = [v31?.parsed, v3?.parsed, v2].filter((each) => each !== undefined);
  const digests = [...new Set(parsed.flatMap(digestsToVerify))];
  const pass =
    digests.length > 0 || wantsV4
      ? await digestContent(apk.source, apk.sections, { digests, tree: wantsV4, hasher })
      : undefined;
  let lineage: readonly LineageNode[] = [];
  for (const block of [v3, v31]) {
    if (block === undefined || block.parsed.log.has('error')) continue;
    if (pass) verifyContent(block.parsed, 'V3', apk.sections, pass.digests);
    const own = checkV3Ranges(block.parsed, block.context);
    if (block === v3 || own.length > 0) lineage = own;
  }
  if (v2 && pass && !v2.log.has('error')) verifyContent(v2, 'V2', apk.sections, pass.digests);
  const v4 = idsig && pass?.tree && (await verifyV4(idsig, apk.source.size, pass.tree, log.step()));
  return { v2, v3: v3?.parsed, v31: v31?.parsed, v4, lineage, found };
}

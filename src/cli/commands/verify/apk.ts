/** An APK, also with its idsig: every signature, who made it, and what is wrong. */

import { fromHex } from '../../../core/digest.ts';
import { UsageError } from '../../../core/errors.ts';
import { openFileSource, type ByteSource } from '../../../io/byte-source.ts';
import { loadApkHasher } from '../../../native/load-apk-hasher.ts';
import type { Issue } from '../../../signing/apk/verifier/issue.ts';
import { verifyApk } from '../../../signing/apk/verifier/verify-apk.ts';
import { verifySourceStamp } from '../../../signing/apk/verifier/verify-stamp.ts';
import { readTrustAnchor } from '../../../signing/keys/trust-anchor.ts';
import type { CommandArguments, CommandContext, CommandResult } from '../../command.ts';
import { EXIT } from '../../exit-code.ts';
import { renderTree } from '../../render/tree.ts';
import { printable } from '../../terminal.ts';
import {
  apkJson,
  apkTree,
  issueLines,
  schemesText,
  sdkRangeText,
  signerText,
  type ApkFindings,
} from './apk-report.ts';
import type { VerifyTarget } from './target.ts';

/** Fails like `--trust` does where the digest is none. */
function stampDigest(text: string | undefined): Uint8Array | undefined {
  if (text === undefined) return undefined;
  const hex = text.replace(/^sha256:/i, '').replaceAll(':', '');
  if (!/^[0-9a-f]{64}$/i.test(hex)) {
    throw new UsageError('usage', `Cannot use --stamp-cert-digest ${text}: it is no SHA-256`, {
      hint: 'It is the SHA-256 of a certificate, 64 hexadecimal digits',
    });
  }
  return fromHex(hex);
}

function sdkOptions(args: CommandArguments): { minSdk?: number; maxSdk?: number } {
  const minSdk = args.optionalNumber('min-sdk-version');
  const maxSdk = args.optionalNumber('max-sdk-version');
  for (const [name, value] of [
    ['min-sdk-version', minSdk],
    ['max-sdk-version', maxSdk],
  ] as const) {
    if (value === undefined || (Number.isInteger(value) && value >= 0 && value <= 0x7fffffff)) {
      continue;
    }
    throw new UsageError('usage', `--${name} is ${value}, not an SDK version`);
  }
  if (minSdk !== undefined && maxSdk !== undefined && minSdk > maxSdk) {
    throw new UsageError(
      'usage',
      `--min-sdk-version ${minSdk} is above --max-sdk-version ${maxSdk}`,
    );
  }
  return { ...(minSdk !== undefined && { minSdk }), ...(maxSdk !== undefined && { maxSdk }) };
}

/** The stamp's own findings; what is wrong with it counts, since it was asked for. */
const asErrors = (issues: readonly Issue[]): readonly Issue[] =>
  issues.map((issue) => (issue.severity === 'warning' ? { ...issue, severity: 'error' } : issue));

const keyOf = ({ name, signer, message }: Issue): string =>
  `${name} ${signer?.scheme} ${signer?.index} ${message}`;

async function findAll(
  source: ByteSource,
  idsigPath: string | undefined,
  args: CommandArguments,
): Promise<ApkFindings> {
  const sdk = sdkOptions(args);
  const named = args.optionalList('trust');
  const trusted = named && (await Promise.all(named.map(readTrustAnchor)));
  const certificateDigest = stampDigest(args.optionalText('stamp-cert-digest'));
  const wantsStamp = args.flag('verify-source-stamp') || certificateDigest !== undefined;
  const strict = args.flag('strict');
  const idsig = idsigPath === undefined ? undefined : await openFileSource(idsigPath);
  try {
    const hasher = await loadApkHasher(source.size);
    const verdict = await verifyApk(source, { ...sdk, idsig, strict, trusted, hasher });
    const stamp = wantsStamp
      ? await verifySourceStamp(source, { ...sdk, certificateDigest })
      : undefined;
    const own = args.flag('warnings-as-errors') ? asErrors(verdict.issues) : verdict.issues;
    const ofStamp = asErrors(stamp?.issues ?? []);
    const isKnown = new Set(ofStamp.map(keyOf));
    const issues = [...own.filter((issue) => !isKnown.has(keyOf(issue))), ...ofStamp];
    return {
      verdict,
      stamp,
      issues,
      verified: !issues.some(({ severity }) => severity === 'error'),
      strict,
      idsig: idsigPath,
      trusted: trusted?.length,
      printCerts: args.flag('print-certs'),
    };
  } finally {
    await idsig?.close();
  }
}

/** Verifies the APK at `path`, together with an idsig if there is one. */
export async function verifyApkFile(
  path: string,
  idsigPath: string | undefined,
  args: CommandArguments,
  { terminal, json }: CommandContext,
): Promise<CommandResult> {
  const source = await openFileSource(path);
  try {
    const findings = await findAll(source, idsigPath, args);
    const { issues, verified } = findings;
    const errors = issues.filter(({ severity }) => severity === 'error').length;
    const tree = renderTree(apkTree(findings), terminal);
    const end = verified
      ? `verified: ${schemesText(findings)}, for SDK versions ${sdkRangeText(findings)}; signed by ${signerText(findings)}`
      : `NOT VERIFIED: ${errors === 1 ? '1 error' : `${errors} errors`}, for SDK versions ${sdkRangeText(findings)}`;
    if (!verified && !json) terminal.err(`error: ${path} does not verify`);
    return {
      text: [printable(path), tree, ...issueLines(issues).map(printable), printable(end)]
        .filter((line) => line !== '')
        .join('\n'),
      json: apkJson(path, findings),
      exitCode: verified ? EXIT.ok : EXIT.verification,
    };
  } finally {
    await source.close();
  }
}

export const verifyApkTarget: VerifyTarget = (path, args, context) =>
  verifyApkFile(path, args.optionalText('idsig'), args, context);

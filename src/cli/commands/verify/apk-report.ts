/** What was found of an APK, as a tree and as JSON. */

import { findSignatureAlgorithm } from '../../../formats/apk/algorithms.ts';
import { hasCapability, lineageCapabilities } from '../../../formats/apk/lineage.ts';
import type { Issue, IssueSeverity, SchemeName } from '../../../signing/apk/verifier/issue.ts';
import type { SchemeSigner } from '../../../signing/apk/verifier/signers.ts';
import type { V4Signer } from '../../../signing/apk/verifier/v4.ts';
import type { ApkVerdict, JarSigner } from '../../../signing/apk/verifier/verify-apk.ts';
import type { StampVerdict } from '../../../signing/apk/verifier/verify-stamp.ts';
import type { LinkState, TreeLink } from '../../render/tree.ts';
import {
  certificateLines,
  reportCertificate,
  type CertificateReport,
} from './certificate-report.ts';

/** What was asked for, and what came out. */
export interface ApkFindings {
  readonly verdict: ApkVerdict;
  /** Of the stamp alone, where one was asked for. */
  readonly stamp: StampVerdict | undefined;
  /** All findings, after what the command line makes of warnings. */
  readonly issues: readonly Issue[];
  readonly verified: boolean;
  readonly strict: boolean;
  readonly idsig: string | undefined;
  /** How many signers `--trust` named, or undefined. */
  readonly trusted: number | undefined;
  readonly printCerts: boolean;
}

const ANY_SDK = 0x7fffffff;

const sdkText = ({ min, max }: { readonly min: number; readonly max: number }): string =>
  max === ANY_SDK ? `${min} and later` : `${min} to ${max}`;

interface SignerReport {
  readonly index: number;
  readonly name?: string;
  readonly minSdk?: number;
  readonly maxSdk?: number;
  /** Of the signatures that hold. */
  readonly algorithms: readonly string[];
  readonly certificates: readonly CertificateReport[];
}

const report = (signer: SchemeSigner, pem: boolean): SignerReport => ({
  index: signer.index,
  ...(signer.sdk && { minSdk: signer.sdk.min, maxSdk: signer.sdk.max }),
  algorithms: signer.verified.map(({ name }) => name),
  certificates: signer.certificates.map(({ bytes }) => reportCertificate(bytes, pem)),
});

const reportV4 = (signer: V4Signer, pem: boolean): SignerReport => ({
  index: signer.index,
  algorithms: signer.verified ? [signer.verified.name] : [],
  certificates: signer.certificate ? [reportCertificate(signer.certificate.bytes, pem)] : [],
});

const reportV1 = (signer: JarSigner, index: number, pem: boolean): SignerReport => ({
  index,
  name: signer.name,
  algorithms: [],
  certificates: signer.certificates.map((bytes) => reportCertificate(bytes, pem)),
});

const SCHEME_KEYS = ['v1', 'v2', 'v3', 'v31', 'v4'] as const;
type SchemeKey = (typeof SCHEME_KEYS)[number];

function signersOf(
  { signers }: ApkVerdict,
  pem: boolean,
): Readonly<Record<SchemeKey, readonly SignerReport[]>> {
  return {
    v1: signers.v1.map((signer, index) => reportV1(signer, index, pem)),
    v2: signers.v2.map((signer) => report(signer, pem)),
    v3: signers.v3.map((signer) => report(signer, pem)),
    v31: signers.v31.map((signer) => report(signer, pem)),
    v4: signers.v4.map((signer) => reportV4(signer, pem)),
  };
}

const capabilitiesOf = (bits: number): readonly string[] =>
  lineageCapabilities.filter((capability) => hasCapability(bits, capability));

const ofSeverity = (issues: readonly Issue[], severity: IssueSeverity) =>
  issues
    .filter((issue) => issue.severity === severity)
    .map(({ severity: _severity, ...issue }) => issue);

/** Whether the stamp holds, and is the one that was asked for. */
const stampHolds = ({ verdict, stamp }: ApkFindings): boolean =>
  stamp === undefined ? verdict.stamp?.verified === true : stamp.status === 'STAMP_VERIFIED';

function stampJson(findings: ApkFindings): Record<string, unknown> | null {
  const { verdict, stamp, printCerts: pem } = findings;
  const seen = stamp?.stamp ?? verdict.stamp;
  if (seen === undefined && stamp === undefined) return null;
  return {
    verified: stampHolds(findings),
    ...(stamp && { status: stamp.status }),
    certificate: seen?.certificate ? reportCertificate(seen.certificate.bytes, pem) : null,
    time: seen?.time ?? null,
    lineage: seen?.lineage.map((bytes) => reportCertificate(bytes, pem)) ?? [],
  };
}

/** The stable form. */
export function apkJson(path: string, findings: ApkFindings): Record<string, unknown> {
  const { verdict, issues } = findings;
  const pem = findings.printCerts;
  return {
    kind: 'apk',
    file: path,
    verified: findings.verified,
    sdk: verdict.sdk,
    strict: findings.strict,
    idsig: findings.idsig ?? null,
    schemes: verdict.schemes,
    examined: verdict.examined,
    passedOver: verdict.passedOver,
    signer: verdict.signerCertificates.map((bytes) => reportCertificate(bytes, pem)),
    signers: signersOf(verdict, pem),
    lineage: verdict.lineage.map((node) => ({
      certificate: reportCertificate(node.certificate, pem),
      capabilities: capabilitiesOf(node.capabilities),
    })),
    stamp: stampJson(findings),
    trusted: findings.trusted === undefined ? null : trustHolds(findings),
    errors: ofSeverity(issues, 'error'),
    warnings: ofSeverity(issues, 'warning'),
    infos: ofSeverity(issues, 'info'),
  };
}

const trustHolds = ({ issues, verified }: ApkFindings): boolean =>
  verified && !issues.some(({ name }) => name === 'SIGNER_NOT_TRUSTED');

const TITLES: Readonly<Record<SchemeKey, string>> = {
  v31: 'APK Signature Scheme v3.1',
  v3: 'APK Signature Scheme v3',
  v2: 'APK Signature Scheme v2',
  v1: 'JAR signature (v1)',
  v4: 'APK Signature Scheme v4 (idsig)',
};

const NAMES: Readonly<Record<SchemeKey, SchemeName>> = {
  v31: 'v3.1',
  v3: 'v3',
  v2: 'v2',
  v1: 'v1',
  v4: 'v4',
};

/** What the signatures of a signer are over. */
function algorithmLine(
  scheme: SchemeKey,
  names: readonly string[],
  signer: SchemeSigner | undefined,
) {
  if (names.length === 0) return [];
  const digests = signer?.digests.map(
    ({ algorithm }) => findSignatureAlgorithm(algorithm)?.contentDigest ?? 'unknown',
  );
  const over =
    scheme === 'v4'
      ? 'the root of the Merkle tree'
      : `${[...new Set(digests)].join(', ')} of the content`;
  return [`${names.join(', ')} over ${over}`];
}

function signerLink(
  scheme: SchemeKey,
  signer: SignerReport,
  state: LinkState,
  findings: ApkFindings,
): TreeLink {
  const [own, ...others] = signer.certificates;
  const label = signer.name ?? `signer ${signer.index + 1}`;
  const range =
    signer.minSdk === undefined || signer.maxSdk === undefined
      ? ''
      : ` for SDK versions ${sdkText({ min: signer.minSdk, max: signer.maxSdk })}`;
  const source =
    scheme === 'v1' || scheme === 'v4' ? undefined : findings.verdict.signers[scheme][signer.index];
  const lines =
    own === undefined
      ? []
      : findings.printCerts
        ? certificateLines(own)
        : [`certificate sha256 ${own.sha256}`];
  return {
    title: `${label}${range}: ${own === undefined ? 'no certificate' : `${own.subject} (${own.key})`}`,
    state,
    details: [
      ...algorithmLine(scheme, signer.algorithms, source),
      ...lines,
      ...others.map(({ subject, sha256 }) => `issued by ${subject}, sha256 ${sha256}`),
    ],
    children: [],
  };
}

function schemeLink(scheme: SchemeKey, findings: ApkFindings): TreeLink {
  const { verdict, issues } = findings;
  const holds = verdict.schemes[scheme];
  const signers = signersOf(verdict, false)[scheme];
  const children = signers.map((signer) => {
    const isBroken = issues.some(
      (issue) =>
        issue.severity === 'error' &&
        issue.signer?.scheme === NAMES[scheme] &&
        issue.signer.index === signer.index,
    );
    const state = isBroken ? 'broken' : holds ? 'ok' : 'skipped';
    return signerLink(scheme, signer, state, findings);
  });
  const { min, max } = verdict.sdk;
  const details =
    scheme === 'v1' ? [`looked at, since SDK versions ${sdkText({ min, max })} are asked for`] : [];
  return {
    title: TITLES[scheme],
    state: holds && !children.some(({ state }) => state === 'broken') ? 'ok' : 'broken',
    details: children.length > 0 ? [] : details,
    children,
  };
}

function lineageLink({ verdict }: ApkFindings): readonly TreeLink[] {
  if (verdict.lineage.length === 0) return [];
  return [
    {
      title: `lineage of ${verdict.lineage.length} keys, each signed by the one before`,
      state: 'ok',
      details: [],
      children: verdict.lineage.map((node, index) => {
        const { subject, key, sha256 } = reportCertificate(node.certificate);
        const granted = capabilitiesOf(node.capabilities).join(', ');
        return {
          title: `key ${index + 1}: ${subject} (${key})`,
          state: 'ok',
          details: [
            `certificate sha256 ${sha256}`,
            `may still: ${granted === '' ? 'nothing' : granted}`,
          ],
          children: [],
        };
      }),
    },
  ];
}

/** Whoever stamps may write any number. */
const timeText = (seconds: bigint): string => {
  const date = new Date(Number(seconds) * 1000);
  return Number.isNaN(date.getTime()) ? `${seconds} seconds after 1970` : date.toISOString();
};

function stampLink(findings: ApkFindings): readonly TreeLink[] {
  const { verdict, stamp } = findings;
  const seen = stamp?.stamp ?? verdict.stamp;
  if (seen === undefined && stamp === undefined) return [];
  const certificate = seen?.certificate && reportCertificate(seen.certificate.bytes);
  const time = seen?.time;
  return [
    {
      title: `source stamp${certificate === undefined ? '' : `: ${certificate.subject} (${certificate.key})`}`,
      state: stampHolds(findings) ? 'ok' : stamp === undefined ? 'warning' : 'broken',
      details: [
        ...(certificate === undefined ? [] : [`certificate sha256 ${certificate.sha256}`]),
        ...(time === undefined ? [] : [`stamped ${timeText(time)}`]),
        ...(seen === undefined || seen.lineage.length === 0
          ? []
          : [`lineage of ${seen.lineage.length} keys, each signed by the one before`]),
      ],
      children: [],
    },
  ];
}

/** Signatures that nobody would look at must not be taken for verified. */
function passedOverLinks({ verdict }: ApkFindings): readonly TreeLink[] {
  return verdict.passedOver.map((name) => ({
    title: `${name} is there, and no release of SDK versions ${sdkText(verdict.sdk)} looks at it`,
    state: 'skipped',
    details: [],
    children: [],
  }));
}

const rule = (title: string, isBroken: boolean): TreeLink => ({
  title,
  state: isBroken ? 'broken' : 'ok',
  details: [],
  children: [],
});

/** Newest scheme first, as Android looks at them. */
export function apkTree(findings: ApkFindings): readonly TreeLink[] {
  const { verdict, issues, strict, trusted } = findings;
  const has = (prefix: string): boolean => issues.some(({ name }) => name.startsWith(prefix));
  const order = ['v31', 'v3', 'v2', 'v1', 'v4'] as const;
  return [
    ...order
      .filter((scheme) => verdict.examined[scheme])
      .map((scheme) => schemeLink(scheme, findings)),
    ...passedOverLinks(findings),
    ...lineageLink(findings),
    ...stampLink(findings),
    ...(strict
      ? [rule('strict profile: one meaning for all readers, known signatures only', has('STRICT_'))]
      : []),
    ...(trusted === undefined
      ? []
      : [
          rule(
            'signer is trusted',
            !trustHolds(findings) && (has('SIGNER_NOT') || !verdict.verified),
          ),
        ]),
  ];
}

const place = ({ signer }: Issue): string => {
  if (signer === undefined) return '';
  const who = signer.name ?? `signer ${signer.index + 1}`;
  return ` (${signer.scheme === 'stamp' ? 'source stamp' : `${signer.scheme} ${who}`})`;
};

/** One line each: the name is stable, the text is for people. */
export const issueLines = (issues: readonly Issue[]): readonly string[] =>
  issues.map((issue) => `${issue.severity} ${issue.name}${place(issue)}: ${issue.message}`);

/** The schemes that hold, newest first. */
export function schemesText({ verdict }: ApkFindings): string {
  const order = ['v31', 'v3', 'v2', 'v1', 'v4'] as const;
  return order
    .filter((scheme) => verdict.schemes[scheme])
    .map((scheme) => NAMES[scheme])
    .join(', ');
}

export const sdkRangeText = ({ verdict }: ApkFindings): string => sdkText(verdict.sdk);

/** Whose APK it is. */
export const signerText = ({ verdict }: ApkFindings): string =>
  verdict.signerCertificates
    .map((bytes) => reportCertificate(bytes))
    .map(({ subject, sha256 }) => `${subject}, certificate sha256 ${sha256}`)
    .join('; and ');

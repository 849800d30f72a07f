/** What people and programs are told of an APK that was signed. */

import { toHex } from '../../../core/digest.ts';
import type { PlannedApk, SignedApk } from '../../../signing/apk/sign.ts';
import type { RangedSigner, SignaturePlan } from '../../../signing/apk/sign-plan.ts';
import { certificateDigest } from '../../../signing/x509.ts';
import type { CommandResult } from '../../command.ts';

/** The releases of a signer: `SDK 24 to 32`. */
const releases = ({ sdk, targetsDevRelease }: RangedSigner): string =>
  `SDK ${sdk.min}${sdk.max === 0x7fffffff ? ' and later' : ` to ${sdk.max}`}${targetsDevRelease ? ' (in development)' : ''}`;

interface Signature {
  readonly scheme: string;
  /** Its SHA-256. */
  readonly certificate: string;
  readonly releases?: string;
  readonly minSdk?: number;
  readonly maxSdk?: number;
  readonly algorithms?: readonly string[];
  /** How many certificates the signer's lineage has. */
  readonly lineage?: number;
}

const digest = (certificate: Uint8Array): string =>
  `sha256:${toHex(certificateDigest(certificate, 'sha256'))}`;

/** What each certificate has signed. */
function signaturesOf(plan: SignaturePlan): readonly Signature[] {
  const ranged = (scheme: string, signer: RangedSigner): Signature => ({
    scheme,
    certificate: digest(signer.key.certificate),
    releases: releases(signer),
    minSdk: signer.sdk.min,
    maxSdk: signer.sdk.max,
    algorithms: signer.algorithms.map(({ name }) => name),
    lineage: signer.lineage?.length ?? 0,
  });
  return [
    ...plan.v1.map((key) => ({ scheme: 'v1', certificate: digest(key.certificate) })),
    ...plan.v2.map(({ key, algorithms }) => ({
      scheme: 'v2',
      certificate: digest(key.certificate),
      algorithms: algorithms.map(({ name }) => name),
    })),
    ...plan.v3.map((signer) => ranged('v3', signer)),
    ...plan.v31.map((signer) => ranged('v3.1', signer)),
  ];
}

export interface Outcome {
  readonly apk: PlannedApk;
  readonly signed: SignedApk;
  readonly output: string;
  readonly idsig: string | undefined;
  readonly inPlace: boolean;
}

/** What is said of a signed APK. */
export function reportSigned({ apk, signed, output, idsig, inPlace }: Outcome): CommandResult {
  const signatures = signaturesOf(apk.plan);
  const lines = signatures.map(
    ({ scheme, certificate, releases: range }) =>
      `  ${scheme.padEnd(5)} by ${certificate}${range === undefined ? '' : `, ${range}`}`,
  );
  const stamp = apk.stampCertificate && digest(apk.stampCertificate);
  if (stamp !== undefined) lines.push(`  stamp by ${stamp}`);
  if (idsig !== undefined && signed.idsig) {
    lines.push(`  v4    ${idsig}, root hash ${toHex(signed.idsig.rootHash)}`);
  }
  if (apk.droppedComments > 0) {
    lines.push(
      `  ${apk.droppedComments} entries lost their comments; --keep-entry-comments keeps them`,
    );
  }
  return {
    text: [`${output}: signed${inPlace ? ' in place' : ''}, ${signed.size} bytes`, ...lines].join(
      '\n',
    ),
    json: {
      apk: output,
      size: signed.size,
      minSdk: apk.minSdk,
      signatures,
      stamp: stamp ?? null,
      digests: Object.fromEntries([...signed.digests].map(([name, bytes]) => [name, toHex(bytes)])),
      idsig:
        idsig === undefined || signed.idsig === undefined
          ? null
          : { path: idsig, size: signed.idsig.size, rootHash: toHex(signed.idsig.rootHash) },
      droppedComments: apk.droppedComments,
    },
  };
}

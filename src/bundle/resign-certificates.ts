/** Who signs the payload of a bundle that is signed anew, and whom its guest accepts then. */

import { toHex } from '../core/digest.ts';
import { UsageError } from '../core/errors.ts';
import { certificateDigest, createSelfSignedCertificate } from '../signing/x509.ts';
import type { ResignBundleOptions } from './resign-options.ts';
import type { PayloadDisk, PayloadFacts } from './resign-payload.ts';

/** Whom certificates of development keys are made for. */
export const DEVELOPMENT_NAME = 'microbuild development key, do not ship';

const digestsOf = (certificate: Uint8Array): readonly [sha256: string, sha512: string] => [
  `sha256:${toHex(certificateDigest(certificate, 'sha256'))}`,
  `sha512:${toHex(certificateDigest(certificate, 'sha512'))}`,
];

/** The accepted certificates with the old signers' replaced by the new one's, in the same place and form. */
export function acceptedCertificates(
  present: readonly string[],
  old: readonly Uint8Array[],
  signer: Uint8Array,
): readonly string[] {
  const after = digestsOf(signer);
  const before = old.map(digestsOf);
  const renewed = present.map((each) => {
    const form = before.find((digests) => digests.includes(each))?.indexOf(each);
    return form === undefined ? each : (after[form] ?? each);
  });
  return [...new Set(renewed)];
}

export interface NewPayload {
  readonly facts: PayloadFacts;
  readonly certificates: readonly Uint8Array[];
  /** The one that signs. */
  readonly certificate: Uint8Array;
}

/** The signer of the payload as it will be; one without certificate signs its own, as the builder makes it. */
export async function newPayload(
  facts: PayloadFacts,
  payload: ResignBundleOptions['payload'],
): Promise<NewPayload> {
  if (payload === undefined) {
    return { facts, certificates: [facts.certificate], certificate: facts.certificate };
  }
  const certificates =
    payload.certificates.length > 0
      ? payload.certificates
      : [
          await createSelfSignedCertificate(payload.signer, {
            subject: [
              {
                name: 'CN',
                value: payload.development === true ? DEVELOPMENT_NAME : facts.package,
              },
            ],
          }),
        ];
  const [certificate = facts.certificate] = certificates;
  return { facts, certificates, certificate };
}

/**
 * @param signer The certificate of whoever signs the payloads anew; undefined where they stay, as extra APKs always do.
 * @param kept Whether the images stay, and with them what they accept.
 * @throws {UsageError} when the guest would refuse an APK of a payload.
 */
export function checkAccepted(
  accepted: readonly string[],
  disks: readonly PayloadDisk[],
  signer: Uint8Array | undefined,
  kept: boolean,
): void {
  const apks = disks.flatMap(({ name, facts, extra }) => {
    const of = name === undefined ? '' : ` of payload ${name}`;
    const own = name === undefined ? 'the payload' : `payload ${name}`;
    return [
      { label: own, certificate: signer ?? facts.certificate },
      ...extra.map(({ label, certificate }) => ({ label: `${label}${of}`, certificate })),
    ];
  });
  for (const each of apks) {
    const own = digestsOf(each.certificate);
    if (own.some((digest) => accepted.includes(digest))) continue;
    throw new UsageError(
      'usage',
      `Cannot sign bundle: its guest would refuse ${each.label}, whose certificate is ${own[0]}`,
      {
        hint: kept
          ? 'The images name the certificates that are accepted: sign them, too, with --image-key'
          : 'Name that certificate with --trust-payload, too',
      },
    );
  }
}

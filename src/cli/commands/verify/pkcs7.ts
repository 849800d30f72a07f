/** A PKCS #7 signature over a dm-verity root hash or a file’s fs-verity digest, as the kernel verifies them. */

import { basename } from 'node:path';
import { toHex } from '../../../core/digest.ts';
import { FormatError, UsageError, VerificationError } from '../../../core/errors.ts';
import { decodeSignedData } from '../../../signing/cms/signed-data.ts';
import { openFileSource } from '../../../io/byte-source.ts';
import { verifyFsVerity } from '../../../signing/fs-verity.ts';
import type { TrustAnchor } from '../../../signing/keys/trust-anchor.ts';
import { trustsCertificate } from '../../../signing/keys/trust-anchor.ts';
import { verifyRootHash } from '../../../signing/root-hash.ts';
import { fsVerityDigest } from '../../../verity/fs-verity.ts';
import type { CommandArguments } from '../../command.ts';
import { openEngine } from '../../engine.ts';
import { EXIT } from '../../exit-code.ts';
import { errorToJson, renderError } from '../../render/error.ts';
import { renderTree, type TreeLink } from '../../render/tree.ts';
import { trustAnchors } from '../../trust-anchors.ts';
import { FS_VERITY_SIGNATURE_SUFFIX as SUFFIX, parametersOf } from '../fsverity-files.ts';
import { readRootHash, rootHashOfDigits } from '../sign/root-hash-source.ts';
import { readSignature } from '../trusted-certificates.ts';
import { reportCertificate } from './certificate-report.ts';
import type { VerifyTarget } from './target.ts';

/** What the signature is to be over, and how that is verified. */
interface Signed {
  readonly kind: 'root-hash' | 'fs-verity';
  readonly title: string;
  /** Of what was measured. */
  readonly algorithm: string;
  readonly digest: Uint8Array;
  verify(signature: Uint8Array, trusted: readonly Uint8Array[]): Uint8Array;
}

async function findSigned(
  path: string,
  args: CommandArguments,
  signal: AbortSignal,
): Promise<Signed> {
  const given = args.optionalText('root-hash');
  const file = args.optionalText('file');
  if (given !== undefined && file !== undefined) {
    throw new UsageError('usage', 'A signature is over one thing: give --root-hash or --file');
  }
  if (given !== undefined) {
    const digest =
      rootHashOfDigits(given) ??
      (await readRootHash(given, { hashOffset: undefined, partition: undefined }));
    const verify: Signed['verify'] = (signature, trusted) =>
      verifyRootHash(digest, signature, trusted);
    return { kind: 'root-hash', title: 'root hash', algorithm: 'dm-verity', digest, verify };
  }
  const measured = file ?? (path.endsWith(SUFFIX) ? path.slice(0, -SUFFIX.length) : undefined);
  if (measured === undefined) {
    throw new UsageError('usage', `Cannot verify ${path}: it does not hold what it signs`, {
      hint: 'Say what it is over: --root-hash HEX (or a file that holds it), or --file FILE for fs-verity',
    });
  }
  const parameters = parametersOf(args);
  const { algorithm } = parameters;
  const source = await openFileSource(measured);
  const engine = await openEngine(undefined);
  try {
    const { digest } = await fsVerityDigest(source, {
      ...parameters,
      hasher: engine.hasher,
      signal,
    });
    const verify: Signed['verify'] = (signature, trusted) =>
      verifyFsVerity({ algorithm, digest }, signature, trusted);
    return {
      kind: 'fs-verity',
      title: measured,
      algorithm: `fs-verity ${algorithm}`,
      digest,
      verify,
    };
  } finally {
    await engine.close();
    await source.close();
  }
}

/**
 * Certificates that may have signed: those that are trusted, and those in the signature that a digest or key
 * trusts. What is in a signature is nobody’s word.
 */
function candidates(
  anchors: readonly TrustAnchor[],
  embedded: readonly Uint8Array[],
): readonly Uint8Array[] {
  const known = anchors.flatMap(({ certificates }) => certificates);
  const trusted = embedded.filter((der) => anchors.some((each) => trustsCertificate(each, der)));
  return [...known, ...trusted];
}

/** Who says to have signed. */
function claimOf(signature: Uint8Array): string {
  const numbers = decodeSignedData(signature).signers.map(({ issuerAndSerialNumber }) =>
    issuerAndSerialNumber === undefined
      ? 'a certificate named by its key'
      : `the certificate with serial number ${issuerAndSerialNumber.serialNumber.toString(16)}`,
  );
  return numbers.join(' and ') || 'nobody';
}

function verifySigned(
  path: string,
  signed: Signed,
  signature: Uint8Array,
  anchors: readonly TrustAnchor[],
): Uint8Array {
  try {
    const trusted = candidates(anchors, decodeSignedData(signature).certificates);
    if (trusted.length > 0) return signed.verify(signature, trusted);
    throw new VerificationError(
      signed.kind,
      'untrusted-signer',
      `Cannot trust ${path}: it is signed by ${claimOf(signature)}, which nothing here trusts`,
      { hint: 'Name the certificate of the signer: --trust CERTIFICATE' },
    );
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    throw new VerificationError(signed.kind, cause.code, cause.message, { cause });
  }
}

export const verifyPkcs7Target: VerifyTarget = async (path, args, { env, terminal, signal }) => {
  const named = args.list('trust');
  // The development key has no certificate, and is no name that a signature could hold.
  const anchors = named.length === 0 ? [] : await trustAnchors(named, path, env);
  const signature = await readSignature(path);
  const signed = await findSigned(path, args, signal);
  const digest = toHex(signed.digest);
  const measured = { kind: signed.kind, algorithm: signed.algorithm, digest };
  const title = (signer: string): string => `${signer} → ${basename(path)} → ${signed.title}`;
  try {
    const certificate = reportCertificate(verifySigned(path, signed, signature, anchors));
    const link: TreeLink = {
      title: title(certificate.subject),
      state: 'ok',
      details: [
        `${signed.algorithm} ${digest}`,
        `${certificate.key} key, certificate sha256:${certificate.sha256}`,
      ],
      children: [],
    };
    return {
      text: `${renderTree([link], terminal)}\nverified`,
      json: { verified: true, ...measured, certificate },
    };
  } catch (error) {
    if (!(error instanceof VerificationError)) throw error;
    terminal.err(renderError(error, terminal, false));
    const link: TreeLink = {
      title: title('trusted certificates'),
      state: 'broken',
      details: [`${signed.algorithm} ${digest}`, error.message],
      children: [],
    };
    return {
      text: `${renderTree([link], terminal)}\nNOT VERIFIED`,
      json: { verified: false, ...measured, error: errorToJson(error, EXIT.verification) },
      exitCode: EXIT.verification,
    };
  }
};

/** Verdicts of AOSP's own tests, and of its verifier, on the files that its signer is tested with. */

import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { sha256, toHex } from '../../src/core/digest.ts';
import { bytesSource, type ByteSource } from '../../src/io/byte-source.ts';
import type { Issue } from '../../src/signing/apk/verifier/issue.ts';
import { verifySourceStamp } from '../../src/signing/apk/verifier/verify-stamp.ts';
import { decodeCertificatePem } from '../../src/signing/x509.ts';
import { verifyApk, type ApkVerdict } from '../../src/signing/apk/verifier/verify-apk.ts';
import { corpus, corpusPath } from '../support/corpus.ts';

interface Check {
  readonly min_sdk: number | null;
  readonly max_sdk: number | null;
  readonly expect: 'verify' | 'reject';
  readonly issue: string | null;
  readonly warn_only: boolean;
}

interface Oracle {
  readonly apksig14: string;
  readonly apksig14_errors: readonly string[];
  readonly apksig14_warnings: readonly string[];
  readonly schemes: readonly string[];
  readonly cert_sha256: readonly string[];
}

interface StampCheck {
  readonly min_sdk: number | null;
  readonly max_sdk: number | null;
  /** `stamp_verified`, `stamp_fail` or `stamp_status:STATUS`. */
  readonly expect: string;
  readonly issue: string | null;
  /** Whether the whole APK was verified, or its stamp alone. */
  readonly api: 'verify' | 'stamp';
  readonly test: string;
  /** The name of a certificate's digest. */
  readonly expected_stamp_digest?: string;
}

interface ManifestFile {
  readonly checks: readonly Check[];
  readonly stamp: readonly StampCheck[];
  readonly oracle_default: Oracle;
}

const apkPath = (name: string): string => corpusPath('sig-apksig', 'apk', name);
const open = (name: string): ByteSource => bytesSource(readFileSync(apkPath(name)), name);

const files = Object.entries(
  corpus
    ? (
        JSON.parse(readFileSync(corpusPath('sig-apksig', 'manifest.json'), 'utf8')) as {
          readonly files: Readonly<Record<string, ManifestFile>>;
        }
      ).files
    : {},
).filter(([name]) => existsSync(apkPath(name)));

const namesOf = ({ issues }: ApkVerdict, severity: string): string[] =>
  issues.filter((issue) => issue.severity === severity).map(({ name }) => name);

/** What apksig throws instead of reporting. */
const EXCEPTIONS: Readonly<Record<string, string>> = { ApkFormatException: 'MALFORMED_APK' };

const checks = files.flatMap(([name, { checks: all }]) =>
  all.map((check) => {
    const range = `${check.min_sdk ?? 'its own'} to ${check.max_sdk ?? 'any'}`;
    return [`${name} for ${range}`, name, check] as const;
  }),
);

describe.skipIf(corpus === undefined)("verifyApk gives apksig's verdict", () => {
  test.for(checks)('%s', async ([, name, check]) => {
    const verdict = await verifyApk(open(name), {
      minSdk: check.min_sdk ?? undefined,
      maxSdk: check.max_sdk ?? undefined,
    });
    const found = namesOf(verdict, check.warn_only ? 'warning' : 'error');
    expect({ found, verified: verdict.verified }).toMatchObject({
      verified: check.expect === 'verify',
    });
    if (check.issue !== null) expect(found).toContain(EXCEPTIONS[check.issue] ?? check.issue);
  });
});

/** The signature names a hash that it is not over: Java throws or does not, by its version. */
const either = (name: string): unknown =>
  /^V[23]_SIG_DID_NOT_VERIFY$/.test(name)
    ? expect.stringMatching(/_DID_NOT_VERIFY|_VERIFY_EX/)
    : name;

describe.skipIf(corpus === undefined)('verifyApk finds all that apksig finds', () => {
  const judged = files.filter(
    ([
      ,
      {
        oracle_default: { apksig14 },
      },
    ]) => !apksig14.startsWith('exception'),
  );
  test.for(judged)('%s', async ([name, { oracle_default: oracle }]) => {
    const verdict = await verifyApk(open(name));
    const errors = oracle.apksig14_errors.map(either);
    expect(namesOf(verdict, 'error')).toEqual(expect.arrayContaining(errors));
    expect(namesOf(verdict, 'warning')).toEqual(
      expect.arrayContaining([...oracle.apksig14_warnings]),
    );
    if (oracle.apksig14 !== 'verify') return;
    const { v1, v2, v3, v31 } = verdict.schemes;
    const schemes = Object.entries({ v1, v2, v3, v31 }).flatMap(([key, holds]) =>
      holds ? [key] : [],
    );
    expect(schemes).toEqual(oracle.schemes);
    expect(verdict.signerCertificates.map((der) => toHex(sha256(der)))).toEqual(oracle.cert_sha256);
  });
});

/** `RSA_2048_CERT_SHA256_DIGEST` is of `rsa-2048.x509.pem`. */
function namedDigest(name: string): Uint8Array {
  const file = name
    .replace(/_CERT_SHA256_DIGEST$/, '')
    .toLowerCase()
    .replace('_', '-');
  const pem = readFileSync(corpusPath('sig-apksig', 'keys', `${file}.x509.pem`), 'utf8');
  return sha256(decodeCertificatePem(pem)[0] ?? new Uint8Array(0));
}

/** What was found, in the words of the manifest. */
async function stampOf(
  name: string,
  check: StampCheck,
): Promise<readonly [string, readonly Issue[]]> {
  const options = { minSdk: check.min_sdk ?? undefined, maxSdk: check.max_sdk ?? undefined };
  if (check.api === 'stamp') {
    const wanted = check.expected_stamp_digest;
    const verdict = await verifySourceStamp(open(name), {
      ...options,
      ...(wanted !== undefined && { certificateDigest: namedDigest(wanted) }),
    });
    return [verdict.status, verdict.issues];
  }
  const { stamp, issues } = await verifyApk(open(name), options);
  return [stamp?.verified === true ? 'STAMP_VERIFIED' : 'STAMP_VERIFICATION_FAILED', issues];
}

const stampChecks = files.flatMap(([name, { stamp }]) =>
  stamp.map((check) => [`${name}: ${check.test} expects ${check.expect}`, name, check] as const),
);

describe.skipIf(corpus === undefined)("source stamps get apksig's verdict", () => {
  test.for(stampChecks)('%s', async ([, name, check]) => {
    const [status, issues] = await stampOf(name, check);
    if (check.expect === 'stamp_verified') expect(status).toBe('STAMP_VERIFIED');
    else if (check.expect === 'stamp_fail') expect(status).not.toBe('STAMP_VERIFIED');
    else expect(`stamp_status:${status}`).toBe(check.expect);
    if (check.issue !== null) expect(issues.map((issue) => issue.name)).toContain(check.issue);
  });
});

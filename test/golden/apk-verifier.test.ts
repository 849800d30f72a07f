/** Verdicts of AOSP's own tests, and of its verifier, on the files that its signer is tested with. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { sha256, toHex } from '../../src/core/digest.ts';
import { bytesSource, type ByteSource } from '../../src/io/byte-source.ts';
import type { Issue } from '../../src/signing/apk/verifier/issue.ts';
import { verifyPayload } from '../../src/signing/apk/verify.ts';
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

/** Whether a signature of another hash cannot be verified or does not verify, is up to Java's version. */
const either = (name: string): unknown =>
  /^(?:V[23]|JAR)_SIG_(?:DID_NOT_VERIFY|VERIFY_EXCEPTION)$/.test(name)
    ? expect.stringMatching(/_SIG_(?:DID_NOT_VERIFY|VERIFY_EXCEPTION)$/)
    : name;

/** The library that judged RSA-PSS for apksig refuses 16384 bits, which Android takes. */
const wasUnable = ({ checks: all, oracle_default: { apksig14 } }: ManifestFile): boolean =>
  apksig14.startsWith('exception') ||
  all.some((check) => {
    const isDefault = check.min_sdk === null && check.max_sdk === null;
    return isDefault && check.expect === 'verify' && apksig14 !== 'verify';
  });

describe.skipIf(corpus === undefined)('verifyApk finds all that apksig finds', () => {
  const judged = files.filter(([, file]) => !wasUnable(file));
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

describe.skipIf(corpus === undefined)('the verifier of payloads', () => {
  test('takes nothing that strict verification refuses, and names the same signer', async () => {
    const other: string[] = [];
    let taken = 0;
    for (const [name] of files) {
      const payload = await verifyPayload(open(name)).catch(() => undefined);
      if (payload === undefined) continue;
      taken += 1;
      const verdict = await verifyApk(open(name), { minSdk: 35, maxSdk: 35, strict: true });
      // In VMs, rotation is not followed.
      if (verdict.examined.v31) continue;
      const [signer = new Uint8Array(0)] = verdict.signerCertificates;
      const [own = new Uint8Array(0)] = payload.signerCertificates;
      if (!verdict.verified || toHex(signer) !== toHex(own)) other.push(name);
    }
    expect(other).toEqual([]);
    expect(taken).toBeGreaterThan(10);
  });
});

/** Golden idsigs whose APK is here. */
const idsigs = corpus
  ? readdirSync(corpusPath('sig-apksig', 'idsig')).filter((name) =>
      existsSync(apkPath(name.replace(/\.idsig$/, ''))),
    )
  : [];

describe.skipIf(corpus === undefined)("verifyApk takes apksigner's idsigs", () => {
  test.for(idsigs)('%s', async (name) => {
    const idsig = bytesSource(readFileSync(corpusPath('sig-apksig', 'idsig', name)), name);
    const apk = open(name.replace(/\.idsig$/, ''));
    const { schemes, issues } = await verifyApk(apk, { minSdk: 28, idsig });
    expect(issues.filter(({ severity }) => severity === 'error')).toEqual([]);
    expect(schemes.v4).toBe(true);
  });

  test('and refuses each with the APK of another', async () => {
    const [first = '', ...others] = idsigs;
    const apk = open(first.replace(/\.idsig$/, ''));
    for (const other of others) {
      const idsig = bytesSource(readFileSync(corpusPath('sig-apksig', 'idsig', other)), other);
      const { verified } = await verifyApk(apk, { minSdk: 28, idsig });
      expect({ other, verified }).toEqual({ other, verified: false });
    }
  });
});

/**
 * What releases accept and `strict` refuses: oddities that readers take differently, or bytes that no
 * signature covers. This is the whole list of reasons.
 */
const ODDITIES =
  /has an archive comment|stands? before the central directory|is stored and has|disagree on|has a comment|does not start where the one before ends|bytes that belong to no entry|pair of unknown id|uses compression method|bytes follow the end|holds a control character|follow its end record/;

describe.skipIf(corpus === undefined)('strict verification', () => {
  const accepted = files.flatMap(([name, { checks: all }]) => {
    const check = all.find((each) => each.expect === 'verify');
    return check === undefined ? [] : [[name, check] as const];
  });
  test('loses none that Android accepts but for known oddities', async () => {
    const lost: string[] = [];
    for (const [name, { min_sdk, max_sdk }] of accepted) {
      const sdk = { minSdk: min_sdk ?? undefined, maxSdk: max_sdk ?? undefined };
      const { issues, verified } = await verifyApk(open(name), { ...sdk, strict: true });
      const errors = issues.filter(({ severity }) => severity === 'error');
      const isOdd = errors.some(
        (issue) => issue.name.startsWith('STRICT_') && ODDITIES.test(issue.message),
      );
      if (!verified && !isOdd) lost.push(`${name}: ${errors.map(({ message }) => message).join()}`);
    }
    expect(lost).toEqual([]);
  });

  interface Attack {
    readonly expect: string;
    readonly expected_signer_sha256?: string;
    /** `verify:v2,v3`, `reject: ISSUE` or an exception. */
    readonly oracles: { readonly apksig14_default?: string; readonly apksig14_min24?: string };
  }
  const path = (name: string): string => corpusPath('sig-zip-attacks', name);
  const attacks = Object.entries(
    corpus
      ? (
          JSON.parse(readFileSync(path('manifest.json'), 'utf8')) as {
            readonly files: Readonly<Record<string, Attack>>;
          }
        ).files
      : {},
  ).filter(([name]) => existsSync(path(name)));
  const attack = (name: string): ByteSource => bytesSource(readFileSync(path(name)), name);

  /** Nothing is wrong with the archive: it is for whoever pins the signer to refuse it. */
  const OF_ANOTHER_SIGNER = /poc3[ab]\.apk$/;

  test('refuses all archives that were made to deceive', async () => {
    const taken: string[] = [];
    for (const [name, { expect: wanted }] of attacks) {
      if (wanted !== 'reject' || OF_ANOTHER_SIGNER.test(name)) continue;
      const { verified } = await verifyApk(attack(name), { minSdk: 24, strict: true });
      if (verified) taken.push(name);
    }
    expect(taken).toEqual([]);
  });

  test('takes the good ones', async () => {
    const good = attacks.filter(
      ([name, each]) =>
        each.expect.startsWith('accept') && /^(fdroid|androguard|made\/ok)/.test(name),
    );
    for (const [name] of good) {
      const minSdk = name.startsWith('made/') ? 24 : undefined;
      const { issues, verified } = await verifyApk(attack(name), { minSdk, strict: true });
      expect({ name, verified, issues }).toMatchObject({ verified: true });
    }
    expect(good.length).toBeGreaterThan(0);
  });

  test('whose APK it is says the signature, not what stands beside it', async () => {
    const wrong: string[] = [];
    for (const [name, { expected_signer_sha256: wanted }] of attacks) {
      if (wanted === undefined) continue;
      const { signerCertificates, verified } = await verifyApk(attack(name));
      const [signer] = signerCertificates.map((der) => toHex(sha256(der)));
      if (verified && signer !== wanted) wrong.push(`${name}: ${signer}`);
    }
    expect(wrong).toEqual([]);
  });

  test('without it, apksig and we judge hostile APKs alike', async () => {
    const other: string[] = [];
    for (const [name, { oracles }] of attacks) {
      for (const [minSdk, wanted] of [
        [undefined, oracles.apksig14_default],
        [24, oracles.apksig14_min24],
      ] as const) {
        if (wanted === undefined) continue;
        const verdict = await verifyApk(attack(name), { minSdk });
        const { v1, v2, v3, v31 } = verdict.schemes;
        const schemes = Object.entries({ v1, v2, v3, v31 }).flatMap(([key, ok]) =>
          ok ? [key] : [],
        );
        const ours = verdict.verified ? `verify:${schemes.join()}` : 'reject';
        if (ours !== (wanted.startsWith('verify') ? wanted : 'reject')) {
          other.push(`${name}: ${ours}, apksig says ${wanted}`);
        }
      }
    }
    expect(other).toEqual([]);
  });

  test('judges every archive soon, whatever it holds', { timeout: 30_000 }, async () => {
    const late: string[] = [];
    for (const [name] of attacks) {
      const source = attack(name);
      // What it costs, and not how busy the machine is.
      const start = process.cpuUsage();
      await verifyApk(source, { minSdk: 24, strict: true });
      const { user, system } = process.cpuUsage(start);
      if (user + system > 1_000_000) late.push(`${name}: ${(user + system) / 1000} ms`);
    }
    expect(late).toEqual([]);
  });
});

/** What apksig says on one range; `default` is the manifest's own. */
interface RangeVerdict {
  readonly exception?: string;
  readonly verified?: boolean;
  readonly v1?: boolean;
  readonly v2?: boolean;
  readonly v3?: boolean;
  readonly v31?: boolean;
  readonly stamp?: boolean;
  readonly signer_certs_sha256?: readonly string[];
  readonly errors?: readonly string[];
}

const ranges = Object.entries(
  (corpus
    ? JSON.parse(readFileSync(corpusPath('apkverify', 'EXPECTED_verify.json'), 'utf8'))
    : {}) as Readonly<Record<string, Readonly<Record<string, RangeVerdict | number>>>>,
).flatMap(([name, of]) =>
  Object.entries(of).flatMap(([range, verdict]) =>
    typeof verdict === 'number' || !existsSync(corpusPath('apkverify', name))
      ? []
      : [[`${name} ${range}`, name, range, verdict] as const],
  ),
);

describe.skipIf(corpus === undefined)("verifyApk gives apksig's verdict on each release", () => {
  test.for(ranges)('%s', async ([, name, range, wanted]) => {
    const [min, max] = range === 'default' ? [] : range.split('-').map(Number);
    const source = bytesSource(readFileSync(corpusPath('apkverify', name)), name);
    const verdict = await verifyApk(source, { minSdk: min, maxSdk: max });
    expect(verdict.verified).toBe(wanted.verified ?? false);
    const errors = (wanted.errors ?? ['MALFORMED_APK']).map(either);
    expect(namesOf(verdict, 'error')).toEqual(expect.arrayContaining(errors));
    if (!verdict.verified) return;
    const { v1, v2, v3, v31, stamp } = wanted;
    expect(verdict.schemes).toMatchObject({ v1, v2, v3, v31, stamp });
    expect(verdict.signerCertificates.map((der) => toHex(sha256(der)))).toEqual(
      wanted.signer_certs_sha256,
    );
  });
});

/** `microbuild verify` on APKs and idsigs, as a user meets it. */

import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { runCommandLine } from '../../../src/cli/command.ts';
import { verifyCommand } from '../../../src/cli/commands/verify.ts';
import { sha256, toHex } from '../../../src/core/digest.ts';
import { encodeCertificatePem } from '../../../src/signing/x509.ts';
import { sign, testApk, testKey, testManifest, testSigner } from '../signing/apk/fixtures.ts';
import { pairsOf, withPairs } from '../signing/apk/verifier/altered.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

let folder: string;
const at = (name: string): string => join(folder, name);

async function verify(...args: string[]) {
  let stdout = '';
  let stderr = '';
  const status = await runCommandLine(['verify', ...args], [verifyCommand], {
    terminal: {
      interactive: false,
      out: (text) => (stdout += `${text}\n`),
      err: (text) => (stderr += `${text}\n`),
      style: (_style, text) => text,
    },
    env: {},
    signal: new AbortController().signal,
    version: '0',
  });
  return { status, stdout, stderr };
}

async function json(...args: string[]) {
  const { status, stdout } = await verify(...args, '--json');
  return { status, result: JSON.parse(stdout) as Record<string, unknown> };
}

let signed: { readonly apk: Uint8Array; readonly idsig: Uint8Array };
let certificate: Uint8Array;
beforeAll(async () => {
  const manifest = { ...testManifest, minSdk: 24 };
  signed = await sign(await testApk(undefined, manifest), {
    schemes: { v1: false, v2: true, v3: true },
    stamp: { signer: await testSigner(), time: 1_700_000_000 },
  });
  certificate = (await testKey()).certificateDer;
});
beforeEach(() => {
  folder = tmpDir();
  writeFileSync(at('app.apk'), signed.apk);
  writeFileSync(at('app.apk.idsig'), signed.idsig);
});

describe('microbuild verify on an APK', () => {
  test('shows each signature, what it is over and who made it', async () => {
    const { status, stdout, stderr } = await verify(at('app.apk'), '--strict');
    expect([status, stderr]).toEqual([0, '']);
    const digest = toHex(sha256(certificate));
    expect(stdout).toContain(`${at('app.apk')}\n  ok      APK Signature Scheme v3\n`);
    expect(stdout).toContain('rsa-pkcs1-sha256 over chunked-sha256 of the content');
    expect(stdout).toContain('ok      source stamp');
    expect(stdout).toContain('stamped 2023-11-14T22:13:20.000Z');
    expect(stdout).toContain('ok      strict profile');
    expect(stdout).toMatch(
      new RegExp(`^verified: v3, v2, for SDK versions 24 and later; signed by .*${digest}$`, 'm'),
    );
  });

  test('says the same to programs', async () => {
    const { status, result } = await json(at('app.apk'), '--idsig', at('app.apk.idsig'));
    expect(status).toBe(0);
    expect(result).toMatchObject({
      kind: 'apk',
      verified: true,
      sdk: { min: 24 },
      strict: false,
      schemes: { v1: false, v2: true, v3: true, v31: false, v4: true, stamp: true },
      signer: [{ sha256: toHex(sha256(certificate)), key: 'RSA 2048' }],
      signers: { v3: [{ index: 0, algorithms: ['rsa-pkcs1-sha256'] }] },
      stamp: { verified: true, time: '1700000000' },
      trusted: null,
      errors: [],
      warnings: [],
    });
  });

  test('shows all of a certificate when asked', async () => {
    const { stdout } = await verify(at('app.apk'), '--print-certs');
    for (const line of [/^ *subject +CN=/m, /^ *sha512 +[0-9a-f]{128}$/m, /^ *valid +\w/m]) {
      expect(stdout).toMatch(line);
    }
    const { result } = await json(at('app.apk'), '--print-certs');
    expect(result['signer']).toMatchObject([{ pem: encodeCertificatePem(certificate) }]);
  });

  test('names every finding, and where; exit code 3', async () => {
    const pairs = await pairsOf(signed.apk);
    const broken = await withPairs(
      signed.apk,
      [...pairs, { id: 0x504b4453, value: new Uint8Array(4) }].map((pair) =>
        pair.id === 0xf05368c0
          ? { ...pair, value: pair.value.map((byte, i) => byte ^ +(i === 60)) }
          : pair,
      ),
    );
    writeFileSync(at('app.apk'), broken);
    const { status, stdout, stderr } = await verify(at('app.apk'), '--strict');
    expect(status).toBe(3);
    expect(stderr).toBe(`error: ${at('app.apk')} does not verify\n`);
    expect(stdout).toContain('BROKEN  APK Signature Scheme v3');
    expect(stdout).toMatch(/^error V3_SIG_DID_NOT_VERIFY \(v3 signer 1\): /m);
    expect(stdout).toMatch(/^error STRICT_SIGNING_BLOCK: .*0x504b4453/m);
    expect(stdout).toMatch(/^NOT VERIFIED: 2 errors/m);
    const { result } = await json(at('app.apk'), '--strict');
    expect(result['errors']).toMatchObject([
      { name: 'V3_SIG_DID_NOT_VERIFY', signer: { scheme: 'v3', index: 0 } },
      { name: 'STRICT_SIGNING_BLOCK' },
    ]);
  });

  test('wants one of those who are trusted', async () => {
    writeFileSync(at('cert.pem'), encodeCertificatePem(certificate));
    const wrong = '00'.repeat(32);
    const right = `sha256:${toHex(sha256(certificate))}`;
    expect((await verify(at('app.apk'), '--trust', wrong, '--trust', right)).status).toBe(0);
    expect((await verify(at('app.apk'), '--trust', at('cert.pem'))).status).toBe(0);
    const { status, result } = await json(at('app.apk'), '--trust', wrong);
    expect(status).toBe(3);
    expect(result).toMatchObject({
      verified: false,
      trusted: false,
      errors: [{ name: 'SIGNER_NOT_TRUSTED' }],
    });
  });

  test('refuses for warnings, and for a stamp, when asked', async () => {
    const pairs = await pairsOf(signed.apk);
    const stripped = await withPairs(
      signed.apk,
      pairs.filter(({ id }) => id !== 0x6dff800d),
    );
    writeFileSync(at('app.apk'), stripped);
    expect((await verify(at('app.apk'))).status).toBe(0);
    expect((await verify(at('app.apk'), '-W')).status).toBe(3);
    const { status, result } = await json(at('app.apk'), '--verify-source-stamp');
    expect([status, result['errors']]).toMatchObject([3, [{ name: 'SOURCE_STAMP_SIG_MISSING' }]]);

    writeFileSync(at('app.apk'), signed.apk);
    const digest = toHex(sha256(certificate));
    expect((await verify(at('app.apk'), '--stamp-cert-digest', digest)).status).toBe(0);
    const other = await json(at('app.apk'), '--stamp-cert-digest', '11'.repeat(32));
    expect(other.result['stamp']).toMatchObject({
      verified: false,
      status: 'CERT_DIGEST_MISMATCH',
    });
    expect(other.result['errors']).toMatchObject([
      { name: 'SOURCE_STAMP_EXPECTED_DIGEST_MISMATCH' },
    ]);
  });

  test.for([
    [['--min-sdk-version', '30', '--max-sdk-version', '24'], /is above/],
    [['--min-sdk-version', '1.5'], /not an SDK version/],
    [['--stamp-cert-digest', 'abc'], /no SHA-256/],
    [['--minimum-rollback-index', '1'], /means nothing for an APK/],
    [['--trust', 'no-such-file'], /no-such-file/],
  ] as const)('%j is a mistake of the command line', async ([args, message]) => {
    const { status, stderr } = await verify(at('app.apk'), ...args);
    expect(status).toBe(2);
    expect(stderr).toMatch(message);
  });
});

describe('microbuild verify on an idsig', () => {
  test('finds the APK beside it, or the one that is named', async () => {
    const { status, stdout } = await verify(at('app.apk.idsig'));
    expect(status).toBe(0);
    expect(stdout).toContain('ok      APK Signature Scheme v4 (idsig)');
    mkdirSync(at('elsewhere'));
    copyFileSync(at('app.apk.idsig'), at('elsewhere/app.idsig'));
    const alone = await verify(at('elsewhere/app.idsig'));
    expect([alone.status, alone.stderr]).toEqual([2, expect.stringContaining('--apk FILE')]);
    expect((await verify(at('elsewhere/app.idsig'), '--apk', at('app.apk'))).status).toBe(0);
  });

  test('refuses it for another APK', async () => {
    const other = await sign(await testApk(), { idsig: undefined });
    writeFileSync(at('app.apk'), other.apk);
    const { status, stdout } = await verify(at('app.apk.idsig'));
    expect(status).toBe(3);
    expect(stdout).toMatch(/^error V4_SIG_APK_ROOT_DID_NOT_VERIFY/m);
  });
});

describe('microbuild verify on anything else', () => {
  test('says what it knows', async () => {
    writeFileSync(at('text'), 'text');
    const { status, stderr } = await verify(at('text'));
    expect(status).toBe(2);
    expect(stderr).toMatch(/its format is not known[^]*an APK, an idsig/);
    expect((await verify(at('none'))).stderr).toMatch(
      /Cannot verify .*: no such file or directory \(ENOENT\)/,
    );
    // Who says that it is one gets a verdict.
    expect((await verify(at('text'), '--as', 'apk')).status).toBe(3);
  });
});

/** Debian's apksigner, aapt and zipalign's rules against our APKs, and our verifier against theirs. */

import { createPrivateKey, createPublicKey, verify as verifySignature } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { toHex } from '../../src/core/digest.ts';
import { readLocalHeader } from '../../src/formats/zip/entry.ts';
import { readZip } from '../../src/formats/zip/read.ts';
import { bytesSource, openFileSource } from '../../src/io/byte-source.ts';
import { bytesContent } from '../../src/io/file-tree.ts';
import { verifyIdsig } from '../../src/signing/apk/verify-idsig.ts';
import { verifyPayload } from '../../src/signing/apk/verify.ts';
import { encodeCertificatePem } from '../../src/signing/x509.ts';
import { tmpDir } from '../support/tmp-dir.ts';
import { runTool } from '../support/tools.ts';
import {
  pattern,
  sign,
  testApk,
  testEntries,
  testKey,
  testKeyPath,
  testManifest,
} from '../unit/signing/apk/fixtures.ts';

function run(program: string, ...args: readonly string[]): string {
  const { status, stdout, stderr } = runTool(program, args);
  expect(`${status} ${stderr}`, `${program} ${args.join(' ')}: ${stdout}`).toMatch(/^0 /);
  return stdout;
}

/** Files for apksigner: our key, its certificate and an unsigned APK. */
async function workspace(
  size = 300_000,
): Promise<Readonly<Record<'key' | 'certificate' | 'input' | 'output' | 'idsig', string>>> {
  const folder = tmpDir();
  const at = (name: string): string => join(folder, name);
  const key = createPrivateKey(readFileSync(testKeyPath));
  writeFileSync(at('key.pk8'), key.export({ type: 'pkcs8', format: 'der' }));
  writeFileSync(at('key.pem'), encodeCertificatePem((await testKey()).certificateDer));
  writeFileSync(at('in.apk'), await testApk(testEntries(size)));
  return {
    key: at('key.pk8'),
    certificate: at('key.pem'),
    input: at('in.apk'),
    output: at('out.apk'),
    idsig: at('out.apk.idsig'),
  };
}

const fileArguments = (
  files: Readonly<Record<'key' | 'certificate' | 'input' | 'output', string>>,
): readonly string[] => [
  `--key=${files.key}`,
  `--cert=${files.certificate}`,
  `--in=${files.input}`,
  `--out=${files.output}`,
];

describe('apksigner', () => {
  test('verifies our v2, v3 and v4 signatures', async () => {
    const files = await workspace();
    const input = readFileSync(files.input);
    for (const v2 of [false, true]) {
      const signed = await sign(input, { schemes: { v1: false, v2, v3: true } });
      writeFileSync(files.output, signed.apk);
      writeFileSync(files.idsig, signed.idsig);
      const verdict = run(
        'apksigner',
        'verify',
        '--verbose',
        '--min-sdk-version',
        '24',
        '--v4-signature-file',
        files.idsig,
        files.output,
      );
      expect(verdict).toMatch(/^Verifies$/m);
      expect(verdict).toContain(`Verified using v2 scheme (APK Signature Scheme v2): ${v2}`);
      expect(verdict).toContain('Verified using v3 scheme (APK Signature Scheme v3): true');
      expect(verdict).toContain('Verified using v4 scheme (APK Signature Scheme v4): true');
    }
  });

  test.each([
    ['v3', false],
    ['v2 and v3', true],
  ] as const)('signs with %s to the same bytes as we do', async (_name, v2) => {
    const files = await workspace();
    run(
      'apksigner',
      'sign',
      '--v1-signing-enabled=false',
      `--v2-signing-enabled=${v2}`,
      '--v4-signing-enabled=true',
      ...fileArguments(files),
    );
    const ours = await sign(readFileSync(files.input), { schemes: { v1: false, v2, v3: true } });
    expect(Buffer.from(ours.apk).equals(readFileSync(files.output))).toBe(true);
    expect(Buffer.from(ours.idsig).equals(readFileSync(files.idsig))).toBe(true);
  });

  test('signs our APK so that we verify it, with the same certificate', async () => {
    const files = await workspace();
    const ours = await sign(readFileSync(files.input));
    writeFileSync(files.input, ours.apk);
    run(
      'apksigner',
      'sign',
      // With v1, apksigner leaves our padding between the entries, where the profile allows none.
      '--v1-signing-enabled=false',
      '--v4-signing-enabled=true',
      ...fileArguments(files),
    );
    const source = await openFileSource(files.output);
    const idsig = await openFileSource(files.idsig);
    try {
      const verified = await verifyPayload(source);
      const { certificateDer } = await testKey();
      expect(verified.signerCertificates.map(toHex)).toEqual([toHex(certificateDer)]);
      await verifyIdsig(source, idsig, { apk: verified });
    } finally {
      await source.close();
      await idsig.close();
    }
  });

  test('notices what we notice', async () => {
    const files = await workspace(100);
    const { apk } = await sign(readFileSync(files.input));
    apk[apk.length - 1000] = (apk[apk.length - 1000] ?? 0) ^ 1;
    apk[100] = (apk[100] ?? 0) ^ 1;
    writeFileSync(files.output, apk);
    const { status } = runTool('apksigner', ['verify', '--min-sdk-version', '28', files.output]);
    expect(status).not.toBe(0);
    await expect(verifyPayload(bytesSource(apk))).rejects.toMatchObject({
      link: 'payload-signature',
    });
  });
});

describe('aapt', () => {
  test('reads what our manifest says', async () => {
    const folder = tmpDir();
    const path = join(folder, 'a.apk');
    const manifest = {
      ...testManifest,
      versionCode: 2_000_000_000,
      versionName: '1.2-beta (ü)',
      debuggable: true,
      features: [
        { name: 'android.software.virtualization_framework', required: true },
        { name: 'android.hardware.camera', required: false },
      ],
    };
    writeFileSync(path, await testApk(testEntries(), manifest));
    const badging = run('aapt', 'dump', 'badging', path);
    expect(badging).toContain(
      "package: name='dev.microbuild.test' versionCode='2000000000' versionName='1.2-beta (ü)'",
    );
    for (const line of [
      "sdkVersion:'30'",
      "targetSdkVersion:'34'",
      'application-debuggable',
      "  uses-feature: name='android.software.virtualization_framework'",
      "  uses-feature-not-required: name='android.hardware.camera'",
      "native-code: 'x86_64'",
    ]) {
      expect(badging.split('\n')).toContain(line);
    }
    const tree = run('aapt', 'dump', 'xmltree', path, 'AndroidManifest.xml');
    expect(tree).toContain('android:hasCode(0x0101000c)=(type 0x12)0x0');
    expect(tree).toContain('android:extractNativeLibs(0x010104ea)=(type 0x12)0x0');
    expect(tree).toContain('android:debuggable(0x0101000f)=(type 0x12)0xffffffff');
  });
});

describe('Info-ZIP', () => {
  test('reads stored and deflated entries', async () => {
    const folder = tmpDir();
    const path = join(folder, 'a.apk');
    writeFileSync(
      path,
      await testApk([
        ...testEntries(),
        { name: 'assets/big.txt', content: bytesContent(new Uint8Array(300_000)), compress: true },
        { name: 'assets/random', content: bytesContent(pattern(200_000)), compress: true },
      ]),
    );
    expect(run('unzip', '-t', path)).toContain('No errors detected');
  });
});

describe('alignment, by the rules of zipalign -c -p 4', () => {
  test('every stored entry of a signed APK is aligned', async () => {
    const { apk } = await sign(await testApk(testEntries(70_000)));
    const source = bytesSource(apk);
    const { entries } = await readZip(source);
    const stored = entries.filter(({ method }) => method === 0);
    expect(stored.length).toBe(3);
    for (const entry of stored) {
      const { dataOffset } = await readLocalHeader(source, entry);
      expect(dataOffset % (entry.name.endsWith('.so') ? 4096 : 4)).toBe(0);
    }
  });
});

describe('openssl', () => {
  test('verifies our self-signed certificate', async () => {
    const files = await workspace(1);
    const text = run('openssl', 'verify', '-CAfile', files.certificate, files.certificate);
    expect(text).toContain('OK');
    const key = run('openssl', 'x509', '-in', files.certificate, '-noout', '-pubkey');
    const data = new TextEncoder().encode('data');
    const signature = await (
      await testKey()
    ).signer.sign(data, {
      hash: 'sha256',
      scheme: 'rsa-pkcs1',
    });
    expect(verifySignature('sha256', data, createPublicKey(key), signature)).toBe(true);
  });
});

/** Debian's apksigner against what `microbuild sign apk` and `keys rotate` write, and the other way round. */

import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { toHex } from '../../src/core/digest.ts';
import { keySigner } from '../../src/signing/signer.ts';
import {
  certificateDigest,
  createSelfSignedCertificate,
  encodeCertificatePem,
} from '../../src/signing/x509.ts';
import { openSandbox, type Sandbox } from '../support/cli.ts';
import { runTool } from '../support/tools.ts';
import { testApk, testEntries, testManifest } from '../unit/signing/apk/fixtures.ts';

let sandbox: Sandbox;
const digests = new Map<string, string>();

const at = (name: string): string => join(sandbox.folder, name);

/** Files of a key: PEM for us, DER for apksigner, and the certificate for both. */
async function writeKey(name: string, key: KeyObject): Promise<void> {
  const certificate = await createSelfSignedCertificate(keySigner(key), {
    subject: [{ name: 'CN', value: name }],
  });
  digests.set(name, toHex(certificateDigest(certificate, 'sha256')));
  writeFileSync(at(`${name}.pk8`), key.export({ type: 'pkcs8', format: 'der' }), { mode: 0o600 });
  writeFileSync(at(`${name}.crt`), encodeCertificatePem(certificate));
}

/** Both programs take these. */
const by = (name: string): readonly string[] => [
  '--key',
  at(`${name}.pk8`),
  '--cert',
  at(`${name}.crt`),
];

async function microbuild(...args: readonly string[]): Promise<string> {
  const { status, stdout, stderr } = await sandbox.microbuild(args);
  expect(`${status} ${stderr}`).toBe('0 ');
  return stdout;
}

function apksigner(...args: readonly string[]): string {
  const { status, stdout, stderr } = runTool('apksigner', args);
  expect(`${status} ${stderr} ${stdout}`).toMatch(/^0 /);
  return stdout;
}

/** What apksigner says of an APK: the schemes that it verified, and the certificates of the signers. */
function verdict(apk: string, minSdk: number): { schemes: string; signers: readonly string[] } {
  const said = apksigner(
    'verify',
    '--verbose',
    '--print-certs',
    `--min-sdk-version=${minSdk}`,
    `--v4-signature-file=${apk}.idsig`,
    apk,
  );
  const schemes = [...said.matchAll(/^Verified using (v\d) scheme .*: true$/gm)];
  const signers = [...said.matchAll(/certificate SHA-256 digest: ([0-9a-f]{64})/g)];
  return {
    schemes: schemes.map(([, scheme]) => scheme).join(' '),
    signers: signers.map(([, digest = '']) => digest),
  };
}

beforeAll(async () => {
  sandbox = openSandbox();
  await writeKey('one', generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey);
  await writeKey('two', generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);
  await writeKey('large', generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey);
  const manifest = { ...testManifest, minSdk: 21 };
  writeFileSync(at('in.apk'), await testApk(testEntries(100_000), manifest));
});
afterAll(() => sandbox.dispose());

describe('apksigner', () => {
  test('writes the bytes that we write: v1, v2, v3 and v4', async () => {
    const args = [...by('one'), '--v1-signer-name', 'some.name', '--verity-enabled'];
    apksigner('sign', ...args, '--in', at('in.apk'), '--out', at('theirs.apk'));
    await microbuild('sign', 'apk', at('in.apk'), ...args, '--out', at('ours.apk'));
    for (const suffix of ['', '.idsig']) {
      const ours = readFileSync(at(`ours.apk${suffix}`));
      expect(ours.equals(readFileSync(at(`theirs.apk${suffix}`)))).toBe(true);
    }
  });

  test('verifies elliptic curves, in all schemes', async () => {
    for (const name of ['two', 'large']) {
      const apk = at(`${name}.apk`);
      await microbuild('sign', 'apk', at('in.apk'), ...by(name), '--out', apk);
      expect(verdict(apk, 21)).toEqual({
        schemes: 'v1 v2 v3 v4',
        signers: [digests.get(name)],
      });
    }
  });

  test('verifies several signers', async () => {
    const apk = at('several.apk');
    await microbuild('sign', 'apk', at('in.apk'), ...by('one'), ...by('two'), '--out', apk);
    writeFileSync(`${apk}.idsig`, '');
    const said = apksigner('verify', '--print-certs', '--min-sdk-version=21', apk);
    for (const name of ['one', 'two']) expect(said).toContain(digests.get(name));
  });

  test('rotates to a lineage that we read, and reads and verifies ours', async () => {
    apksigner(
      'rotate',
      '--out',
      at('theirs.lineage'),
      '--old-signer',
      ...by('two'),
      '--set-auth=false',
      '--new-signer',
      ...by('one'),
      '--set-rollback',
      'true',
    );
    const theirs = JSON.parse(
      await microbuild('keys', 'lineage', at('theirs.lineage'), '--json'),
    ) as {
      certificates: { sha256: string; capabilities: Record<string, boolean> }[];
    };
    const all = { 'installed-data': true, 'shared-uid': true, permission: true };
    expect(theirs.certificates).toMatchObject([
      { sha256: digests.get('two'), capabilities: { ...all, rollback: false, auth: false } },
      { sha256: digests.get('one'), capabilities: { ...all, rollback: true, auth: true } },
    ]);

    const lineage = at('ours.lineage');
    const next = ['--new-signer', '--cert', at('two.crt'), '--set-permission', 'false'];
    await microbuild('keys', 'rotate', '--out', lineage, '--old-signer', ...by('one'), ...next);
    const shown = apksigner('lineage', '--in', lineage, '--print-certs');
    for (const name of ['one', 'two']) expect(shown).toContain(digests.get(name));
    expect(shown.match(/^Has permission capability +: (?:true|false)$/gm)).toEqual([
      expect.stringContaining('true'),
      expect.stringContaining('false'),
    ]);

    const apk = at('rotated.apk');
    const rotation = ['--lineage', lineage, '--rotation-min-sdk-version', '28'];
    await microbuild(
      'sign',
      'apk',
      at('in.apk'),
      ...rotation,
      ...by('one'),
      ...by('two'),
      '--out',
      apk,
    );
    // Releases that know v3 look at nothing before it: the new key is the signer.
    expect(verdict(apk, 28)).toEqual({ schemes: 'v3 v4', signers: [digests.get('two')] });
  });
});

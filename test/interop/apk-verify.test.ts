/** Debian's apksigner and our verifier on the same APKs: each run costs a JVM, so they are few. */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { bytesSource } from '../../src/io/byte-source.ts';
import type { SignApkOptions } from '../../src/signing/apk/sign.ts';
import { verifyApk } from '../../src/signing/apk/verifier/verify-apk.ts';
import { verifySourceStamp } from '../../src/signing/apk/verifier/verify-stamp.ts';
import { decodeLineageFile } from '../../src/formats/apk/lineage.ts';
import { corpus, corpusPath } from '../support/corpus.ts';
import { tmpDir } from '../support/tmp-dir.ts';
import { runTool } from '../support/tools.ts';
import { corpusSigner, sign, testApk, testManifest } from '../unit/signing/apk/fixtures.ts';
import { pairsOf, withPairs } from '../unit/signing/apk/verifier/altered.ts';

interface Case {
  readonly title: string;
  readonly manifest?: Partial<typeof testManifest>;
  readonly options: () => Partial<SignApkOptions>;
  readonly change?: (apk: Uint8Array) => Promise<Uint8Array> | Uint8Array;
}

const OLD = { minSdk: 21, targetSdk: 29 };
const ALL = { v1: true, v2: true, v3: true };

const cases: readonly Case[] = [
  {
    title: 'signed by v1, v2 and v3, with its idsig',
    manifest: OLD,
    options: () => ({ signers: [corpusSigner('ec-p256')], schemes: ALL }),
  },
  {
    title: 'signed by several',
    manifest: OLD,
    options: () => ({
      signers: ['rsa-2048', 'ec-p384', 'dsa-2048'].map((name, index) => ({
        ...corpusSigner(name),
        name: `S${index}`,
      })),
      schemes: { v1: true, v2: true, v3: false },
      idsig: undefined,
    }),
  },
  {
    title: 'signed by a rotated key, and its Merkle tree signed too',
    options: () => ({
      signers: [corpusSigner('rsa-2048'), corpusSigner('rsa-2048_2')],
      lineage: decodeLineageFile(
        readFileSync(corpusPath('sig-apksig', 'keys', 'rsa-2048-lineage-2-signers')),
      ),
      rotationMinSdk: 28,
      verity: true,
      schemes: { v1: false, v2: true, v3: true },
      idsig: undefined,
    }),
  },
  {
    title: 'whose v3 signature was taken away',
    options: () => ({ schemes: { v1: false, v2: true, v3: true }, idsig: undefined }),
    manifest: { minSdk: 24 },
    change: async (apk) =>
      withPairs(
        apk,
        (await pairsOf(apk)).filter(({ id }) => id !== 0xf05368c0),
      ),
  },
  {
    title: 'that was changed',
    manifest: OLD,
    options: () => ({ schemes: ALL, idsig: undefined }),
    change: (apk) => apk.map((byte, at) => (at === 60 ? byte ^ 1 : byte)),
  },
];

const SCHEMES = [
  ['v1', 'v1 scheme'],
  ['v2', 'v2 scheme'],
  ['v3', 'v3 scheme'],
  ['v4', 'v4 scheme'],
] as const;

describe.skipIf(corpus === undefined)('apksigner and we say the same of an APK', () => {
  test.for(cases)('$title', async ({ manifest, options, change }) => {
    const folder = tmpDir();
    const unsigned = await testApk(undefined, { ...testManifest, ...manifest });
    const signed = await sign(unsigned, options());
    const apk = change === undefined ? signed.apk : await change(signed.apk);
    const hasIdsig = signed.idsig.length > 0;
    const path = join(folder, 'app.apk');
    writeFileSync(path, apk);
    writeFileSync(`${path}.idsig`, signed.idsig);
    const v4 = hasIdsig ? ['--v4-signature-file', `${path}.idsig`] : [];
    const theirs = runTool('apksigner', ['verify', '--verbose', ...v4, path]);

    const idsig = hasIdsig ? bytesSource(signed.idsig) : undefined;
    const ours = await verifyApk(bytesSource(apk), { idsig });
    expect(ours.verified).toBe(theirs.status === 0);
    expect(ours.verified).toBe(change === undefined);
    if (!ours.verified) return;
    for (const [scheme, text] of SCHEMES) {
      const line = new RegExp(`Verified using ${text} .*: (true|false)`).exec(theirs.stdout);
      expect([scheme, String(ours.schemes[scheme])]).toEqual([scheme, line?.[1]]);
    }
    expect(theirs.stdout).toContain(`Number of signers: ${ours.signerCertificates.length}`);
  });

  test('stamped by us', async () => {
    const folder = tmpDir();
    const { apk } = await sign(await testApk(undefined, { ...testManifest, ...OLD }), {
      schemes: ALL,
      // Without a time, which this version of apksigner does not know.
      stamp: { signer: corpusSigner('rsa-2048') },
      idsig: undefined,
    });
    const path = join(folder, 'app.apk');
    writeFileSync(path, apk);
    const { status, stdout } = runTool('apksigner', [
      'verify',
      '--verbose',
      '--verify-source-stamp',
      path,
    ]);
    expect([status, stdout]).toEqual([0, expect.stringContaining('SourceStamp: true')]);
    expect(await verifySourceStamp(bytesSource(apk))).toMatchObject({ status: 'STAMP_VERIFIED' });
  });
});

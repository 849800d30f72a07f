/** What apksigner's rules make of signers and releases. */

import { describe, expect, it, test } from 'vitest';
import { FormatError, UsageError } from '../../../../../src/core/errors.ts';
import { isListedInManifest, mustBeSigned } from '../../../../../src/signing/apk/jar/names.ts';
import {
  jarDigestAlgorithm,
  jarSignatureNames,
  signJar,
  type JarSigner,
} from '../../../../../src/signing/apk/jar/sign.ts';
import { decodeSignedData } from '../../../../../src/signing/cms/signed-data.ts';
import { dsaIdentity, ecIdentity, rsaIdentity, type Identity } from '../../cms/certificates.ts';
import { entry, signed, verdictOn } from './archive.ts';

const signerOf = (identity: Identity, name?: string): JarSigner => ({
  signer: identity.signer,
  certificates: [identity.certificate()],
  ...(name !== undefined && { name }),
});
const rsa = signerOf(rsaIdentity());
const ec = signerOf(ecIdentity());
const dsa = signerOf(dsaIdentity());
const text = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString('utf8');

describe('jarDigestAlgorithm()', () => {
  test.each([
    ['RSA', [rsa], 17, 'sha1'],
    ['RSA', [rsa], 18, 'sha256'],
    ['DSA', [dsa], 20, 'sha1'],
    ['DSA', [dsa], 21, 'sha256'],
    ['EC', [ec], 18, 'sha256'],
    ['DSA and RSA', [dsa, rsa], 18, 'sha256'],
  ] as const)('is for %s, from SDK %j on: %s', (_name, signers, minSdk, expected) => {
    expect(jarDigestAlgorithm(signers, minSdk)).toBe(expected);
  });

  it('refuses EC keys for releases that do not know them', () => {
    expect(() => jarDigestAlgorithm([ec], 17)).toThrow(UsageError);
  });
});

describe('jarSignatureNames()', () => {
  const namesFor = (name: string) => jarSignatureNames([{ ...rsa, name }])[0];

  test.each([
    ['rsa-2048', 'META-INF/RSA-2048.SF'],
    ['a.long name', 'META-INF/A_LONG_N.SF'],
    ['ümlaut/..', 'META-INF/_MLAUT__.SF'],
  ])('makes %j a name that JAR files may have', (name, expected) => {
    expect(namesFor(name)).toBe(expected);
  });

  it('lists each signature file, its block and at last the manifest', () => {
    expect(jarSignatureNames([rsa, { ...ec, name: 'second' }])).toEqual([
      'META-INF/CERT.SF',
      'META-INF/CERT.RSA',
      'META-INF/SECOND.SF',
      'META-INF/SECOND.EC',
      'META-INF/MANIFEST.MF',
    ]);
  });

  test.each([
    ['nobody', []],
    ['eleven signers', Array.from({ length: 11 }, (_, index) => ({ ...rsa, name: `S${index}` }))],
    ['the same name twice', [rsa, ec]],
    [
      'names that differ behind the eighth character',
      [
        { ...rsa, name: 'longname1' },
        { ...ec, name: 'longname2' },
      ],
    ],
    ['an empty name', [{ ...rsa, name: '' }]],
  ])('refuses %s', (_name, signers) => {
    expect(() => jarSignatureNames(signers)).toThrow(UsageError);
  });
});

describe('isListedInManifest() and mustBeSigned()', () => {
  test.each([
    ['classes.dex', true, true],
    ['res/', false, false],
    ['META-INF/MANIFEST.MF', false, false],
    ['META-INF/manifest.mf', false, false],
    ['META-INF/CERT.SF', false, false],
    ['META-INF/cert.rsa', false, false],
    ['META-INF/x.EC', false, false],
    ['META-INF/SIG-x', false, false],
    ['META-INF/LICENSE', true, false],
    ['META-INF/services/MANIFEST.MF', true, false],
    ['META-INF/x.sf/y', true, false],
    ['meta-inf/MANIFEST.MF', true, true],
  ])('%s: %s and %s', (name, listed, signedByAndroid) => {
    expect(isListedInManifest(name)).toBe(listed);
    expect(mustBeSigned(name)).toBe(signedByAndroid);
  });
});

describe('signJar()', () => {
  const digests = new Map([
    ['b', new Uint8Array(32)],
    ['a', new Uint8Array(32).fill(1)],
  ]);
  const files = async (options: Partial<Parameters<typeof signJar>[0]> = {}) => {
    const made = await signJar({ signers: [rsa], minSdk: 18, digests, schemes: [], ...options });
    return new Map(made.map(({ name, content }) => [name, content]));
  };

  it('writes entries in the order of their names, and no promise where no scheme signs', async () => {
    const made = await files();
    expect(text(made.get('META-INF/MANIFEST.MF'))).toMatch(
      /^Manifest-Version: 1.0\r\n\r\nName: a\r\n.*\r\n\r\nName: b\r\n/s,
    );
    expect(text(made.get('META-INF/CERT.SF'))).toMatch(
      /^Signature-Version: 1.0\r\nCreated-By: 1.0 \(Android\)\r\nSHA-256-Digest-Manifest: /,
    );
    expect(text(made.get('META-INF/CERT.SF'))).not.toContain('X-Android-APK-Signed');
  });

  it('promises the other schemes and says who made it', async () => {
    const made = await files({ schemes: [2, 3], createdBy: 'me' });
    expect(text(made.get('META-INF/CERT.SF'))).toContain('Created-By: me\r\n');
    expect(text(made.get('META-INF/CERT.SF'))).toContain('X-Android-APK-Signed: 2, 3\r\n');
  });

  it('keeps the main section of the manifest that was there, sorted, and nothing else of it', async () => {
    const sourceManifest = Buffer.from('Z: 1\nManifest-Version: 2.0\nA: 2\n\nName: old\nX: y\n');
    const made = await files({ sourceManifest });
    expect(text(made.get('META-INF/MANIFEST.MF'))).toMatch(
      /^Manifest-Version: 2.0\r\nA: 2\r\nZ: 1\r\n\r\nName: a/,
    );
    expect(text(made.get('META-INF/MANIFEST.MF'))).not.toContain('old');
  });

  it('never writes a signature file of whole kibibytes, which old releases cannot read', async () => {
    const sizes = await Promise.all(
      Array.from({ length: 70 }, async (_, length) => {
        const made = await files({ createdBy: 'x'.repeat(700 + length) });
        return made.get('META-INF/CERT.SF')?.length ?? 0;
      }),
    );
    expect(sizes.some((size) => size === 1026)).toBe(true);
    expect(sizes.filter((size) => size % 1024 === 0)).toEqual([]);
  });

  it('puts the certificates of a signer into his block, and digests as the key can', async () => {
    const made = await files({ signers: [rsa, { ...dsa, name: 'old' }] });
    expect(decodeSignedData(made.get('META-INF/CERT.RSA') ?? new Uint8Array())).toMatchObject({
      certificates: rsa.certificates,
      signers: [{ digestAlgorithm: '2.16.840.1.101.3.4.2.1' }],
    });
    expect(decodeSignedData(made.get('META-INF/OLD.DSA') ?? new Uint8Array())).toMatchObject({
      certificates: dsa.certificates,
      signers: [{ digestAlgorithm: '1.3.14.3.2.26', signatureAlgorithm: '1.2.840.10040.4.1' }],
    });
  });

  test.each(['a\nb', 'a\rb', 'a\0b'])('refuses the entry name %j', async (name) => {
    await expect(files({ digests: new Map([[name, new Uint8Array(32)]]) })).rejects.toThrow(
      FormatError,
    );
  });

  it('refuses certificates of others, and none', async () => {
    const stranger = rsaIdentity().certificate();
    const withCertificates = (certificates: readonly Uint8Array[]) =>
      files({ signers: [{ ...rsa, certificates }] });
    await expect(withCertificates([stranger])).rejects.toThrow(UsageError);
    await expect(withCertificates([])).rejects.toThrow(UsageError);
  });

  test.each([
    [[rsa], 1],
    [[rsa], 24],
    [[dsa], 9],
    [[dsa], 21],
    [[ec], 18],
    [[rsa, { ...ec, name: 'ec' }, { ...dsa, name: 'dsa' }], 18],
  ])('makes what verifies on every release from its first on (%#)', async (signers, minSdk) => {
    const entries = [entry('AndroidManifest.xml', 'x'), entry(`${'long/'.repeat(40)}näme`, 'y')];
    const verdict = await verdictOn(await signed(entries, signers, { minSdk }), { minSdk });
    expect(verdict.errors).toEqual([]);
    expect(verdict.signers).toHaveLength(signers.length);
  });
});

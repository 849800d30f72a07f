/** JAR signatures that are wrong in one place each, and what Android's verifier calls it. */

import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { beforeAll, describe, expect, it, test } from 'vitest';
import { FormatError } from '../../../../../src/core/errors.ts';
import { encodeValue } from '../../../../../src/formats/der/write.ts';
import { MANIFEST_NAME } from '../../../../../src/formats/jar/manifest.ts';
import type { JarSigner } from '../../../../../src/signing/apk/jar/sign.ts';
import { signDetached } from '../../../../../src/signing/cms/sign-detached.ts';
import {
  ecIdentity,
  nameOf,
  rsaIdentity,
  utf8String,
  withLongLength,
  type CertificateParts,
  type Identity,
} from '../../cms/certificates.ts';
import { edit, entry, signed, verdictOn, type TestEntry } from './archive.ts';

const rsa = rsaIdentity();
const ec = ecIdentity();
const signerOf = (identity: Identity, name = 'CERT', parts: CertificateParts = {}): JarSigner => ({
  signer: identity.signer,
  certificates: [identity.certificate(parts)],
  name,
});
const one = [signerOf(rsa)];

const plain = [
  entry('AndroidManifest.xml', 'manifest'),
  { ...entry('classes.dex', 'code '.repeat(100)), deflate: true },
  entry('META-INF/services/x', 'not looked at by Android'),
  entry('res/', ''),
];
let good: readonly TestEntry[];
beforeAll(async () => {
  good = await signed(plain, one);
});

const SF = 'META-INF/CERT.SF';
const BLOCK = 'META-INF/CERT.RSA';

/** Signs the signature file again after it was changed. */
async function resigned(
  entries: readonly TestEntry[],
  change: (text: string) => string,
  { signer, certificates }: JarSigner = signerOf(rsa),
): Promise<readonly TestEntry[]> {
  const changed = edit(entries, SF, change);
  const file = changed.find(({ name }) => name === SF)?.content ?? new Uint8Array();
  const [certificate = new Uint8Array()] = certificates;
  const block = await signDetached(file, {
    signer,
    certificates: [certificate],
    hash: 'sha256',
    form: 'apksig',
    includeCertificates: true,
    purpose: 'jar',
  });
  return changed.map((each) => (each.name === BLOCK ? { ...each, content: block } : each));
}

const without = (name: string) => good.filter((each) => each.name !== name);
const replaced = (name: string, content: Uint8Array) =>
  good.map((each) => (each.name === name ? { ...each, content } : each));

describe('verifyJar()', () => {
  it('names the signer of what is signed well, and the files that nobody protects', async () => {
    const verdict = await verdictOn(good);
    expect(verdict.errors).toEqual([]);
    expect(verdict.warnings).toEqual(['JAR_SIG_UNPROTECTED_ZIP_ENTRY']);
    expect(verdict.signers).toEqual([
      {
        name: 'CERT.RSA',
        signatureFile: SF,
        signatureBlock: BLOCK,
        certificates: one[0]?.certificates,
      },
    ]);
  });

  it('takes several signers of all entries', async () => {
    const verdict = await verdictOn(await signed(plain, [...one, signerOf(ec, 'SECOND')]));
    expect(verdict.errors).toEqual([]);
    expect(verdict.signers.map(({ name }) => name)).toEqual(['CERT.RSA', 'SECOND.EC']);
  });

  test.each<[string, string, () => readonly TestEntry[]]>([
    [
      'an entry is there twice',
      'JAR_SIG_DUPLICATE_ZIP_ENTRY',
      () => [...good, ...plain.slice(0, 1)],
    ],
    ['there is no manifest', 'JAR_SIG_NO_MANIFEST', () => without(MANIFEST_NAME)],
    ['there is no block', 'JAR_SIG_NO_SIGNATURES', () => without(BLOCK)],
    ['there is no signature file', 'JAR_SIG_NO_SIGNATURES', () => without(SF)],
    [
      'the manifest has a section twice',
      'JAR_SIG_DUPLICATE_MANIFEST_SECTION',
      () => edit(good, MANIFEST_NAME, (text) => `${text}Name: classes.dex\r\n\r\n`),
    ],
    [
      'the manifest has a section without a name',
      'JAR_SIG_UNNNAMED_MANIFEST_SECTION',
      () => edit(good, MANIFEST_NAME, (text) => `${text}A: b\r\n\r\n`),
    ],
    [
      'the manifest lists what is not there',
      'JAR_SIG_MISSING_ZIP_ENTRY_REFERENCED_IN_MANIFEST',
      () => edit(good, MANIFEST_NAME, (text) => `${text}Name: gone\r\n\r\n`),
    ],
    ['the block is no PKCS #7', 'JAR_SIG_PARSE_EXCEPTION', () => edit(good, BLOCK, () => 'block')],
    [
      'the signature file is another one',
      'JAR_SIG_DID_NOT_VERIFY',
      () => edit(good, SF, (text) => text.replace('1.0', '1.1')),
    ],
    [
      'a section of the manifest is another one',
      'JAR_SIG_MANIFEST_SECTION_DIGEST_DID_NOT_VERIFY',
      () => edit(good, MANIFEST_NAME, (text) => text.replace('dex\r\n', 'dex\r\nX: y\r\n')),
    ],
    [
      'an entry is another one',
      'JAR_SIG_ZIP_ENTRY_DIGEST_DID_NOT_VERIFY',
      () => edit(good, 'classes.dex', (text) => text.replace('code', 'evil')),
    ],
    [
      'an entry is not in the manifest',
      'JAR_SIG_NO_ZIP_ENTRY_DIGEST_IN_MANIFEST',
      () => [...good, entry('extra', 'x')],
    ],
  ])('says it when %s: %s', async (_what, issue, change) => {
    const verdict = await verdictOn(change());
    expect(verdict.errors).toContain(issue);
    expect(verdict.signers).toEqual([]);
  });

  it('warns of half a signature beside a whole one', async () => {
    const { errors, warnings } = await verdictOn([...good, entry('META-INF/HALF.RSA', 'x')]);
    expect(errors).toEqual([]);
    expect(warnings).toContain('JAR_SIG_MISSING_FILE');
  });

  it('refuses eleven signers without looking at them', async () => {
    const more = Array.from({ length: 10 }, (_, index) => [
      entry(`META-INF/X${index}.SF`, ''),
      entry(`META-INF/X${index}.RSA`, ''),
    ]);
    const { errors } = await verdictOn([...good, ...more.flat()]);
    expect(errors).toEqual(['JAR_SIG_MAX_SIGNATURES_EXCEEDED']);
  });

  it('takes a changed main section of the manifest, which nobody signs by itself', async () => {
    const changed = edit(good, MANIFEST_NAME, (text) => text.replace('1.0\r\n', '1.0\r\nA: b\r\n'));
    const { errors, warnings } = await verdictOn(changed);
    expect(errors).toEqual([]);
    expect(warnings).toContain('JAR_SIG_ZIP_ENTRY_DIGEST_DID_NOT_VERIFY');
  });

  it('takes a main section for what its own digest says', async () => {
    const digestOf = (text: string) => createHash('sha256').update(text).digest('base64');
    const main = 'Manifest-Version: 1.0\r\n\r\n';
    for (const [text, expected] of [
      [main, []],
      ['another', ['JAR_SIG_MANIFEST_MAIN_SECTION_DIGEST_DID_NOT_VERIFY']],
    ] as const) {
      const line = `SHA-256-Digest-Manifest-Main-Attributes: ${digestOf(text)}\r\n`;
      const apk = await resigned(good, (file) =>
        file.replace('\r\nX', `\r\n${line}X`).replace('Created-By', `${line}Created-By`),
      );
      expect((await verdictOn(apk)).errors).toEqual(expected);
    }
  });
});

describe('verifyJar() on signature files that are signed', () => {
  test.each<[string, (text: string) => string, readonly string[], string]>([
    [
      'without a version',
      (text) => text.replace('Signature-Version', 'Some-Version'),
      ['JAR_SIG_NO_SIGNATURES'],
      'JAR_SIG_MISSING_VERSION_ATTR_IN_SIG_FILE',
    ],
    [
      'with a section without a name',
      (text) => `${text}A: b\r\n\r\n`,
      ['JAR_SIG_NO_SIGNATURES'],
      'JAR_SIG_UNNNAMED_SIG_FILE_SECTION',
    ],
    [
      'with a section twice',
      (text) => `${text}Name: classes.dex\r\n\r\n`,
      ['JAR_SIG_NO_SIGNATURES'],
      'JAR_SIG_DUPLICATE_SIG_FILE_SECTION',
    ],
    [
      'of a manifest with fewer sections',
      (text) => `${text.replace(/SHA-256-Digest-Manifest: \S+\r\n/, '')}Name: gone\r\n\r\n`,
      ['JAR_SIG_NO_SIGNATURES'],
      'JAR_SIG_NO_ZIP_ENTRY_DIGEST_IN_SIG_FILE',
    ],
  ])('passes over one %s', async (_what, change, errors, warning) => {
    const verdict = await verdictOn(await resigned(good, change));
    expect(verdict.errors).toEqual(errors);
    expect(verdict.warnings).toContain(warning);
  });

  it('does not take an empty one', async () => {
    const { errors } = await verdictOn(await resigned(good, () => ''));
    expect(errors).toEqual(['JAR_SIG_MISSING_VERSION_ATTR_IN_SIG_FILE']);
  });

  it('falls back to sections where the digest of the manifest is missing', async () => {
    const drop = (text: string) => text.replace(/SHA-256-Digest-Manifest: \S+\r\n/, '');
    const { errors, warnings } = await verdictOn(await resigned(good, drop));
    expect(errors).toEqual([]);
    expect(warnings).toContain('JAR_SIG_NO_MANIFEST_DIGEST_IN_SIG_FILE');
  });

  it('says which entry a signature file does not list', async () => {
    const drop = (text: string) => text.replace(/Name: classes.dex\r\n.*\r\n\r\n/, '');
    const { errors } = await verdictOn(await resigned(good, drop));
    expect(errors).toEqual(['JAR_SIG_ZIP_ENTRY_NOT_SIGNED']);
  });

  it('does not let two signers divide the entries between them', async () => {
    const both = await signed(plain, [signerOf(rsa), signerOf(ec, 'SECOND')]);
    const drop = (text: string) => text.replace(/Name: classes.dex\r\n.*\r\n\r\n/, '');
    const { errors, signers } = await verdictOn(await resigned(both, drop));
    expect(errors).toEqual(['JAR_SIG_ZIP_ENTRY_SIGNERS_MISMATCH']);
    expect(signers).toEqual([]);
  });

  it('refuses a digest that is not base64, and never crashes on it', async () => {
    const spoil = (text: string) => text.replace(/(Digest-Manifest: )\S+/, '$1*');
    const { errors } = await verdictOn(await resigned(good, spoil));
    expect(errors).toEqual(['JAR_SIG_PARSE_EXCEPTION']);
  });
});

describe('verifyJar() and the schemes after v1', () => {
  const promise = (schemes: readonly number[]) => signed(plain, one, { schemes });

  test.each([
    [[2, 3], [2, 3], 35, []],
    [[2, 3], [2], 35, ['JAR_SIG_MISSING_APK_SIG_REFERENCED']],
    [[2, 3], [], 35, ['JAR_SIG_MISSING_APK_SIG_REFERENCED', 'JAR_SIG_MISSING_APK_SIG_REFERENCED']],
    // Android 7 and 8 do not know v3, Android 6 knows neither.
    [[2, 3], [2], 27, []],
    [[2, 3], [], 23, []],
  ])('promised %j, found %j, up to SDK %i: %j', async (schemes, foundSchemes, maxSdk, errors) => {
    expect((await verdictOn(await promise(schemes), { foundSchemes, maxSdk })).errors).toEqual(
      errors,
    );
  });

  it('warns when nothing is promised, and of promises that nobody knows', async () => {
    expect((await verdictOn(good, { foundSchemes: [2] })).warnings).toContain(
      'JAR_SIG_NO_APK_SIG_STRIP_PROTECTION',
    );
    const { errors, warnings } = await verdictOn(await promise([9]));
    expect(errors).toEqual([]);
    expect(warnings).toContain('JAR_SIG_UNKNOWN_APK_SIG_SCHEME_ID');
  });

  it('passes over what is no number in the promise', async () => {
    const nonsense = (text: string) =>
      text.replace('Created-By', 'X-Android-APK-Signed: x, 2x,, 99999999999\r\nCreated-By');
    expect((await verdictOn(await resigned(good, nonsense))).errors).toEqual([]);
  });

  /** What a signer says who makes this of the promise. */
  const errorsWith = async (value: string) => {
    // Signature files are changed byte by byte.
    const bytes = Buffer.from(`X-Android-APK-Signed: ${value}\r\n`).toString('latin1');
    const promised = (text: string) => text.replace('Created-By', `${bytes}Created-By`);
    return (await verdictOn(await resigned(good, promised))).errors;
  };

  it('reads numbers as Java does', async () => {
    for (const value of ['2', ' +02 ', '\u0662', '\uff12', '1,\u0967\t,\u0968']) {
      expect(await errorsWith(value)).toEqual(['JAR_SIG_MISSING_APK_SIG_REFERENCED']);
    }
    for (const value of ['\u00a02', '2\u2003', '\u{1d7d0}', '\u00b2', '0x2']) {
      expect(await errorsWith(value)).toEqual([]);
    }
  });
});

describe('verifyJar() and certificates', () => {
  const KEY_USAGE = '2.5.29.15';
  const usage = (bits: number) => encodeValue(0, false, 3, Uint8Array.of(0, bits));

  test.each<[string, CertificateParts, readonly string[]]>([
    ['that may sign', { extensions: [{ oid: KEY_USAGE, critical: true, value: usage(0x80) }] }, []],
    [
      'that may sign certificates only',
      { extensions: [{ oid: KEY_USAGE, value: usage(0x04) }] },
      ['JAR_SIG_VERIFY_EXCEPTION'],
    ],
    [
      'with a critical extension that nobody knows',
      { extensions: [{ oid: '1.2.3', critical: true, value: usage(0) }] },
      ['JAR_SIG_VERIFY_EXCEPTION'],
    ],
    ['with another extension', { extensions: [{ oid: '1.2.3', value: usage(0) }] }, []],
  ])('looks at one %s', async (_what, parts, errors) => {
    const apk = await signed(plain, [signerOf(rsa, 'CERT', parts)]);
    expect((await verdictOn(apk)).errors).toEqual(errors);
  });

  it('takes one that is not DER, and gives it as it is', async () => {
    const certificate = withLongLength(rsa.certificate());
    const apk = await signed(plain, [{ ...signerOf(rsa), certificates: [certificate] }]);
    const { errors, signers } = await verdictOn(apk);
    expect(errors).toEqual([]);
    expect(signers[0]?.certificates).toEqual([certificate]);
  });

  it('gives the signer before those that issued its certificate, whatever their order', async () => {
    const issuer = rsaIdentity();
    const root = issuer.certificate({ subject: 'zz root', serialNumber: 1n });
    const own = rsa.certificate({ subject: 'own', issuer: nameOf(utf8String('zz root')) });
    const other = issuer.certificate({ subject: 'other', serialNumber: 2n });
    const certificates = [own, other, root];
    const { errors, signers } = await verdictOn(
      await signed(plain, [{ signer: rsa.signer, certificates }]),
    );
    expect(errors).toEqual([]);
    expect(signers[0]?.certificates).toEqual([own, root]);
  });
});

describe('verifyJar() on junk', () => {
  it('gives a verdict on any bytes in META-INF', async () => {
    const files = [SF, BLOCK, MANIFEST_NAME];
    const spoiled = fc.tuple(
      fc.constantFrom(...files),
      fc.array(fc.tuple(fc.nat(100_000), fc.nat(255)), { minLength: 1, maxLength: 5 }),
    );
    await fc.assert(
      fc.asyncProperty(
        spoiled,
        fc.uint8Array(),
        fc.boolean(),
        async ([name, changes], junk, all) => {
          const apk = good.map((each) => {
            if (each.name !== name) return each;
            const content = all ? junk : Uint8Array.from(each.content);
            for (const [at, value] of changes) content[at % content.length] = value;
            return { ...each, content };
          });
          const { errors, signers } = await verdictOn(apk, { minSdk: 24 });
          expect(signers.length === 0).toBe(errors.length > 0);
        },
      ),
      { numRuns: 200 },
    );
  });
});

describe('verifyJar() on archives that lie', () => {
  test.each<[string, Partial<TestEntry>]>([
    ['local and central header disagree on the name', { local: { nameLength: 4 } }],
    ['local and central header disagree on the size', { local: { size: 7 } }],
    [
      'the data is longer than declared',
      { central: { size: 2 }, local: { size: 2 }, deflate: true },
    ],
    ['the data is not deflated', { central: { method: 8 }, local: { method: 8 } }],
    ['there is no local header', { central: { localHeaderOffset: 1 } }],
  ])('throws a FormatError when %s', async (_what, lie) => {
    const apk = good.map((each) =>
      each.name === 'AndroidManifest.xml' ? { ...each, ...lie } : each,
    );
    await expect(verdictOn(apk)).rejects.toThrow(FormatError);
  });

  it('does not inflate a manifest of gigabytes', async () => {
    const lie = { central: { size: 0xffff_fff0 }, local: { size: 0xffff_fff0 } };
    const apk = replaced(MANIFEST_NAME, new Uint8Array(10)).map((each) =>
      each.name === MANIFEST_NAME ? { ...each, ...lie } : each,
    );
    await expect(verdictOn(apk)).rejects.toThrow(FormatError);
  });

  it('digests entries of more than a mebibyte as it digests small ones', async () => {
    const content = new Uint8Array(3 << 20).map((_, index) => index % 251);
    const large = [{ ...entry('a', content), deflate: true }, entry('b', content)];
    expect((await verdictOn(await signed(large, one))).errors).toEqual([]);
    const changed = content.with(2 << 20, 255);
    const apk = (await signed(large, one)).map((each) =>
      each.name === 'a' ? { ...each, content: changed } : each,
    );
    expect((await verdictOn(apk)).errors).toEqual(['JAR_SIG_ZIP_ENTRY_DIGEST_DID_NOT_VERIFY']);
  });
});

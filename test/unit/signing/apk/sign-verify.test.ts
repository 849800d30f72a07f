import { createHash, generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { toHex } from '../../../../src/core/digest.ts';
import { FormatError, UsageError, VerificationError } from '../../../../src/core/errors.ts';
import { buildApk } from '../../../../src/formats/apk/build.ts';
import { dumpApk } from '../../../../src/formats/apk/dump.ts';
import { decodeIdsig, encodeIdsigHeader } from '../../../../src/formats/apk/idsig.ts';
import { findApkSections, readSigningBlock } from '../../../../src/formats/apk/signing-block.ts';
import { decodeSignedData, decodeSigners } from '../../../../src/formats/apk/signer-block.ts';
import { encodeManifest } from '../../../../src/formats/axml/manifest.ts';
import { readLocalHeader } from '../../../../src/formats/zip/entry.ts';
import { readZip } from '../../../../src/formats/zip/read.ts';
import { bytesSource, fileRange } from '../../../../src/io/byte-source.ts';
import { bytesContent } from '../../../../src/io/file-tree.ts';
import { createFileSink, MemorySink } from '../../../../src/io/image-sink.ts';
import type { DirectoryRecord } from '../../../../src/formats/zip/records.ts';
import { signApk, signBuiltApk } from '../../../../src/signing/apk/sign.ts';
import { verifyIdsig } from '../../../../src/signing/apk/verify-idsig.ts';
import { verifyApkV3, verifyPayload } from '../../../../src/signing/apk/verify.ts';
import { keySigner } from '../../../../src/signing/signer.ts';
import { createSelfSignedCertificate } from '../../../../src/signing/x509.ts';
import { tmpDir } from '../../../support/tmp-dir.ts';
import {
  pattern,
  sign,
  testApk,
  testEntries,
  testKey,
  testManifest,
  testSigner,
} from './fixtures.ts';

/** The smallest APK there is: nothing in it is aligned to a page. */
const smallEntries = [{ name: 'assets/a', content: bytesContent(pattern(40)) }];

async function v3Signer(apk: Uint8Array): Promise<ReturnType<typeof decodeSigners>[number]> {
  const source = bytesSource(apk);
  const pairs = await readSigningBlock(source, await findApkSections(source));
  const value = pairs.find(({ id }) => id === 0xf05368c0)?.value ?? new Uint8Array(0);
  const [signer] = decodeSigners(value, 'v3');
  if (signer === undefined) throw new Error('The APK has no v3 signer');
  return signer;
}

describe('signApk', () => {
  test('what it signs verifies as a payload, with its idsig', async () => {
    const { apk, idsig } = await sign(await testApk());
    const source = bytesSource(apk);
    const verified = await verifyPayload(source);
    const { certificateDer } = await testKey();
    expect(verified.signerCertificates.map(toHex)).toEqual([toHex(certificateDer)]);
    expect(toHex(verified.certificateDigests.sha256)).toBe(
      createHash('sha256').update(certificateDer).digest('hex'),
    );
    expect(toHex(verified.certificateDigests.sha512)).toBe(
      createHash('sha512').update(certificateDer).digest('hex'),
    );
    const { apk: same, rootHash } = await verifyIdsig(source, bytesSource(idsig));
    expect(toHex(same.contentDigest)).toBe(toHex(verified.contentDigest));
    expect(toHex(rootHash)).toBe(toHex(decodeIdsig(idsig).hashing.rawRootHash));
  });

  test('gives the same bytes each time, these', async () => {
    const { apk, idsig } = await sign(await testApk());
    const again = await sign(await testApk());
    expect(toHex(again.apk)).toBe(toHex(apk));
    expect(toHex(again.idsig)).toBe(toHex(idsig));
    const digest = createHash('sha256').update(apk).update(idsig).digest('hex');
    expect(digest).toMatchInlineSnapshot(
      `"3fb6157b447b2714e82f6efe0059675d11e21b87256d2adfeb6fe19448526d3b"`,
    );
  });

  test('leaves the entries of an aligned APK where they are', async () => {
    const unsigned = await testApk();
    const { apk } = await sign(unsigned);
    const { centralDirectoryOffset } = (await readZip(bytesSource(unsigned))).end;
    expect(Buffer.from(apk.subarray(0, centralDirectoryOffset))).toEqual(
      Buffer.from(unsigned.subarray(0, centralDirectoryOffset)),
    );
    const sections = await findApkSections(bytesSource(apk));
    expect(sections.entriesEnd % 4096).toBe(0);
    expect(sections.centralDirectoryOffset % 4096).toBe(0);
  });

  test('signing again replaces the signature', async () => {
    const unsigned = await testApk();
    const once = await sign(unsigned, { schemes: { v1: false } });
    const twice = await sign(once.apk);
    expect(toHex(twice.apk)).toBe(toHex((await sign(unsigned)).apk));
  });

  test('directories and the files of JAR signatures are left out, what moves stays aligned', async () => {
    const text = bytesContent(new TextEncoder().encode('x'));
    const extra = [
      'META-INF/MANIFEST.MF',
      'META-INF/CERT.SF',
      'META-INF/CERT.RSA',
      'META-INF/x/a.sf',
    ];
    const unsigned = await testApk([
      ...testEntries(5000),
      ...extra.map((name) => ({ name, content: text })),
      { name: 'assets/empty/', content: bytesContent(new Uint8Array(0)) },
    ]);
    const { apk } = await sign(unsigned);
    const zip = await readZip(bytesSource(apk));
    expect(zip.entries.map(({ name }) => name)).toEqual([
      'AndroidManifest.xml',
      'META-INF/x/a.sf',
      'assets/hello.txt',
      'lib/x86_64/libhello.so',
    ]);
    const dump = await dumpApk(bytesSource(apk));
    expect(dump.children.at(-1)?.children.map(({ name }) => name)).toEqual([
      'APK Signature Scheme v3',
      'padding',
    ]);
    await verifyPayload(bytesSource(apk));
    const library = zip.entries.at(-1);
    if (library === undefined) throw new Error('The library is missing');
    expect((await readLocalHeader(bytesSource(apk), library)).dataOffset % 4096).toBe(0);
  });

  test('v3 starts at SDK 24, whatever the APK is for', async () => {
    for (const minSdk of [undefined, 1, 34]) {
      const signer = await v3Signer((await sign(await testApk(), { minSdk })).apk);
      expect(signer.sdk).toEqual({ min: 24, max: 0x7fffffff });
    }
  });

  test('v2 says that v3 is there, so that removing it is noticed', async () => {
    const { apk } = await sign(await testApk(), { schemes: { v1: false } });
    const source = bytesSource(apk);
    const [v2] = await readSigningBlock(source, await findApkSections(source));
    const [signer] = decodeSigners(v2?.value ?? new Uint8Array(0), 'v2');
    const { attributes } = decodeSignedData(signer?.signedData ?? new Uint8Array(0), 'v2');
    expect(attributes).toEqual([{ id: 0xbeeff00d, value: Uint8Array.of(3, 0, 0, 0) }]);
  });

  test('an APK of several MiB is the same whether it is hashed in one pass or read again', async () => {
    const { apk, idsig } = await sign(await testApk(testEntries((5 << 20) + 123)));
    await verifyPayload(bytesSource(apk));
    await verifyIdsig(bytesSource(apk), bytesSource(idsig));
    expect(decodeIdsig(idsig).treeSize).toBeGreaterThan(10 * 4096);
  });

  test('an APK that was just built is signed in its place, as if it had been read back', async () => {
    const entries = [
      ...testEntries((9 << 20) + 5),
      { name: 'assets/größe', content: bytesContent(new Uint8Array(0)) },
      { name: 'assets/packed', content: bytesContent(pattern(3000)), compress: true },
    ];
    const schemes = { v1: false, v2: true, v3: true } as const;
    const expected = await sign(await testApk(entries), { schemes });

    const folder = tmpDir();
    const output = await createFileSink(join(folder, 'apk'));
    const idsig = new MemorySink();
    try {
      const manifest = encodeManifest(testManifest);
      const built = await buildApk({ manifest, entries }, output);
      const options = {
        input: fileRange(output.file, built.size, 'apk'),
        output,
        idsig,
        entries: built.entries,
        entriesEnd: built.centralDirectoryOffset,
        signers: [await testSigner()],
        schemes,
        minSdk: testManifest.minSdk,
      };
      await signBuiltApk(options);
      const [first] = built.entries;
      const stamp = { ...first, name: 'stamp-cert-sha256' } as DirectoryRecord;
      const odd = signBuiltApk({ ...options, entries: [...built.entries, stamp] });
      await expect(odd).rejects.toBeInstanceOf(RangeError);
    } finally {
      await output.close();
    }
    const signed = readFileSync(join(folder, 'apk'));
    expect(signed.equals(expected.apk)).toBe(true);
    expect(Buffer.from(idsig.bytes()).equals(expected.idsig)).toBe(true);
    await verifyPayload(bytesSource(signed));
  });

  test('refuses keys without their certificate, and signatures that are not theirs', async () => {
    const input = await testApk();
    const { signer, certificates } = await testSigner();
    const other = keySigner(generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey);
    const strange = sign(input, { signers: [{ signer: other, certificates }] });
    await expect(strange).rejects.toThrow(/not of the signing key/);
    const bare = sign(input, { signers: [{ signer, certificates: [] }] });
    await expect(bare).rejects.toThrow(/no certificate/);
    for (const wrong of [new Uint8Array(256), new Uint8Array(0)]) {
      const lying = { ...signer, sign: () => Promise.resolve(wrong) };
      const signing = sign(input, { signers: [{ signer: lying, certificates }] });
      await expect(signing).rejects.toBeInstanceOf(UsageError);
    }
    const none = sign(input, { schemes: { v1: false, v2: false, v3: false } });
    await expect(none).rejects.toBeInstanceOf(UsageError);
  });

  test('refuses input that readers could take differently', async () => {
    const apk = Uint8Array.from(await testApk());
    const { entries } = await readZip(bytesSource(apk));
    const last = entries.at(-1);
    if (last === undefined) throw new Error('The APK is empty');
    // The first letter of the name, in the central directory only.
    apk[last.recordOffset + 46] = 0x42;
    await expect(sign(apk)).rejects.toBeInstanceOf(FormatError);
    await expect(sign(pattern(500))).rejects.toBeInstanceOf(FormatError);
  });

  test('keys above 3072 bits sign with SHA-512', { timeout: 60_000 }, async () => {
    const signer = keySigner(generateKeyPairSync('rsa', { modulusLength: 4096 }).privateKey);
    const certificateDer = await createSelfSignedCertificate(signer, {
      subject: [{ name: 'CN', value: 'large' }],
    });
    const { apk, idsig } = await sign(await testApk(), {
      signers: [{ signer, certificates: [certificateDer] }],
    });
    const { apk: verified } = await verifyIdsig(bytesSource(apk), bytesSource(idsig));
    expect(verified.signatureAlgorithm.name).toBe('rsa-pkcs1-sha512');
    expect(verified.contentDigest.length).toBe(64);
  });

  test('a disk that fails while it is written fails the signature', async () => {
    const full = {
      write: (offset: number): Promise<void> =>
        offset > 1 << 20 ? Promise.reject(new Error('no space left')) : Promise.resolve(),
      truncate: () => Promise.resolve(),
    };
    const input = await testApk(testEntries(4 << 20));
    await expect(sign(input, { output: full })).rejects.toThrow('no space left');
  });

  test('gives the same bytes each time with elliptic curves, too', async () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' });
    const signer = keySigner(privateKey);
    const subject = [{ name: 'CN', value: 'curve' }] as const;
    const certificates = [await createSelfSignedCertificate(signer, { subject })];
    const options = { signers: [{ signer, certificates }], schemes: {}, idsig: undefined };
    const [one, two] = [await sign(await testApk(), options), await sign(await testApk(), options)];
    expect(Buffer.from(one.apk).equals(two.apk)).toBe(true);
    expect((await verifyApkV3(bytesSource(one.apk))).signatureAlgorithm.name).toBe('ecdsa-sha512');
  });

  test('stops when it is told to, before it writes', async () => {
    const output = new MemorySink();
    const signal = AbortSignal.abort(new Error('interrupted'));
    const input = await testApk();
    for (const v1 of [true, false]) {
      const signing = sign(input, { output, signal, schemes: { v1 } });
      await expect(signing).rejects.toThrow('interrupted');
    }
    expect(output.bytes()).toHaveLength(0);
  });

  test('without an idsig there is none', async () => {
    const output = new MemorySink();
    const result = await signApk({
      signers: [await testSigner()],
      input: bytesSource(await testApk()),
      output,
      schemes: { v1: false },
    });
    expect(result).toMatchObject({ size: output.bytes().length, idsig: undefined });
    await verifyPayload(bytesSource(output.bytes()));
  });
});

/** The link and code with which verifying failed; fails itself for any other error, or none. */
async function refusal(verifying: Promise<unknown>): Promise<string> {
  const error: unknown = await verifying.then(
    () => new Error('It verified'),
    (reason: unknown) => reason,
  );
  if (!(error instanceof VerificationError)) throw error;
  return error.link;
}

const flip = (bytes: Uint8Array, at: number): Uint8Array => {
  const changed = Uint8Array.from(bytes);
  changed[at] = (changed[at] ?? 0) ^ (1 << (at % 8));
  return changed;
};

describe('tampering', () => {
  test('every flipped bit of a signed APK is noticed', { timeout: 60_000 }, async () => {
    const { apk } = await sign(await testApk(smallEntries), { schemes: { v1: false } });
    const { entriesEnd } = await findApkSections(bytesSource(apk));
    const blockEnd = entriesEnd + 2900;
    expect(apk.subarray(blockEnd, blockEnd + 1000).every((byte) => byte === 0)).toBe(true);
    // The entries are one section of one digest, and the padding one run of zeros: a sample will do.
    for (let at = 0; at < apk.length;) {
      const link = await refusal(verifyPayload(bytesSource(flip(apk, at))));
      expect(link, `byte ${at}`).toMatch(/^payload-(?:signature|zip)$/);
      at += at < entriesEnd || (at >= blockEnd && at < blockEnd + 1000) ? 13 : 1;
    }
  });

  test('every flipped bit of an idsig is noticed', { timeout: 60_000 }, async () => {
    const { apk, idsig } = await sign(await testApk(smallEntries));
    const source = bytesSource(apk);
    const verified = await verifyApkV3(source);
    const { treeOffset } = decodeIdsig(idsig);
    for (let at = 0; at < idsig.length; at += at < treeOffset ? 1 : 13) {
      const changed = bytesSource(flip(idsig, at));
      const link = await refusal(verifyIdsig(source, changed, { apk: verified }));
      expect(link, `byte ${at}`).toBe('idsig');
    }
  });

  test('every shorter APK and idsig is refused', async () => {
    const { apk, idsig } = await sign(await testApk(smallEntries));
    for (let size = 0; size < apk.length; size += 61) {
      expect(await refusal(verifyPayload(bytesSource(apk.subarray(0, size))))).toMatch(/^payload-/);
    }
    const verified = await verifyApkV3(bytesSource(apk));
    for (let size = 0; size < idsig.length; size += 61) {
      const cut = bytesSource(idsig.subarray(0, size));
      expect(await refusal(verifyIdsig(bytesSource(apk), cut, { apk: verified }))).toBe('idsig');
    }
  });

  test('zeros that fill the partition change nothing', async () => {
    const { apk, idsig } = await sign(await testApk(smallEntries));
    const padded = (bytes: Uint8Array): Uint8Array => {
      const out = new Uint8Array(Math.ceil(bytes.length / 4096) * 4096);
      out.set(bytes);
      return out;
    };
    const source = bytesSource(padded(apk));
    expect(source.size).toBeGreaterThan(apk.length);
    expect((await verifyPayload(source)).size).toBe(apk.length);
    await verifyIdsig(source, bytesSource(padded(idsig)));
    const filled = padded(apk);
    filled[filled.length - 1] = 1;
    expect(await refusal(verifyPayload(bytesSource(filled)))).toBe('payload-signature');
  });

  test('the idsig of another APK, of another signer and an unsigned one are refused', async () => {
    const one = await sign(await testApk(smallEntries));
    const two = await sign(await testApk(testEntries()));
    const signer = keySigner(generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey);
    const certificateDer = await createSelfSignedCertificate(signer, {
      subject: [{ name: 'CN', value: 'somebody else' }],
    });
    const other = await sign(await testApk(smallEntries), {
      signers: [{ signer, certificates: [certificateDer] }],
    });
    const header = decodeIdsig(one.idsig);
    const none = new Uint8Array(0);
    const unsigned = Buffer.concat([
      encodeIdsigHeader(
        {
          ...header,
          signing: { ...header.signing, certificate: none, publicKey: none, signature: none },
        },
        header.treeSize,
      ),
      one.idsig.subarray(header.treeOffset),
    ]);
    const codeOf = async (idsig: Uint8Array): Promise<unknown> =>
      verifyIdsig(bytesSource(one.apk), bytesSource(idsig)).catch((error: unknown) => error);
    expect(await codeOf(two.idsig)).toMatchObject({ link: 'idsig', code: 'bad-signature' });
    expect(await codeOf(other.idsig)).toMatchObject({
      link: 'idsig',
      code: 'certificate-mismatch',
    });
    expect(await codeOf(unsigned)).toMatchObject({ link: 'idsig', code: 'unsigned' });
  });

  test('a valid signature over a deceptive archive is not enough for a payload', async () => {
    // Entry comments: what the signer can be told to sign and the profile refuses.
    const unsigned = await testApk(smallEntries);
    const { end, endOffset } = await readZip(bytesSource(unsigned));
    const withComment = Buffer.concat([
      unsigned.subarray(0, endOffset),
      Buffer.from('hello'),
      unsigned.subarray(endOffset),
    ]);
    const { entries } = await readZip(bytesSource(unsigned));
    const last = entries.at(-1);
    if (last === undefined) throw new Error('The APK is empty');
    withComment.writeUInt16LE(5, last.recordOffset + 32);
    withComment.writeUInt32LE(end.centralDirectorySize + 5, endOffset + 5 + 12);
    const { apk } = await sign(withComment, { entryComments: true });
    await verifyApkV3(bytesSource(apk));
    expect(await refusal(verifyPayload(bytesSource(apk)))).toBe('payload-zip');
  });
});

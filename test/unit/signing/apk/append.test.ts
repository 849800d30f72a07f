/** Signing once more beside others, whose signatures stay valid or are not touched. */

import { generateKeyPairSync } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { decodeSigners } from '../../../../src/formats/apk/signer-block.ts';
import {
  APK_SIGNATURE_SCHEME_V2_BLOCK_ID,
  encodeSigningBlock,
  findApkSections,
  readSigningBlock,
} from '../../../../src/formats/apk/signing-block.ts';
import { EOCD_CENTRAL_DIRECTORY_OFFSET_AT } from '../../../../src/formats/zip/layout.ts';
import { readZip } from '../../../../src/formats/zip/read.ts';
import { bytesSource } from '../../../../src/io/byte-source.ts';
import type { ApkSigner } from '../../../../src/signing/apk/sign.ts';
import { keySigner } from '../../../../src/signing/signer.ts';
import { createSelfSignedCertificate } from '../../../../src/signing/x509.ts';
import { sign, testApk, testManifest, testSigner } from './fixtures.ts';

let first: ApkSigner;
let second: ApkSigner;
let unsigned: Uint8Array;
const V2 = { v1: false, v2: true, v3: false };
const V1 = { v1: true, v2: false, v3: false };
const none = { idsig: undefined };

beforeAll(async () => {
  first = { ...(await testSigner()), name: 'first' };
  const signer = keySigner(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);
  const subject = [{ name: 'CN', value: 'second' }] as const;
  second = {
    signer,
    certificates: [await createSelfSignedCertificate(signer, { subject })],
    name: 'second',
  };
  unsigned = await testApk([], { ...testManifest, minSdk: 21 });
});

async function pairsOf(apk: Uint8Array) {
  const source = bytesSource(apk);
  return readSigningBlock(source, await findApkSections(source));
}

async function signersOf(apk: Uint8Array): Promise<readonly Uint8Array[]> {
  const pair = (await pairsOf(apk)).find(({ id }) => id === APK_SIGNATURE_SCHEME_V2_BLOCK_ID);
  return decodeSigners(pair?.value ?? new Uint8Array(0), 'v2').map((each) => each.signedData);
}

const namesOf = async (apk: Uint8Array): Promise<readonly string[]> =>
  (await readZip(bytesSource(apk))).entries.map(({ name }) => name);

describe('appendSignature', () => {
  test('puts a signer of v2 behind the others, and replaces his own', async () => {
    const { apk } = await sign(unsigned, { ...none, signers: [first], schemes: V2 });
    const appended = await sign(apk, {
      ...none,
      signers: [second],
      schemes: V2,
      appendSignature: true,
    });
    const [kept] = await signersOf(apk);
    const both = await signersOf(appended.apk);
    expect(both).toHaveLength(2);
    expect(both[0]).toEqual(kept);
    const again = await sign(appended.apk, {
      ...none,
      signers: [first],
      schemes: V2,
      appendSignature: true,
    });
    expect(await signersOf(again.apk)).toEqual([both[1], kept]);
  });

  test('puts the files of a JAR signature behind those of others', async () => {
    const { apk } = await sign(unsigned, { ...none, signers: [first], schemes: V1 });
    const options = { ...none, signers: [second], schemes: V1, appendSignature: true };
    expect(await namesOf((await sign(apk, options)).apk)).toEqual([
      'AndroidManifest.xml',
      'META-INF/FIRST.SF',
      'META-INF/FIRST.RSA',
      'META-INF/SECOND.SF',
      'META-INF/SECOND.EC',
      'META-INF/MANIFEST.MF',
    ]);
  });

  test('keeps pairs that it does not know', async () => {
    const { apk } = await sign(unsigned, { ...none, signers: [first], schemes: V2 });
    const [v2] = await pairsOf(apk);
    if (v2 === undefined) throw new Error('The APK has no v2 pair');
    const strange = { id: 0x12345678, value: Uint8Array.of(1, 2, 3) };
    const { entriesEnd, centralDirectoryOffset } = await findApkSections(bytesSource(apk));
    const block = encodeSigningBlock([v2, strange]);
    const input = Buffer.concat([
      apk.subarray(0, entriesEnd),
      block,
      apk.subarray(centralDirectoryOffset),
    ]);
    const endAt = input.length - 22 + EOCD_CENTRAL_DIRECTORY_OFFSET_AT;
    input.writeUInt32LE(entriesEnd + block.length, endAt);
    const options = { ...none, signers: [second], schemes: V2 };
    const appended = await sign(input, { ...options, appendSignature: true });
    expect((await pairsOf(appended.apk)).map(({ id }) => id)).toContain(strange.id);
    const replaced = await sign(input, options);
    expect((await pairsOf(replaced.apk)).map(({ id }) => id)).not.toContain(strange.id);
  });

  test.each([
    [
      'entries change below a signature of v2',
      V2,
      { v1: true, v2: true, v3: false },
      /not be valid/,
    ],
    ['v3 has several signers', V2, { v1: false, v2: true, v3: true }, /v3 takes one signer/],
    ['v3 is of somebody else', { v1: false }, { v1: false }, /signed with v3, by others/],
    ['v3 would be void', { v1: false }, V2, /signed with v3, by others/],
    ['the manifest changes below a JAR signature', V1, V1, /JAR signatures .* not be valid/],
  ])('refuses when %s', async (name, before, now, message) => {
    const { apk } = await sign(unsigned, { ...none, signers: [first], schemes: before });
    // SHA-1, as Android 4.2 needs it, in another manifest.
    const minSdk = name.includes('manifest') ? 17 : undefined;
    const signers = minSdk === undefined ? [second] : [{ ...first, name: 'other' }];
    const appending = sign(apk, { ...none, signers, schemes: now, minSdk, appendSignature: true });
    await expect(appending).rejects.toThrow(message);
  });
});

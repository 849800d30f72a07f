/** Keys and small APKs for the tests of signing and verifying. */

import { createPrivateKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { buildApk } from '../../../../src/formats/apk/build.ts';
import { encodeManifest, type Manifest } from '../../../../src/formats/axml/manifest.ts';
import type { ZipInput } from '../../../../src/formats/zip/write.ts';
import { bytesSource } from '../../../../src/io/byte-source.ts';
import { bytesContent } from '../../../../src/io/file-tree.ts';
import { MemorySink } from '../../../../src/io/image-sink.ts';
import { signApk, type ApkSigner, type SignApkOptions } from '../../../../src/signing/apk/sign.ts';
import { keySigner, type Signer } from '../../../../src/signing/signer.ts';
import { createSelfSignedCertificate, decodeCertificatePem } from '../../../../src/signing/x509.ts';
import { corpusPath } from '../../../support/corpus.ts';

export interface KeyAndCertificate {
  readonly signer: Signer;
  readonly certificateDer: Uint8Array;
}

/** A key that is published with the corpus, such as `rsa-2048`. */
export function corpusKey(name: string): KeyAndCertificate {
  const [certificateDer] = decodeCertificatePem(
    readFileSync(corpusPath('sig-apksig', 'keys', `${name}.x509.pem`), 'latin1'),
  );
  if (certificateDer === undefined) throw new Error(`The corpus has no certificate ${name}`);
  const key = readFileSync(corpusPath('sig-apksig', 'keys', `${name}.pk8`));
  return {
    signer: keySigner(createPrivateKey({ key, format: 'der', type: 'pkcs8' })),
    certificateDer,
  };
}

/** The same as one who signs an APK. */
export function corpusSigner(name: string): ApkSigner {
  const { signer, certificateDer } = corpusKey(name);
  return { signer, certificates: [certificateDer] };
}

export const testKeyPath = 'test/fixtures/apk-rsa-2048.TEST_KEY_DO_NOT_USE.key';

/** Our own test key, with its self-signed certificate. */
export async function testKey(): Promise<KeyAndCertificate> {
  const signer = keySigner(createPrivateKey(readFileSync(testKeyPath)));
  const subject = [{ name: 'CN', value: 'test key, do not use' }] as const;
  return { signer, certificateDer: await createSelfSignedCertificate(signer, { subject }) };
}

export async function testSigner(): Promise<ApkSigner> {
  const { signer, certificateDer } = await testKey();
  return { signer, certificates: [certificateDer] };
}

export const testManifest: Manifest = {
  package: 'dev.microbuild.test',
  versionCode: 3,
  versionName: '1.0',
  minSdk: 30,
  targetSdk: 34,
  debuggable: false,
  hasCode: false,
  extractNativeLibs: false,
};

/** Pseudo-random bytes that are the same on every run. */
export function pattern(size: number, seed = 1): Uint8Array {
  const out = new Uint8Array(size);
  let state = seed;
  for (let at = 0; at < size; at++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    out[at] = state >>> 24;
  }
  return out;
}

export const testEntries = (size = 300): readonly ZipInput[] => [
  { name: 'lib/x86_64/libhello.so', content: bytesContent(pattern(size)) },
  { name: 'assets/hello.txt', content: bytesContent(new TextEncoder().encode('hello\n')) },
];

/** An unsigned APK in memory. */
export async function testApk(
  entries = testEntries(),
  manifest: Manifest = testManifest,
): Promise<Uint8Array> {
  const sink = new MemorySink();
  await buildApk({ manifest: encodeManifest(manifest), entries }, sink);
  return sink.bytes();
}

/** Signs in memory; v3 and v4 unless told otherwise. */
export async function sign(
  apk: Uint8Array,
  options: Partial<SignApkOptions> = {},
): Promise<{ readonly apk: Uint8Array; readonly idsig: Uint8Array }> {
  const output = new MemorySink();
  const idsig = new MemorySink();
  await signApk({
    signers: [await testSigner()],
    input: bytesSource(apk, 'test.apk'),
    output,
    idsig,
    schemes: { v1: false, v2: false, v3: true },
    ...options,
  });
  return { apk: output.bytes(), idsig: idsig.bytes() };
}

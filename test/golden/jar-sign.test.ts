/** The files of META-INF that apksigner made, made again from its inputs, byte for byte. */

import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { findAttribute, MANIFEST_NAME, parseManifest } from '../../src/formats/jar/manifest.ts';
import { openEntry } from '../../src/formats/zip/entry.ts';
import { readZip } from '../../src/formats/zip/read.ts';
import { bytesSource, type ByteSource } from '../../src/io/byte-source.ts';
import { digestEntries } from '../../src/signing/apk/jar/entry-digests.ts';
import { jarDigestAlgorithm, jarSignatureNames, signJar } from '../../src/signing/apk/jar/sign.ts';
import { readManifestFacts } from '../../src/signing/apk/verifier/manifest-facts.ts';
import { keySigner } from '../../src/signing/signer.ts';
import { corpus, corpusPath } from '../support/corpus.ts';

interface Golden {
  readonly in: string;
  readonly out: string;
  readonly signers: readonly string[];
  readonly options: Readonly<Record<string, string>>;
}

const read = (...parts: string[]): Uint8Array =>
  new Uint8Array(readFileSync(corpusPath('sig-apksig', ...parts)));

const goldens =
  corpus === undefined
    ? []
    : (
        JSON.parse(Buffer.from(read('golden.json')).toString('utf8')) as { golden: Golden[] }
      ).golden.filter(({ options }) => options['setV1SigningEnabled'] !== 'false');

async function readFile(source: ByteSource, name: string): Promise<Uint8Array | undefined> {
  const entry = (await readZip(source)).entries.find((each) => each.name === name);
  if (entry === undefined) return undefined;
  const chunks: Uint8Array[] = [];
  for await (const chunk of (await openEntry(source, entry)).stream()) chunks.push(chunk);
  return new Uint8Array(Buffer.concat(chunks));
}

function signerNamed(name: string) {
  const key = Buffer.from(read('keys', `${name}.pk8`));
  return {
    signer: keySigner(createPrivateKey({ key, format: 'der', type: 'pkcs8' })),
    certificates: [new Uint8Array(new X509Certificate(read('keys', `${name}.x509.pem`)).raw)],
    name,
  };
}

describe.skipIf(corpus === undefined)('signJar() over the goldens of apksig', () => {
  it.each(goldens)('makes the signature files of $out', async ({ options, ...golden }) => {
    const input = bytesSource(read('apk', golden.in));
    const output = bytesSource(read('apk', golden.out));
    // With a lineage, the oldest signer signs v1.
    const signers = golden.signers.slice(0, 1).map(signerNamed);
    const names = jarSignatureNames(signers);
    const expected = await Promise.all(names.map((name) => readFile(output, name)));
    const [signatureFile] = expected;
    if (signatureFile === undefined) throw new Error(`${golden.out} has no ${names[0]}`);

    const manifest = await readFile(input, 'AndroidManifest.xml');
    const given = options['setMinSdkVersion'];
    const minSdk =
      given === undefined
        ? readManifestFacts(manifest ?? new Uint8Array()).minSdk()
        : Number(given);
    const { main } = parseManifest(signatureFile);
    const schemes = main && findAttribute(main, 'X-Android-APK-Signed');
    const { entries } = await readZip(input);
    const digests = await digestEntries(input, entries, jarDigestAlgorithm(signers, minSdk));
    const files = await signJar({
      signers,
      minSdk,
      digests,
      schemes: (schemes ?? '')
        .split(', ')
        .filter((id) => id !== '')
        .map(Number),
      sourceManifest: await readFile(input, MANIFEST_NAME),
    });
    expect(files.map(({ name }) => name)).toEqual(names);
    expect(files.map(({ content }) => Buffer.from(content).toString('latin1'))).toEqual(
      expected.map((content) => Buffer.from(content ?? []).toString('latin1')),
    );
  });
});

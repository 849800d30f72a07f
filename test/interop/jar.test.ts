/** JAR signatures (v1) against apksigner: the same files from the same keys, and each other's verdict. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeManifest } from '../../src/formats/axml/manifest.ts';
import { buildApk } from '../../src/formats/apk/build.ts';
import { openEntry } from '../../src/formats/zip/entry.ts';
import { readZip } from '../../src/formats/zip/read.ts';
import { bytesSource } from '../../src/io/byte-source.ts';
import { bytesContent } from '../../src/io/file-tree.ts';
import { MemorySink } from '../../src/io/image-sink.ts';
import { verifyJar } from '../../src/signing/apk/jar/verify.ts';
import { signApk } from '../../src/signing/apk/sign.ts';
import { openApk, readEntries } from '../../src/signing/apk/verifier/apk-view.ts';
import { createIssueLog } from '../../src/signing/apk/verifier/issue.ts';
import { corpus, corpusPath } from '../support/corpus.ts';
import { runTool } from '../support/tools.ts';
import { corpusSigner, testManifest } from '../unit/signing/apk/fixtures.ts';

const CASES = [
  { minSdk: 1, keys: ['rsa-1024'] },
  { minSdk: 18, keys: ['rsa-2048', 'ec-p256'] },
  { minSdk: 21, keys: ['dsa-1024', 'rsa-4096'] },
] as const;

/** Names that need continuation lines, of which one ends inside a character. */
const ENTRIES = ['assets/a.txt', `assets/${'d'.repeat(90)}`, `assets/${'é'.repeat(40)}/x`];

let folder: string;
const file = (name: string): string => join(folder, name);

async function unsigned(minSdk: number): Promise<Uint8Array> {
  const sink = new MemorySink();
  const manifest = encodeManifest({ ...testManifest, minSdk, targetSdk: 28 });
  const entries = ENTRIES.map((name) => ({ name, content: bytesContent(Buffer.from(name)) }));
  await buildApk({ manifest, entries }, sink);
  return sink.bytes();
}

const signersOf = (keys: readonly string[]) =>
  keys.map((name) => ({ ...corpusSigner(name), name }));

async function signWithOurs(apk: Uint8Array, keys: readonly string[]): Promise<Uint8Array> {
  const output = new MemorySink();
  await signApk({
    input: bytesSource(apk),
    output,
    signers: signersOf(keys),
    schemes: { v1: true, v2: false, v3: false },
  });
  return output.bytes();
}

function signWithApksigner(name: string, minSdk: number, keys: readonly string[]): Uint8Array {
  const args = keys.flatMap((key, index) => [
    ...(index === 0 ? [] : ['--next-signer']),
    `--key=${corpusPath('sig-apksig', 'keys', `${key}.pk8`)}`,
    `--cert=${corpusPath('sig-apksig', 'keys', `${key}.x509.pem`)}`,
    `--v1-signer-name=${key}`,
  ]);
  const schemes = [1, 2, 3, 4].map((scheme) => `--v${scheme}-signing-enabled=${scheme === 1}`);
  const result = runTool('apksigner', [
    'sign',
    `--min-sdk-version=${minSdk}`,
    ...schemes,
    ...args,
    `--in=${file(name)}`,
    `--out=${file(`${name}.theirs`)}`,
  ]);
  expect(result).toMatchObject({ status: 0 });
  return new Uint8Array(readFileSync(file(`${name}.theirs`)));
}

/** The files of META-INF, but for blocks of keys whose signatures are random. */
async function comparableFiles(apk: Uint8Array): Promise<ReadonlyMap<string, string>> {
  const source = bytesSource(apk);
  const files = new Map<string, string>();
  for (const entry of (await readZip(source)).entries) {
    if (!entry.name.startsWith('META-INF/') || /\.(?:EC|DSA)$/.test(entry.name)) continue;
    const chunks: Uint8Array[] = [];
    for await (const chunk of (await openEntry(source, entry)).stream()) chunks.push(chunk);
    files.set(entry.name, Buffer.concat(chunks).toString('latin1'));
  }
  return files;
}

async function errorsIn(apk: Uint8Array, minSdk: number): Promise<readonly string[]> {
  const view = await openApk(bytesSource(apk));
  const log = createIssueLog();
  const range = { minSdk, maxSdk: 0x7fff_ffff, foundSchemes: new Set<number>() };
  await verifyJar(view, await readEntries(view), range, log);
  return log.issues.filter(({ severity }) => severity === 'error').map(({ name }) => name);
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mb-jar-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe.skipIf(corpus === undefined)('JAR signatures', () => {
  it.each(CASES)('of $keys from SDK $minSdk are those of apksigner', async ({ minSdk, keys }) => {
    const apk = await unsigned(minSdk);
    writeFileSync(file(`${minSdk}.apk`), apk);
    const theirs = signWithApksigner(`${minSdk}.apk`, minSdk, keys);
    const ours = await signWithOurs(apk, keys);
    expect(await comparableFiles(ours)).toEqual(await comparableFiles(theirs));
    expect(await errorsIn(theirs, minSdk)).toEqual([]);
    expect(await errorsIn(ours, minSdk)).toEqual([]);
    writeFileSync(file(`${minSdk}.ours`), ours);
    const verdict = runTool('apksigner', ['verify', '--verbose', file(`${minSdk}.ours`)]);
    expect(verdict.stdout).toContain('Verified using v1 scheme (JAR signing): true');
    expect(verdict.stdout).toContain(`Number of signers: ${keys.length}`);
  });
});

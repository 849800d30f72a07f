/** Package and version of a manifest: the guest's reading against aapt's and our own. */

import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeManifest, encodeManifest } from '../../src/formats/axml/manifest.ts';
import { openEntry } from '../../src/formats/zip/entry.ts';
import { readZip } from '../../src/formats/zip/read.ts';
import { bytesSource } from '../../src/io/byte-source.ts';
import { corpus, corpusPath } from '../support/corpus.ts';
import { runTool } from '../support/tools.ts';

/** What the guest reads in each: "PACKAGE VERSION", or an error. */
function guestReadings(manifests: readonly Uint8Array[]): readonly string[] {
  const parts = manifests.flatMap((manifest) => {
    const size = Buffer.alloc(4);
    size.writeUInt32LE(manifest.length);
    return [size, manifest];
  });
  const { status, stdout, stderr } = runTool(
    'cargo',
    ['run', '--quiet', '--package', 'microbuild-formats', '--example', 'android_manifest'],
    { input: Buffer.concat(parts) },
  );
  expect(stderr).toBe('');
  expect(status).toBe(0);
  return stdout.split('\n').slice(0, -1);
}

async function manifestOf(apk: Uint8Array): Promise<Uint8Array | undefined> {
  const source = bytesSource(apk);
  const { entries } = await readZip(source);
  const entry = entries.find(({ name }) => name === 'AndroidManifest.xml');
  if (entry === undefined) return undefined;
  const chunks: Uint8Array[] = [];
  for await (const chunk of (await openEntry(source, entry)).stream()) chunks.push(chunk);
  return new Uint8Array(Buffer.concat(chunks));
}

describe('the guest reads', () => {
  test('what our encoder writes', () => {
    const segment = fc.stringMatching(/^[A-Za-z][A-Za-z0-9_]{0,12}$/);
    const made = fc.sample(
      fc.record({
        package: fc.array(segment, { minLength: 2, maxLength: 5 }).map((parts) => parts.join('.')),
        versionCode: fc.nat(0x7fffffff),
        minSdk: fc.constant(24),
        targetSdk: fc.constant(35),
        debuggable: fc.boolean(),
        hasCode: fc.boolean(),
        extractNativeLibs: fc.boolean(),
      }),
      { numRuns: 300, seed: 3 },
    );
    expect(guestReadings(made.map(encodeManifest))).toEqual(
      made.map((manifest) => `${manifest.package} ${manifest.versionCode}`),
    );
  });

  test.skipIf(corpus === undefined)('what aapt and our decoder read', async () => {
    const folder = corpusPath('sig-apksig', 'apk');
    const manifests: Uint8Array[] = [];
    const expected: string[] = [];
    for (const name of readdirSync(folder).filter((file) => file.endsWith('.apk'))) {
      const path = `${folder}/${name}`;
      const { status, stdout } = runTool('aapt', ['dump', 'badging', path]);
      const [, pack, version = ''] =
        /^package: name='([^']+)' versionCode='(\d*)'/m.exec(stdout) ?? [];
      if (status !== 0 || pack === undefined) continue;
      const manifest = await manifestOf(readFileSync(path)).catch(() => undefined);
      if (manifest === undefined) continue;
      const wanted = `${pack} ${version === '' ? '0' : version}`;
      const ours = decodeManifest(manifest);
      expect(`${ours.package} ${ours.versionCode}`).toBe(wanted);
      manifests.push(manifest);
      expected.push(wanted);
      if (manifests.length === 60) break;
    }
    expect(manifests.length).toBeGreaterThan(20);
    expect(guestReadings(manifests)).toEqual(expected);
  });
});

/** Detached APK signatures against apksigcopier, which F-Droid uses: what it makes, we make. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bytesSource } from '../../src/io/byte-source.ts';
import { MemorySink } from '../../src/io/image-sink.ts';
import { compareApks } from '../../src/signing/detached/apk-compare.ts';
import { splitApk } from '../../src/signing/detached/apk-pieces.ts';
import { putApkTogether } from '../../src/signing/detached/apk-replace.ts';
import { runTool } from '../support/tools.ts';
import { pattern, sign, testApk, testEntries } from '../unit/signing/apk/fixtures.ts';
import { bytesContent } from '../../src/io/file-tree.ts';

let folder: string;
const at = (name: string): string => join(folder, name);
const bytes = (name: string): Buffer => readFileSync(at(name));

const SCHEMES = [
  ['v1', { v1: true, v2: false, v3: false }],
  ['v1 and v2', { v1: true, v2: true, v3: false }],
  ['v1, v2 and v3', { v1: true, v2: true, v3: true }],
  ['v3', { v1: false, v2: false, v3: true }],
] as const;

/** A build of which a part can be compressed, and more than one page long. */
const build = (text = 'text\n'): Promise<Uint8Array> =>
  testApk([
    ...testEntries(9000),
    {
      name: 'assets/page.txt',
      content: bytesContent(Buffer.from(text.repeat(500))),
      compress: true,
    },
    { name: 'assets/random', content: bytesContent(pattern(777, 5)) },
  ]);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'microbuild-copier-'));
  writeFileSync(at('build.apk'), await build());
  writeFileSync(at('other.apk'), await build('other\n'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** apksigcopier asks apksigner whether its result verifies. */
const copier = (...args: string[]) => runTool('apksigcopier', args);

describe.each(SCHEMES)('a signature of %s', (name, schemes) => {
  const signed = `${name}.apk`;
  const v1Only = name === 'v1' ? ['--v1-only=yes'] : [];
  // There is no v4 over v1.
  const withoutV4 = name === 'v1' ? { idsig: undefined } : {};
  beforeAll(async () => {
    writeFileSync(
      at(signed),
      (await sign(bytes('build.apk'), { schemes, minSdk: 21, ...withoutV4 })).apk,
    );
  });

  test('is put onto the build as apksigcopier does it: the signed APK', async () => {
    const out = at(`${name} copied.apk`);
    const run = copier('copy', ...v1Only, at(signed), at('build.apk'), out);
    expect([run.status, run.stderr]).toEqual([0, '']);
    const sink = new MemorySink();
    const signature = await splitApk(bytesSource(bytes(signed)));
    await putApkTogether(signature, bytesSource(bytes('build.apk')), sink);
    expect(Buffer.compare(sink.bytes(), bytes(signed))).toBe(0);
    expect(Buffer.compare(sink.bytes(), readFileSync(out))).toBe(0);
  });
});

test('both say of a rebuild whether it is what was signed', async () => {
  const signature = await splitApk(bytesSource(bytes('v1, v2 and v3.apk')));
  for (const [name, same] of [
    ['build.apk', true],
    ['other.apk', false],
  ] as const) {
    const { differences } = compareApks(signature, await splitApk(bytesSource(bytes(name))));
    expect(differences.length === 0).toBe(same);
    const how = ['compare', '--unsigned', at('v1, v2 and v3.apk'), at(name)];
    expect(copier(...how).status === 0).toBe(same);
  }
});

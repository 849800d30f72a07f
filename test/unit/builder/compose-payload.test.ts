import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { composePayload, type ComposeOptions } from '../../../src/builder/compose-payload.ts';
import { LABELS } from '../../../src/bundle/layout.ts';
import { decodePayloadMetadata } from '../../../src/formats/payload-metadata/metadata.ts';
import { partitionSource, readGpt } from '../../../src/formats/gpt/reader.ts';
import { bytesContent } from '../../../src/io/file-tree.ts';
import { openFileSource } from '../../../src/io/byte-source.ts';
import { pattern, sign, testApk, testEntries } from '../signing/apk/fixtures.ts';

const CONFIG = { task: { type: 'microdroid_launcher', command: 'libhello.so' } };
const folder = mkdtempSync(join(tmpdir(), 'microbuild-test-'));
const at = (name: string): string => join(folder, name);

beforeAll(async () => {
  const library = (name: string) => ({
    name: `lib/x86_64/${name}`,
    content: bytesContent(pattern(300)),
  });
  const config = {
    name: 'assets/vm_config.json',
    content: bytesContent(Buffer.from(JSON.stringify(CONFIG))),
  };
  const apks = {
    'one.apk': testEntries(),
    'two.apk': [library('liba.so'), library('libb.so')],
    'config.apk': [library('libhello.so'), config],
  };
  for (const [name, entries] of Object.entries(apks)) {
    const { apk, idsig } = await sign(await testApk(entries));
    writeFileSync(at(name), apk);
    writeFileSync(at(`${name}.idsig`), idsig);
  }
  const broken = Buffer.from((await sign(await testApk())).apk);
  broken.writeUInt8(broken.readUInt8(80) ^ 1, 80);
  writeFileSync(at('broken.apk'), broken);
});

afterAll(() => rmSync(folder, { recursive: true }));

let count = 0;
async function compose(options: Partial<ComposeOptions> & { readonly apk: string }) {
  const scratch = at(`scratch-${count++}`);
  mkdirSync(scratch);
  const { path, payload } = await composePayload({
    extraApks: [],
    arch: 'x86_64',
    name: 'test',
    scratch,
    ...options,
    apk: at(options.apk),
  });
  const disk = await openFileSource(path);
  const table = await readGpt(disk);
  const metadata = partitionSource(disk, table, LABELS.metadata);
  const { payload: start } = decodePayloadMetadata(await metadata.read(0, metadata.size));
  await disk.close();
  return { payload, start, labels: table.partitions.map(({ label }) => label) };
}

describe('composePayload()', () => {
  test('runs the only library there is, and makes the idsig', async () => {
    const { payload, start, labels } = await compose({ apk: 'one.apk' });
    expect(payload).toEqual({
      package: 'dev.microbuild.test',
      versionCode: 3,
      entry: 'libhello.so',
    });
    expect(start).toEqual({
      kind: 'config',
      payloadBinaryName: 'libhello.so',
      extraApkCount: 0,
    });
    expect(labels).toEqual(['payload-metadata', 'microdroid-apk', 'microdroid-apk-idsig']);
  });

  test('takes an idsig that is given, and further APKs', async () => {
    const { start, labels } = await compose({
      apk: 'one.apk',
      idsig: at('one.apk.idsig'),
      extraApks: [{ apk: at('two.apk') }, { apk: at('config.apk'), idsig: at('config.apk.idsig') }],
    });
    expect(start).toMatchObject({ extraApkCount: 2 });
    expect(labels.slice(3)).toEqual([
      'extra-apk-0',
      'extra-idsig-0',
      'extra-apk-1',
      'extra-idsig-1',
    ]);
  });

  test('prefers the configuration that an APK brings, unless a library is named', async () => {
    expect((await compose({ apk: 'config.apk' })).start).toEqual({
      kind: 'config-path',
      path: '/mnt/apk/assets/vm_config.json',
    });
    const { start } = await compose({ apk: 'config.apk', payloadBinaryName: 'libhello.so' });
    expect(start).toMatchObject({ kind: 'config' });
  });

  test.each([
    ['two.apk', {}, 'Name one with --payload-binary-name: liba.so, libb.so'],
    ['one.apk', { arch: 'aarch64' }, 'The guest is aarch64'],
  ] as const)('asks what to run of %s', async (apk, options, hint) => {
    await expect(compose({ apk, ...options })).rejects.toMatchObject({
      hint: expect.stringContaining(hint) as string,
    });
  });

  test.each([
    ['broken.apk', {}, /broken\.apk: Digest mismatch/],
    ['one.apk', { payloadBinaryName: 'libnone.so' }, /has no lib\/x86_64\/libnone\.so/],
    ['one.apk', { configPath: 'assets/x.json' }, /has no assets\/x\.json/],
    ['one.apk', { idsig: at('two.apk.idsig') }, /one\.apk: .*idsig/],
  ] as const)('refuses %s with %j', async (apk, options, message) => {
    await expect(compose({ apk, ...options })).rejects.toThrow(message);
  });
});

/** What a payload sees of its APK, in one boot: AOSP zipfuse's modes, every byte, and no byte twice in memory. */

import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openSandbox, type Sandbox } from '../support/cli.ts';

/** Large enough to stand out in what the kernel counts, small enough to fit a small machine once. */
const LARGE_SIZE = 24 << 20;
const KIB = 1024;

let sandbox: Sandbox;
let told: Readonly<Record<string, string>>;
let large: Buffer;
let packed: Buffer;

/** FNV-1a of 32 bits, as the payload computes it. */
function sum(bytes: Uint8Array): string {
  let state = 0x811c9dc5;
  for (const byte of bytes) state = Math.imul(state ^ byte, 0x01000193);
  return (state >>> 0).toString(16).padStart(8, '0');
}

/** Bytes that do not compress, or text that does. */
function content(size: number, mask: number): Buffer {
  const out = Buffer.alloc(size);
  for (let at = 0, state = 1; at < size; at++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    out[at] = (state >>> 24) & mask;
  }
  return out;
}

beforeAll(async () => {
  sandbox = openSandbox();
  const folder = join(sandbox.folder, 'view');
  cpSync('test/fixtures/apk-view', join(folder, 'src'), { recursive: true });
  cpSync('recipes/hello/microbuild.lock', join(folder, 'microbuild.lock'));
  // The start is that of a real library: a recipe may name nothing else.
  large = content(LARGE_SIZE, 0xff);
  readFileSync('target/guest/x86_64/libvm_payload.so').copy(large);
  packed = content(3_000_000, 0x0f);
  writeFileSync(join(folder, 'liblarge.so'), large);
  writeFileSync(join(folder, 'packed'), packed);
  writeFileSync(
    join(folder, 'microbuild.yaml'),
    `apiVersion: microbuild/v1
name: view
partitions:
  system: { contents: [{ guest: runtime }, { deb: musl, exclude: [/usr] }] }
payload:
  package: dev.microbuild.view
  versionCode: 1
  build: { command: [make, -C, src], inputs: [src], outputs: [src/build/libview.so] }
  libraries: { x86_64: [src/build/libview.so, liblarge.so] }
  files: [{ file: packed, to: res/packed }, { file: src/build/libview.so, to: bin/tool }]
  entry: libview.so
vm: { memory: 128MiB }
`,
  );
  const bundle = join(sandbox.folder, 'bundle');
  const made = await sandbox.microbuild(['image', folder, '-o', bundle]);
  expect(made.stderr).not.toContain('error:');
  const run = await sandbox.microbuild([
    'run',
    bundle,
    '--name=view',
    '--timeout=120',
    '--console',
  ]);
  const log = join(sandbox.runFolder, 'view', 'log');
  const output = `${run.stdout}${run.stderr}${readFileSync(log, 'utf8')}`;
  const lines = [...output.matchAll(/^view: ([^=\n]+)=([^\r\n]*)/gm)];
  told = Object.fromEntries(lines.map(([, key = '', value = '']) => [key, value]));
});
afterAll(() => sandbox.dispose());

test('files can be read, programs executed, directories listed, and nothing written', () => {
  expect(told).toMatchObject({
    '/mnt/apk': '40550 0:6000 0',
    '/mnt/apk/res': '40550 0:6000 0',
    '/mnt/apk/res/packed': `100440 0:6000 ${packed.length}`,
    '/mnt/apk/lib/x86_64/liblarge.so': `100440 0:6000 ${large.length}`,
    '/mnt/apk/none': 'No such file or directory',
    map: 'ELF',
    write: 'Read-only file system',
  });
  expect(told['/mnt/apk/bin/tool']).toMatch(/^100550 0:6000 /);
});

test('every byte is that of the APK, stored or compressed', () => {
  expect(told['sum /mnt/apk/lib/x86_64/liblarge.so']).toBe(sum(large));
  expect(told['sum /mnt/apk/res/packed']).toBe(sum(packed));
});

test('what has been read is in memory once', () => {
  const inMemory = (when: string): number =>
    Number(told[`buffers ${when}`]) + Number(told[`cached ${when}`]);
  const cached = Number(told['cached after']) - Number(told['cached before']);
  expect(cached * KIB).toBeGreaterThan(LARGE_SIZE * 0.9);
  // What the verification left in the cache of the block device has been let go of.
  const grown = inMemory('after') - inMemory('before');
  expect(grown * KIB).toBeLessThan(LARGE_SIZE * 1.1);
  expect(Number(told['buffers after']) * KIB).toBeLessThan(LARGE_SIZE * 0.5);
});

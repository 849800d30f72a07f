/** GNU cpio lists and unpacks our initrd; lz4 makes the kernels that we unpack. */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { encodeInitrd } from '../../src/formats/boot-image/initrd.ts';
import { decodeLz4Legacy } from '../../src/formats/boot-image/lz4-legacy.ts';
import { readCpio } from '../../src/formats/cpio/newc.ts';
import { bytesSource } from '../../src/io/byte-source.ts';
import { bytesContent } from '../../src/io/file-tree.ts';
import { tmpDir } from '../support/tmp-dir.ts';
import { runTool } from '../support/tools.ts';

const pattern = (size: number): Uint8Array =>
  Uint8Array.from({ length: size }, (_, index) => (index * 7 + (index >> 8)) & 0xff);

async function initrd(): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  const content = encodeInitrd({
    init: bytesContent(pattern(100_001)),
    modules: [
      { name: 'virtio.ko', content: bytesContent(pattern(5000)) },
      { name: 'erofs.ko', content: bytesContent(pattern(3)) },
    ],
    bootconfig: [{ key: 'androidboot.veritymode', values: ['enforcing'] }],
    mtime: 1611926769,
  });
  for await (const chunk of content.stream()) chunks.push(chunk);
  return new Uint8Array(Buffer.concat(chunks));
}

test('GNU cpio lists the members, modes and times', async () => {
  const { status, stdout } = runTool('cpio', ['-t', '-v', '-n'], {
    input: await initrd(),
    env: { ...process.env, TZ: 'UTC', LC_ALL: 'C' },
  });
  expect(status).toBe(0);
  const lines = stdout.trim().split('\n');
  expect(lines.map((line) => `${line.slice(0, 10)} ${line.split(/\s+/).at(-1)}`)).toEqual([
    'drwxr-xr-x dev',
    'drwxr-xr-x proc',
    'drwxr-xr-x sys',
    'drwxr-xr-x newroot',
    '-rwxr-xr-x init',
    '-rw-r--r-- modules.order',
    'drwxr-xr-x modules',
    '-rw-r--r-- modules/virtio.ko',
    '-rw-r--r-- modules/erofs.ko',
    '-r--r--r-- bootconfig',
  ]);
  expect(lines.every((line) => /\s0\s+0\s/.test(line) && line.includes('Jan 29  2021'))).toBe(true);
});

test('GNU cpio unpacks the bytes that went in', async () => {
  const folder = tmpDir();
  const { status } = runTool('cpio', ['-i', '--no-absolute-filenames', '-d', '--quiet'], {
    input: await initrd(),
    cwd: folder,
  });
  expect(status).toBe(0);
  expect(new Uint8Array(readFileSync(join(folder, 'init')))).toEqual(pattern(100_001));
  expect(readFileSync(join(folder, 'modules.order'), 'utf8')).toBe('virtio.ko\nerofs.ko\n');
  expect(new Uint8Array(readFileSync(join(folder, 'modules/erofs.ko')))).toEqual(pattern(3));
  expect(readFileSync(join(folder, 'bootconfig'), 'latin1')).toContain('#BOOTCONFIG\n');
});

test('an archive of GNU cpio is read', async () => {
  const folder = tmpDir();
  writeFileSync(join(folder, 'a'), pattern(10));
  writeFileSync(join(folder, 'name with \u00e9'), pattern(4096));
  const made = join(tmpDir(), 'archive.cpio');
  const { status } = runTool('cpio', ['-o', '-H', 'newc', '--quiet', '-O', made], {
    input: 'a\nname with \u00e9\n',
    cwd: folder,
  });
  expect(status).toBe(0);
  const data = new Uint8Array(readFileSync(made));
  const { entries } = await readCpio(bytesSource(data));
  expect(entries.map(({ name, dataSize }) => [name, dataSize])).toEqual([
    ['a', 10],
    ['name with \u00e9', 4096],
  ]);
  const second = entries[1]?.dataOffset ?? 0;
  expect(data.slice(second, second + 4096)).toEqual(pattern(4096));
});

test('legacy streams of lz4 are decoded, over several blocks', () => {
  const folder = tmpDir();
  const data = pattern(20_000_000);
  // Stretches that do not compress, beside those that do.
  for (let at = 0; at < data.length; at += 3) data[at] = (at * at) >> 7;
  writeFileSync(join(folder, 'in'), data);
  for (const level of ['-1', '-12']) {
    const { status } = runTool('lz4', ['-l', '-f', '-q', level, 'in', 'out'], { cwd: folder });
    expect(status).toBe(0);
    const decoded = decodeLz4Legacy(readFileSync(join(folder, 'out')), data.length);
    expect(Buffer.compare(decoded, data)).toBe(0);
  }
});

/** Archives of bundles, read by the tar programs that people have. */

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { writeBundle } from '../../src/bundle/write.ts';
import { layoutAligned } from '../../src/formats/tar/aligned.ts';
import { tmpDir } from '../support/tmp-dir.ts';
import { runTool } from '../support/tools.ts';

const files: readonly (readonly [name: string, size: number])[] = [
  ['kernel', 5000],
  ['interfaces/IHello.aidl', 300],
  ['os.img', 4096],
  ['empty', 0],
  [`interfaces/${'x'.repeat(150)}.aidl`, 10],
];
const contentOf = (name: string, size: number): Buffer => Buffer.alloc(size, name);

test('GNU tar and Python unpack every file as it was', async () => {
  const folder = tmpDir();
  const path = join(folder, 'some.mbundle');
  await writeBundle(path, async (at) => {
    mkdirSync(join(at, 'interfaces'));
    for (const [name, size] of files) writeFileSync(join(at, name), contentOf(name, size));
    return Promise.resolve();
  });
  const python =
    'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2], filter="data")';
  for (const [program, ...args] of [
    ['tar', '-x', '-f', path, '-C', join(folder, 'tar')],
    ['python3', '-c', python, path, join(folder, 'python3')],
  ] as const) {
    mkdirSync(join(folder, program));
    const { status, stderr } = runTool(program, args);
    expect([program, status, stderr]).toEqual([program, 0, '']);
    for (const [name, size] of files) {
      const read = readFileSync(join(folder, program, name));
      expect(`${name} ${read.equals(contentOf(name, size))}`).toBe(`${name} true`);
    }
  }
});

test('GNU tar sees the size of a file beyond 8 GiB, and what follows it', async () => {
  const path = join(tmpDir(), 'large.tar');
  const size = 9 * 2 ** 30;
  const layout = layoutAligned([
    { name: 'os.img', size },
    { name: 'payload.img', size: 4096 },
  ]);
  const file = await open(path, 'wx');
  await file.truncate(layout.size);
  for (const { offset, bytes } of layout.heads) await file.write(bytes, 0, bytes.length, offset);
  await file.close();
  const { stdout, stderr } = runTool('tar', ['-t', '-v', '-f', path]);
  expect(stderr).toBe('');
  expect(stdout).toMatch(
    /^-rw-r--r-- root\/root 9663676416 2021-01-29 \S+ os\.img\n-rw-r--r-- root\/root +4096 \S+ \S+ payload\.img\n$/,
  );
});

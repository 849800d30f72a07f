import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readStamp, watchInputs, writeStamp } from '../../../src/cache/build-stamp.ts';
import { writeOwnFile } from '../../../src/cache/own-file.ts';
import { openStatDigests } from '../../../src/cache/stat-digests.ts';
import { readRegular } from '../../../src/io/read-regular.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

const things: Record<string, (path: string) => void> = {
  'a folder': (path) => mkdirSync(join(path, 'x'), { recursive: true }),
  'a link': (path) => symlinkSync('/etc/hostname', path),
  'a pipe': (path) => void execFileSync('mkfifo', [path]),
};

describe.each(Object.keys(things))('%s in the place of a file of the cache', (name) => {
  const put = things[name] as (path: string) => void;

  test('is as nothing, and is written over', async () => {
    const path = join(tmpDir(), 'a', 'file');
    mkdirSync(dirname(path));
    put(path);
    expect(await readRegular(path)).toBeUndefined();
    await writeOwnFile(path, 'new');
    expect(String(await readRegular(path))).toBe('new');
    expect(statSync(path).mode & 0o7777).toBe(0o600);
  });

  test('costs digests and stamps, and nothing else', async () => {
    const folder = tmpDir();
    const digests = join(folder, 'digests');
    put(digests);
    const input = join(folder, 'input');
    writeFileSync(input, 'x');
    const table = await openStatDigests(digests);
    table.remember(input, new Uint8Array(32), new Uint32Array(14));
    await table.save();
    expect(statSync(digests).isFile()).toBe(true);

    const stamps = join(folder, 'microbuild', 'stamps');
    const subject = { output: join(folder, 'out'), facts: {} };
    writeFileSync(subject.output, 'made');
    const stamp = { inputs: watchInputs(), outputs: [subject.output], value: 1 };
    mkdirSync(dirname(stamps));
    put(stamps);
    expect(await readStamp({ directory: folder }, subject)).toBeUndefined();
    expect(await writeStamp({ directory: folder }, subject, stamp)).toBe(true);
    expect(await readStamp({ directory: folder }, subject)).toEqual({ value: 1 });
  });
});

test('more than is asked for is not read', async () => {
  const path = join(tmpDir(), 'file');
  writeFileSync(path, '12345');
  expect(await readRegular(path, 4)).toBeUndefined();
  expect(await readRegular(path, 5)).toEqual(readFileSync(path));
});

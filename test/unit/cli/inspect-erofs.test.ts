/** `microbuild inspect IMAGE ls|stat|cat|extract` and `microbuild erofs check` as a user meets them. */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runCommandLine } from '../../../src/cli/command.ts';
import { loadCommands } from '../../../src/cli/commands.ts';
import { planErofs } from '../../../src/formats/erofs/plan.ts';
import { writeErofs } from '../../../src/formats/erofs/writer.ts';
import { layoutGpt, writeGpt } from '../../../src/formats/gpt/gpt.ts';
import { bytesContent, directory, regularFile, symlink } from '../../../src/io/file-tree.ts';
import { MemorySink } from '../../../src/io/image-sink.ts';
import { openSandbox, type Sandbox } from '../../support/cli.ts';

let sandbox: Sandbox;
const at = (name: string): string => join(sandbox.folder, name);

async function run(...args: string[]): Promise<{ status: number; stdout: string; stderr: string }> {
  let stdout = '';
  let stderr = '';
  const status = await runCommandLine(args, await loadCommands(args), {
    terminal: {
      interactive: false,
      out: (text) => (stdout += `${text}\n`),
      err: (text) => (stderr += `${text}\n`),
      style: (_style, text) => text,
    },
    env: {},
    signal: new AbortController().signal,
    version: '0',
  });
  return { status, stdout, stderr };
}

async function makeImage(): Promise<Uint8Array> {
  const root = directory();
  const etc = directory();
  root.children.set('etc', etc);
  etc.children.set('motd', regularFile(bytesContent(Buffer.from('welcome\0\xff', 'latin1'))));
  etc.children.set('line\nbreak', symlink('/etc/\u001b[31mred'));
  const sink = new MemorySink();
  await writeErofs(planErofs(root, { buildTime: 1, uuid: new Uint8Array(16) }), sink);
  return sink.bytes();
}

async function makeDisk(image: Uint8Array, labels: readonly string[]): Promise<Uint8Array> {
  const layout = layoutGpt({
    diskGuid: new Uint8Array(16).fill(1),
    partitions: labels.map((label, index) => ({
      label,
      guid: new Uint8Array(16).fill(index + 2),
      size: image.length,
    })),
  });
  const sink = new MemorySink();
  await writeGpt(sink, layout);
  const disk = sink.bytes();
  for (const { offset } of layout.partitions) disk.set(image, offset);
  return disk;
}

beforeAll(async () => {
  sandbox = openSandbox();
  const image = await makeImage();
  writeFileSync(at('image'), image);
  writeFileSync(at('disk'), await makeDisk(image, ['system']));
  writeFileSync(at('two'), await makeDisk(image, ['one', 'other']));
  const broken = image.slice();
  broken[3000]! ^= 1;
  writeFileSync(at('broken'), broken);
});
afterAll(() => sandbox.dispose());

describe('inspect IMAGE', () => {
  test('ls lists names, with control characters that no terminal obeys', async () => {
    expect((await run('inspect', at('image'), 'ls')).stdout).toBe('/etc\n');
    const { stdout } = await run('inspect', at('image'), 'ls', '/', '-lR');
    const lines = stdout.trimEnd().split('\n');
    expect(lines[0]).toMatch(/^drwxr-xr-x 2 0 0 +\d+ 1970-01-01T00:00:00Z \/etc$/);
    expect(lines[1]).toMatch(/^lrwxrwxrwx .* \/etc\/line\\x0abreak -> \/etc\/\\x1b\[31mred$/);
    expect(lines).toHaveLength(3);
  });

  test('ls and stat speak JSON', async () => {
    const list = await run('inspect', at('image'), 'ls', '/etc', '--json');
    expect(JSON.parse(list.stdout)).toMatchObject([
      { path: '/etc/line\nbreak', kind: 'symlink' },
      { path: '/etc/motd', kind: 'file', size: 9, modeText: '-rw-r--r--' },
    ]);
    const one = await run('inspect', at('image'), 'stat', '/etc/motd', '--json');
    expect(JSON.parse(one.stdout)).toMatchObject({ path: '/etc/motd', links: 1, xattrs: {} });
    expect((await run('inspect', at('image'), 'stat', '/etc/motd')).stdout).toMatch(/^size +9$/m);
  });

  test('cat writes the very bytes', async () => {
    const { status, stdout } = await sandbox.microbuild([
      'inspect',
      at('image'),
      'cat',
      '/etc/motd',
    ]);
    expect([status, stdout]).toEqual([0, 'welcome\0\ufffd']);
  });

  test('extract writes a folder, once', async () => {
    const args = ['inspect', at('image'), 'extract', '/etc', at('out')];
    expect((await run(...args)).stdout).toMatch(/1 files, 1 folders, 1 symbolic links/);
    expect(readFileSync(join(at('out'), 'motd')).toString('latin1')).toBe('welcome\0\xff');
    const again = await run(...args);
    expect(again.status).toBe(2);
    expect(again.stderr).toMatch(/exists already/);
  });

  test('a disk is seen through, by the label where several hold EROFS', async () => {
    expect((await run('inspect', at('disk'), 'ls', '/etc')).stdout).toMatch(/motd/);
    const unclear = await run('inspect', at('two'), 'ls');
    expect(unclear.status).toBe(2);
    expect(unclear.stderr).toMatch(/--partition: one, other/);
    expect((await run('inspect', at('two'), 'ls', '--partition', 'other')).stdout).toBe('/etc\n');
    const none = await run('inspect', at('two'), 'ls', '--partition', 'third');
    expect([none.status, none.stderr]).toEqual([2, expect.stringMatching(/It has one, other/)]);
  });

  test.each([
    ['a path that is not there', ['cat', '/etc/none'], 2, /has no "none"/],
    ['a folder as a file', ['cat', '/etc'], 2, /is a directory/],
    ['no path', ['cat'], 2, /cat PATH/],
    ['bytes as JSON', ['cat', '/etc/motd', '--json'], 2, /Leave out --json/],
    ['a path that is not absolute', ['ls', 'etc'], 2, /start with a slash/],
    ['an unknown verb', ['frobnicate'], 2, /frobnicate/],
  ])('%s is refused with what to do', async (_, args, status, message) => {
    const result = await run('inspect', at('image'), ...args);
    expect(result.status).toBe(status);
    expect(result.stderr).toMatch(message);
  });

  test('a damaged image fails as a verification does', async () => {
    const result = await run('inspect', at('broken'), 'ls');
    expect(result.status).toBe(3);
    expect(result.stderr).toMatch(/checksum/);
  });
});

describe('erofs check', () => {
  test('says that all is well, of images and on disks', async () => {
    const result = await run('erofs', 'check', at('disk'));
    expect([result.status, result.stdout]).toEqual([0, expect.stringMatching(/no problems/)]);
    const { stdout } = await run('erofs', 'check', at('image'), '--json');
    expect(JSON.parse(stdout)).toMatchObject({ ok: true, problems: [], inodes: 4 });
  });

  test('tells each problem with its place, and ends with 3', async () => {
    const result = await run('erofs', 'check', at('broken'));
    expect(result.status).toBe(3);
    expect(result.stdout).toMatch(/^error .*checksum.*\(0x404 checksum\)$/m);
    const { stdout } = await run('erofs', 'check', at('broken'), '--json');
    expect(JSON.parse(stdout)).toMatchObject({ ok: false, problems: [{ code: 'bad-checksum' }] });
  });

  test("a file that is not there is the command line's fault", async () => {
    const result = await run('erofs', 'check', at('nothing'));
    expect([result.status, result.stderr]).toEqual([2, expect.stringMatching(/ENOENT/)]);
  });
});

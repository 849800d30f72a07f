/** EROFS against erofs-utils and the Linux kernel. */

import fc from 'fast-check';
import { createHash } from 'node:crypto';
import { closeSync, cpSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { planErofs, type ErofsPlan } from '../../src/formats/erofs/plan.ts';
import { openErofs } from '../../src/formats/erofs/reader.ts';
import { readTree } from '../../src/formats/erofs/read-tree.ts';
import { writeErofs } from '../../src/formats/erofs/writer.ts';
import { openFileSource } from '../../src/io/byte-source.ts';
import { createFileSink } from '../../src/io/image-sink.ts';
import {
  bytesContent,
  device,
  directory,
  regularFile,
  specialFile,
  symlink,
  walk,
  type Directory,
  type Inode,
} from '../../src/io/file-tree.ts';
import { tmpDir } from '../support/tmp-dir.ts';
import { runTool } from '../support/tools.ts';
import { BUILD_TIME, describeTree, testBytes, treeArbitrary } from '../unit/formats/erofs/trees.ts';
import { isMountable } from './judge-erofs.ts';
import { ACL, kernelReadable } from './kernel-readable.ts';
import { readMountedTree, withMountedErofs } from './mounted-erofs.ts';

const now = { mtime: BUILD_TIME };
const UUID = '00112233-4455-6677-8899-aabbccddeeff';

/** Runs a program that must succeed; its complaint is in the error. */
function succeed(program: string, args: readonly string[]): string {
  const { status, stdout, stderr } = runTool(program, args);
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${stderr || stdout}`);
  return stdout;
}
const uuid = testBytes(16);

async function writeImage(root: Directory, path: string): Promise<ErofsPlan> {
  const plan = planErofs(root, { buildTime: BUILD_TIME, uuid, volumeName: 'test' });
  const sink = await createFileSink(path);
  await writeErofs(plan, sink);
  await sink.close();
  return plan;
}

/** Describes what our reader finds in an image. */
async function describeImage(path: string): Promise<Record<string, unknown>> {
  const source = await openFileSource(path);
  try {
    return await describeTree(await readTree(await openErofs(source)));
  } finally {
    await source.close();
  }
}

/** Every kind of inode, size and attribute that has a case of its own in the format. */
function caseTree(): Directory {
  const root = directory(now);
  const put = (name: string, inode: Inode): Inode => {
    root.children.set(name, inode);
    return inode;
  };
  for (const size of [
    0, 1, 4031, 4032, 4033, 4063, 4064, 4065, 4096, 4097, 8191, 8192, 3_000_001,
  ]) {
    put(`size-${size}`, regularFile(bytesContent(testBytes(size)), now));
    put(`late-${size}`, regularFile(bytesContent(testBytes(size, 1)), { mtime: 7, mtimeNsec: 8 }));
  }
  const large = directory({ ...now, mode: 0o1777, uid: 65536, gid: 3 });
  put('large', large);
  for (let i = 0; i < 3000; i += 1) {
    const file = regularFile(bytesContent(testBytes(i % 50)), now);
    large.children.set(`${'name'.repeat(i % 40)}-${i}`, file);
  }
  for (const name of ['!', '-', '.hidden', 'ä', '😀']) {
    put(name, directory(now));
  }
  const linked = put('linked', regularFile(bytesContent(testBytes(100)), { ...now, mode: 0o4711 }));
  large.children.set('also-linked', linked);
  const before1970 = { mtime: -2, mtimeNsec: 999_999_999 };
  put('long-link', symlink('x/'.repeat(2047), before1970));
  put('short-link', symlink('target', now));
  put('null', device('char-device', 1, 3, now));
  put('disk', device('block-device', 4095, 2 ** 20 - 1, now));
  put('fifo', specialFile('fifo', now));
  put('socket', specialFile('socket', now));
  linked.xattrs.set('user.one', testBytes(10)).set('security.selinux', Buffer.from('label\0'));
  linked.xattrs.set('system.posix_acl_access', ACL).set('trusted.empty', new Uint8Array(0));
  large.xattrs.set('user.big', testBytes(30_000)).set('system.posix_acl_default', ACL);
  return root;
}

async function expectAccepted(root: Directory, mounted: boolean): Promise<void> {
  const dir = tmpDir();
  const image = join(dir, 'ours.erofs');
  await writeImage(root, image);
  const fsck = runTool('fsck.erofs', [image]);
  expect(fsck).toEqual({ status: 0, stdout: '', stderr: '' });
  if (!mounted) return;
  const expected = await describeTree(root);
  await withMountedErofs(image, async (path) => {
    expect(await describeTree(readMountedTree(path))).toEqual(expected);
    // mkfs.erofs 1.5 cuts names of 255 bytes short and then does not find the file.
    if (Object.keys(expected).some((name) => Buffer.byteLength(basename(name)) > 254)) return;
    // mkfs.erofs reads the attributes through the kernel; what it writes tests our reader as well.
    const theirs = join(dir, 'theirs.erofs');
    succeed('mkfs.erofs', ['-U', UUID, theirs, path]);
    expect(await describeImage(theirs)).toEqual(expected);
  });
}

describe('fsck.erofs and dump.erofs', () => {
  test('accept every case of the format without a word', async () => {
    await expect(expectAccepted(caseTree(), false)).resolves.toBeUndefined();
  });

  test('count the same inodes, kinds and blocks', async () => {
    const image = join(tmpDir(), 'ours.erofs');
    const plan = await writeImage(caseTree(), image);
    const superblock = runTool('dump.erofs', ['-s', image]).stdout;
    const statistics = runTool('dump.erofs', ['-S', image]).stdout;
    const count = (kind: string): number =>
      plan.inodes.filter(({ inode }) => inode.kind === kind).length;
    expect(superblock).toMatch(new RegExp(`inode count: +${plan.inodes.length}\n`));
    expect(superblock).toMatch(new RegExp(`Filesystem blocks: +${plan.blocks}\n`));
    expect(superblock).toMatch(/features: +sb_csum mtime \n/);
    expect(superblock).toMatch(/UUID: +00070e15-1c23-2a31-383f-464d545b6269\n/);
    // It counts names, of which one file has two.
    expect(statistics).toMatch(new RegExp(`regular file count:\\s+${count('file') + 1}\n`));
    expect(statistics).toMatch(new RegExp(`directory count:\\s+${count('directory')}\n`));
    expect(statistics).toMatch(new RegExp(`symlink file count:\\s+${count('symlink')}\n`));
  });

  test('a changed block of the superblock is refused by our reader', async () => {
    const image = join(tmpDir(), 'ours.erofs');
    await writeImage(caseTree(), image);
    const file = openSync(image, 'r+');
    writeSync(file, new Uint8Array([0xff]), 0, 1, 3000);
    closeSync(file);
    await expect(describeImage(image)).rejects.toMatchObject({ code: 'bad-checksum' });
  });
});

describe.skipIf(!isMountable)('the Linux kernel', () => {
  test('shows every case of the format as it was given', async () => {
    await expect(expectAccepted(caseTree(), true)).resolves.toBeUndefined();
  });

  test('shows random trees as they were given', async () => {
    await fc.assert(
      fc.asyncProperty(treeArbitrary, async (root) => {
        await expect(expectAccepted(kernelReadable(root), true)).resolves.toBeUndefined();
      }),
      { numRuns: 30 },
    );
  });
});

/** The project's sources, which are files of many sizes, and data that compresses well, badly and by turns. */
function writeSamples(path: string): void {
  cpSync(join(import.meta.dirname, '../../src'), path, { recursive: true });
  const text = Buffer.from(Array.from({ length: 200_000 }, (_, i) => `${i * i} `).join(''));
  const noise = Buffer.concat(
    Array.from({ length: 6000 }, (_, i) => createHash('sha512').update(`${i}`).digest()),
  );
  const samples = {
    text,
    noise,
    zeros: Buffer.alloc(6_000_001),
    turns: Buffer.concat(
      Array.from({ length: 40 }, (_, i) => [
        text.subarray(i * 9000, i * 9000 + 7000 + i * 321),
        noise.subarray(i * 5000, i * 5000 + 9000 - i * 123),
        Buffer.alloc(i * 1000),
      ]).flat(),
    ),
  };
  for (const [name, bytes] of Object.entries(samples)) {
    writeFileSync(join(path, name), bytes);
    writeFileSync(join(path, `${name}-cut`), bytes.subarray(0, 100_000));
  }
}

describe('mkfs.erofs', () => {
  test.each([
    ['compact inodes', ['-T', '7']],
    ['extended inodes', ['-T', '7', '-E', 'force-inode-extended']],
    ['no inline data', ['-T', '7', '-E', 'noinline_data']],
    ['no checksum', ['-T', '7', '-E', 'nosbcrc']],
    ['LZ4', ['-T', '7', '-zlz4']],
    ['LZ4 in clusters of 64 KiB', ['-T', '7', '-zlz4', '-C65536']],
    ['LZ4 HC in clusters of 16 KiB', ['-T', '7', '-zlz4hc', '-C16384']],
    ['LZ4 in an older layout', ['-T', '7', '-zlz4', '-E', 'legacy-compress']],
  ])('its images with %s read back as the directory they were made from', async (_, args) => {
    const dir = tmpDir();
    const image = join(dir, 'theirs.erofs');
    const source = join(dir, 'source');
    writeSamples(source);
    succeed('mkfs.erofs', [...args, '-U', UUID, image, source]);
    const expected = readMountedTree(source);
    walk(expected, (_path, inode) => {
      inode.mtime = 7;
      inode.mtimeNsec = 0;
    });
    expect(await describeImage(image)).toEqual(await describeTree(expected));
  });
});

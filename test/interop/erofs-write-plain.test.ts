/** Images without compression: chunks, holes, shared attributes, large directories. */

import { closeSync, openSync, readdirSync, readFileSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { scanChunks } from '../../src/formats/erofs/chunks.ts';
import { planErofs, type ErofsOptions, type ErofsPlan } from '../../src/formats/erofs/plan.ts';
import { writeErofs } from '../../src/formats/erofs/writer.ts';
import { createFileSink } from '../../src/io/image-sink.ts';
import {
  bytesContent,
  directory,
  regularFile,
  symlink,
  type Directory,
  type FileContent,
} from '../../src/io/file-tree.ts';
import { tmpDir } from '../support/tmp-dir.ts';
import { runTool } from '../support/tools.ts';
import { BUILD_TIME, testBytes } from '../unit/formats/erofs/trees.ts';
import { expectReadsBack, isMountable } from './judge-erofs.ts';
import { ACL } from './kernel-readable.ts';
import { withMountedErofs } from './mounted-erofs.ts';

const now = { mtime: BUILD_TIME };
const uuid = testBytes(16);

async function writeImage(
  root: Directory,
  options: Partial<ErofsOptions> = {},
): Promise<{ image: string; plan: ErofsPlan }> {
  const image = join(tmpDir(), 'ours.erofs');
  const plan = planErofs(root, { buildTime: BUILD_TIME, uuid, ...options });
  const sink = await createFileSink(image);
  await writeErofs(plan, sink);
  await sink.close();
  return { image, plan };
}

const put = (root: Directory, name: string, ...parts: Uint8Array[]): void => {
  const bytes = new Uint8Array(Buffer.concat(parts));
  root.children.set(name, regularFile(bytesContent(bytes), now));
};

/** Files that are equal, have parts in common, holes, nothing but holes, and nothing in common. */
function chunkTree(): Directory {
  const root = directory(now);
  const [a, b, c] = [1, 2, 3].map((seed) => noise(70_000, seed)) as [
    Uint8Array,
    Uint8Array,
    Uint8Array,
  ];
  const hole = new Uint8Array(65536);
  put(root, 'a', a);
  put(root, 'a-again', a);
  put(root, 'alone', c);
  put(root, 'empty');
  put(root, 'hole', hole);
  put(root, 'holes', hole, hole, hole.subarray(0, 1));
  put(root, 'in-holes', hole, b.subarray(0, 65536), hole, hole, a.subarray(0, 65536), hole);
  put(root, 'parts', b.subarray(0, 65536), a.subarray(0, 65536), c.subarray(0, 65536), a);
  put(root, 'small', a.subarray(0, 4095));
  put(root, 'small-again', a.subarray(0, 4095));
  put(root, 'block', a.subarray(0, 4096));
  put(root, 'block-again', a.subarray(0, 4096));
  const labelled = regularFile(bytesContent(a), { mtime: 5 });
  labelled.xattrs.set('user.odd', testBytes(7));
  root.children.set('labelled', labelled);
  return root;
}

function noise(size: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(size);
  let state = seed;
  for (let i = 0; i < size; i += 1) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

describe('files in chunks', () => {
  test.each([4096, 8192, 65536, 1 << 20])('of %i bytes read back everywhere', async (chunkSize) => {
    const root = chunkTree();
    const { image, plan } = await writeImage(root, {
      chunks: await scanChunks(root, { chunkSize }),
    });
    await expectReadsBack(image, root);
    // What only one file has is stored as it would be without chunks.
    expect(plan.size).toBeLessThan((await writeImage(root)).plan.size);
  });

  test('a file over 4 GiB of holes takes few blocks and reads back', async () => {
    const size = 2 ** 32 + 5 * 65536 + 17;
    const marks = [0, 2 ** 31, 2 ** 32 - 1, 2 ** 32, size - 1];
    const content: FileContent = {
      size,
      // oxlint-disable-next-line typescript/require-await -- an async generator by contract
      async *stream() {
        const zeros = new Uint8Array(1 << 20);
        for (let at = 0; at < size; at += zeros.length) {
          const length = Math.min(zeros.length, size - at);
          const inside = marks.filter((mark) => mark >= at && mark < at + length);
          const chunk = inside.length === 0 ? zeros : new Uint8Array(zeros.length);
          for (const mark of inside) chunk[mark - at] = 0xaa;
          yield chunk.subarray(0, length);
        }
      },
    };
    const root = directory(now);
    root.children.set('sparse', regularFile(content, now));
    const { image, plan } = await writeImage(root, { chunks: await scanChunks(root) });
    // An index entry of four bytes for each 64 KiB, and five chunks with data.
    expect(plan.size).toBeLessThan(700_000);
    expect(runTool('fsck.erofs', [image])).toEqual({ status: 0, stdout: '', stderr: '' });
    if (!isMountable) return;
    await withMountedErofs(image, (path) => {
      const at = join(path, 'sparse');
      expect(statSync(at).size).toBe(size);
      const file = openSync(at, 'r');
      for (const mark of marks) {
        const around = Buffer.alloc(3);
        const start = Math.max(mark - 1, 0);
        const length = readSync(file, around, 0, Math.min(3, size - start), start);
        const expected = Array.from({ length }, (_, i) => (marks.includes(start + i) ? 0xaa : 0));
        expect([...around.subarray(0, length)]).toEqual(expected);
      }
      closeSync(file);
      return Promise.resolve();
    });
  });
});

describe('extended attributes', () => {
  const label = Buffer.from('system_u:object_r:some_type_t:s0\0');
  const labelledTree = (): Directory => {
    const root = directory(now);
    for (let i = 0; i < 2000; i += 1) {
      const inode =
        i % 7 === 0
          ? symlink(`${i}`, now)
          : i % 5 === 0
            ? directory(now)
            : regularFile(bytesContent(testBytes(i)), now);
      inode.xattrs.set('security.selinux', label);
      if (i % 3 === 0) inode.xattrs.set('trusted.third', testBytes(6000, i % 2));
      if (i % 7 !== 0) inode.xattrs.set('user.own', testBytes(i % 300, i));
      if (i % 35 === 5) {
        inode.xattrs.set('system.posix_acl_access', ACL).set('system.posix_acl_default', ACL);
      }
      root.children.set(`${i}`, inode);
    }
    return root;
  };

  test('that inodes share read back everywhere', async () => {
    const root = labelledTree();
    const { image, plan } = await writeImage(root);
    expect(plan.sharedXattrs.bytes.length).toBeGreaterThan(12_000);
    await expectReadsBack(image, root);
  });

  test.skipIf(!isMountable)('ACLs are those that getfacl tells', async () => {
    const { image } = await writeImage(labelledTree());
    await withMountedErofs(image, (path) => {
      const told = runTool('getfacl', ['-n', '-c', '--absolute-names', join(path, '5')]).stdout;
      expect(told).toBe(
        [
          'user::rw-',
          'user:1000:r--',
          'group::r--',
          'mask::r--',
          'other::---',
          'default:user::rw-',
          'default:user:1000:r--',
          'default:group::r--',
          'default:mask::r--',
          'default:other::---',
          '\n',
        ].join('\n'),
      );
      return Promise.resolve();
    });
  });

  test('of 65535 bytes, and 300 of them, read back everywhere', async () => {
    const root = directory(now);
    root.xattrs.set('user.large', testBytes(65535)).set('trusted.empty', new Uint8Array(0));
    for (const name of ['first', 'second']) {
      put(root, name, testBytes(100));
      for (let i = 0; i < 300; i += 1) {
        root.children.get(name)?.xattrs.set(`user.${i}`, testBytes(20, i));
      }
    }
    const { image } = await writeImage(root);
    await expect(expectReadsBack(image, root)).resolves.toBeUndefined();
  });
});

describe('large directories', () => {
  test('of 100,000 names, each found, up to 255 bytes long', async () => {
    const root = directory(now);
    const large = directory(now);
    root.children.set('large', large);
    const file = regularFile(bytesContent(testBytes(10)), now);
    for (let i = 0; i < 100_000; i += 1) {
      const name = i % 1000 === 0 ? `${i}-`.padEnd(128, 'é').slice(0, 126) : `name-${i}`;
      large.children.set(name, file);
    }
    large.children.set('y'.repeat(255), file);
    large.children.set('é'.repeat(127), file);
    const { image } = await writeImage(root);
    expect(runTool('fsck.erofs', [image])).toEqual({ status: 0, stdout: '', stderr: '' });
    if (!isMountable) return;
    await withMountedErofs(image, (path) => {
      const names = readdirSync(join(path, 'large'));
      expect(names.toSorted()).toEqual([...large.children.keys()].toSorted());
      for (let i = 0; i < names.length; i += 997) {
        expect(readFileSync(join(path, 'large', names[i] as string))).toHaveLength(10);
      }
      return Promise.resolve();
    });
  });
});

describe('modification times', () => {
  test('of all inodes are the build time when it is asked for', async () => {
    const root = directory({ mtime: 5, mtimeNsec: 6 });
    put(root, 'file', testBytes(10));
    root.children.set('old', regularFile(bytesContent(testBytes(9)), { mtime: -7, mtimeNsec: 8 }));
    const { image, plan } = await writeImage(root, { times: 'build' });
    expect(plan.inodes.map(({ extended }) => extended)).toEqual([false, false, false]);
    for (const inode of [root, ...root.children.values()]) {
      Object.assign(inode, { mtime: BUILD_TIME, mtimeNsec: 0 });
    }
    await expectReadsBack(image, root);
  });
});

describe('an inode that would end the image', () => {
  /** Empty files, as many as the metadata has room for after the root, or one more or less. */
  const filled = (count: number): Directory => {
    const root = directory(now);
    for (let i = 0; i < count; i += 1) {
      root.children.set(`${i}`.padStart(3, '0'), regularFile(bytesContent(new Uint8Array(0)), now));
    }
    return root;
  };

  test('gets a block behind it, which fsck.erofs reads from', async () => {
    const ends: boolean[] = [];
    for (let count = 30; count < 75; count += 1) {
      const root = filled(count);
      const { image, plan } = await writeImage(root);
      const last = Math.max(...plan.inodes.map(({ offset }) => offset)) + 32;
      ends.push(plan.size - last >= 4096);
      expect(runTool('fsck.erofs', ['--extract', image])).toMatchObject({ status: 0, stderr: '' });
    }
    // At least one of these images fills its blocks to the last slot.
    expect(ends).toContain(true);
  });
});

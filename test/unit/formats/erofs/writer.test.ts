import fc from 'fast-check';
import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { planErofs } from '../../../../src/formats/erofs/plan.ts';
import { openErofs } from '../../../../src/formats/erofs/reader.ts';
import { readTree } from '../../../../src/formats/erofs/read-tree.ts';
import { writeErofs } from '../../../../src/formats/erofs/writer.ts';
import { bytesSource } from '../../../../src/io/byte-source.ts';
import {
  bytesContent,
  device,
  directory,
  regularFile,
  symlink,
  type Directory,
  type Inode,
} from '../../../../src/io/file-tree.ts';
import { MemorySink, type ImageSink } from '../../../../src/io/image-sink.ts';
import { BUILD_TIME, describeTree, shuffled, testBytes, treeArbitrary } from './trees.ts';

const options = { buildTime: BUILD_TIME, uuid: testBytes(16) };

async function imageOf(root: Directory, more: { blockSize?: number } = {}): Promise<Uint8Array> {
  const sink = new MemorySink();
  const plan = planErofs(root, { ...options, ...more });
  await writeErofs(plan, sink);
  expect(sink.bytes()).toHaveLength(plan.size);
  return sink.bytes();
}
const readBack = async (image: Uint8Array): Promise<Directory> =>
  readTree(await openErofs(bytesSource(image)));
const withChild = (name: string, inode: Inode): Directory => {
  const root = directory({ mtime: BUILD_TIME });
  root.children.set(name, inode);
  return root;
};
const now = { mtime: BUILD_TIME };

describe('writeErofs', () => {
  test('any tree reads back as it was', async () => {
    await fc.assert(
      fc.asyncProperty(treeArbitrary, async (root) => {
        const read = await readBack(await imageOf(root));
        expect(await describeTree(read)).toEqual(await describeTree(root));
      }),
      { numRuns: 60 },
    );
  });

  test.each([16384, 65536])('any tree reads back from blocks of %i', async (blockSize) => {
    await fc.assert(
      fc.asyncProperty(treeArbitrary, async (root) => {
        const read = await readBack(await imageOf(root, { blockSize }));
        expect(await describeTree(read)).toEqual(await describeTree(root));
      }),
      { numRuns: 15 },
    );
  });

  test('the order in which a tree was filled does not show', async () => {
    await fc.assert(
      fc.asyncProperty(treeArbitrary, async (root) => {
        expect(Buffer.compare(await imageOf(root), await imageOf(shuffled(root)))).toBe(0);
      }),
      { numRuns: 30 },
    );
  });

  test('each block is written exactly once, in whole blocks', async () => {
    const root = directory(now);
    for (let i = 0; i < 700; i += 1) {
      root.children.set(`f${i}`, regularFile(bytesContent(testBytes(i * 61, i)), now));
    }
    const plan = planErofs(root, options);
    const writes = new Uint8Array(plan.blocks);
    const sink: ImageSink = {
      write(offset, chunk) {
        expect([offset % 4096, chunk.length % 4096]).toEqual([0, 0]);
        for (let at = offset; at < offset + chunk.length; at += 4096) writes[at / 4096]! += 1;
        return Promise.resolve();
      },
      truncate: () => Promise.resolve(),
    };
    await writeErofs(plan, sink);
    expect([...new Set(writes)]).toEqual([1]);
  });

  test('directories larger than many blocks keep every name', async () => {
    const root = directory(now);
    const empty = regularFile(bytesContent(new Uint8Array(0)), now);
    for (let i = 0; i < 9000; i += 1) root.children.set(`${'long name '.repeat(i % 9)}${i}`, empty);
    const read = await readBack(await imageOf(root));
    expect([...read.children.keys()].toSorted()).toEqual([...root.children.keys()].toSorted());
    expect(new Set(read.children.values()).size).toBe(1);
  });

  test('a very deep tree is written without recursion, and refused by the reader', async () => {
    const root = directory(now);
    let at = root;
    for (let depth = 0; depth < 20000; depth += 1) {
      const next = directory(now);
      at.children.set('d', next);
      at = next;
    }
    const image = await imageOf(root);
    await expect(readBack(image)).rejects.toMatchObject({ code: 'too-large' });
  });

  test('contents come in chunks of any size', async () => {
    const bytes = testBytes(200_000);
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat(50_000), { maxLength: 8 }),
        fc.nat(200_000),
        async (cuts, size) => {
          const reused = new Uint8Array(60_000);
          const content = {
            size,
            // oxlint-disable-next-line typescript/require-await -- an async generator by contract
            async *stream() {
              let done = 0;
              for (let turn = 0; done < size; turn += 1) {
                const take = Math.min(cuts[turn] ?? 50_000, size - done);
                reused.fill(0xee);
                reused.set(bytes.subarray(done, done + take));
                done += take;
                yield reused.subarray(0, take);
              }
            },
          };
          const root = withChild('file', regularFile(content, now));
          const whole = withChild('file', regularFile(bytesContent(bytes.slice(0, size)), now));
          expect(Buffer.compare(await imageOf(root), await imageOf(whole))).toBe(0);
        },
      ),
      { numRuns: 30 },
    );
  });

  test.each([
    ['small', 'more', 100, 101],
    ['small', 'fewer', 100, 99],
    ['large', 'more', 5_000_000, 5_000_001],
    ['large', 'fewer', 5_000_000, 4_999_999],
  ])('a %s file with %s bytes than it said is refused by its path', async (_, __, size, real) => {
    const content = { ...bytesContent(new Uint8Array(real)), size };
    const root = withChild('sub', withChild('changed', regularFile(content, now)));
    await expect(imageOf(root)).rejects.toMatchObject({
      code: 'input',
      message: expect.stringContaining('/sub/changed') as string,
    });
  });

  test('an abort stops between chunks', async () => {
    const abort = new AbortController();
    let chunks = 0;
    const endless = {
      size: 2 ** 40,
      // oxlint-disable-next-line typescript/require-await -- an async generator by contract
      async *stream() {
        for (;;) {
          chunks += 1;
          if (chunks === 3) abort.abort(new Error('stop'));
          yield new Uint8Array(4096);
        }
      },
    };
    const plan = planErofs(withChild('endless', regularFile(endless, now)), options);
    const nowhere: ImageSink = {
      write: () => Promise.resolve(),
      truncate: () => Promise.resolve(),
    };
    await expect(writeErofs(plan, nowhere, { signal: abort.signal })).rejects.toThrow('stop');
    expect(chunks).toBe(3);
  });

  test('a sink or content that fails fails the write', async () => {
    const failing = {
      size: 10,
      // oxlint-disable-next-line require-yield, typescript/require-await -- it fails first
      async *stream(): AsyncGenerator<Uint8Array> {
        throw new Error('unreadable');
      },
    };
    await expect(imageOf(withChild('x', regularFile(failing, now)))).rejects.toThrow('unreadable');
    const root = withChild('x', regularFile(bytesContent(testBytes(5_000_000)), now));
    const full: ImageSink = {
      write: () => Promise.reject(new Error('disk full')),
      truncate: () => Promise.resolve(),
    };
    await expect(writeErofs(planErofs(root, options), full)).rejects.toThrow('disk full');
  });
});

describe('planErofs', () => {
  test('an image of known bytes keeps its digest', async () => {
    const root = directory({ ...now, mode: 0o750 });
    root.xattrs.set('security.selinux', Buffer.from('u:object_r:system_file:s0\0'));
    root.children.set('a', regularFile(bytesContent(testBytes(10_000)), { ...now, uid: 70000 }));
    root.children.set('null', device('char-device', 1, 3, { mtime: 5, mtimeNsec: 6 }));
    // fsck.erofs and the kernel accept these bytes (test/interop); a change here changes every image.
    expect(
      createHash('sha256')
        .update(await imageOf(root))
        .digest('hex'),
    ).toMatchInlineSnapshot(`"ef357f3457fc1294307aa3a3dc774136874ed0ab6209bb55bb16803404df9541"`);
  });

  test('a tree of the build time has inodes of 32 bytes, another time doubles them', () => {
    const compact = planErofs(
      withChild('f', regularFile(bytesContent(testBytes(1)), now)),
      options,
    );
    expect(compact.inodes.map((inode) => inode.extended)).toEqual([false, false]);
    const later = { mtime: BUILD_TIME, mtimeNsec: 1 };
    const file = regularFile(bytesContent(testBytes(1)), later);
    const extended = planErofs(withChild('f', file), options);
    expect(extended.inodes.map((inode) => inode.extended)).toEqual([false, true]);
  });

  test('a file of 4 GiB or more and 70000 links have extended inodes', () => {
    const huge = { size: 2 ** 32, stream: () => bytesContent(new Uint8Array(0)).stream() };
    const plan = planErofs(withChild('huge', regularFile(huge, now)), options);
    expect(plan.inodes[1]?.extended).toBe(true);
    expect(plan.size).toBe(2 ** 32 + 4096);
    const root = directory(now);
    const file = regularFile(bytesContent(testBytes(1)), now);
    for (let i = 0; i < 70000; i += 1) root.children.set(`${i}`, file);
    expect(planErofs(root, options).inodes[1]).toMatchObject({ extended: true, nlink: 70000 });
  });

  test('one directory under two names is refused', () => {
    const root = directory(now);
    const shared = directory(now);
    root.children.set('a', shared).set('b', shared);
    expect(() => planErofs(root, options)).toThrow('/b');
    shared.children.set('loop', root);
    expect(() => planErofs(root, options)).toThrow('/a/loop');
  });

  const attributes = { ...now };
  const file = (): Inode => regularFile(bytesContent(new Uint8Array(0)), attributes);
  const edited = (edit: (inode: Inode) => void): Inode => {
    const inode = file();
    edit(inode);
    return inode;
  };
  test.each<[string, string, Inode]>([
    ['an empty name', '', file()],
    ['the name .', '.', file()],
    ['the name ..', '..', file()],
    ['a name with a slash', 'a/b', file()],
    ['a name with NUL', 'a\0b', file()],
    ['half a surrogate pair', '\ud800', file()],
    ['a name of 256 bytes', 'é'.repeat(128), file()],
    ['an empty link', 'l', symlink('')],
    ['a link of 4096 bytes', 'l', symlink('x'.repeat(4096))],
    ['a link with NUL', 'l', symlink('a\0b')],
    ['major number 4096', 'd', device('block-device', 4096, 0)],
    ['minor number 2^20', 'd', device('block-device', 0, 2 ** 20)],
    ['a mode with type bits', 'm', edited((inode) => (inode.mode = 0o100644))],
    ['a negative owner', 'u', edited((inode) => (inode.uid = -1))],
    ['the owner that is no one', 'u', edited((inode) => (inode.gid = 2 ** 32 - 1))],
    ['half a second', 't', edited((inode) => (inode.mtime = 0.5))],
    ['a second of nanoseconds', 't', edited((inode) => (inode.mtimeNsec = 1e9))],
    ['an xattr of no known prefix', 'x', edited((i) => i.xattrs.set('system.foo', testBytes(1)))],
    ['an xattr that is a prefix', 'x', edited((i) => i.xattrs.set('user.', testBytes(1)))],
    ['an xattr value over 65535', 'x', edited((i) => i.xattrs.set('user.a', testBytes(65536)))],
    [
      'an xattr name over 255',
      'x',
      edited((i) => i.xattrs.set(`user.${'a'.repeat(256)}`, testBytes(1))),
    ],
  ])('%s is refused as input', (_, name, inode) => {
    expect(() => planErofs(withChild(name, inode), options)).toThrow(
      expect.objectContaining({ code: 'input' }) as Error,
    );
  });

  test.each([
    { blockSize: 512 },
    { blockSize: 8192 },
    { uuid: new Uint8Array(15) },
    { volumeName: 'sixteen bytes ok' },
    { buildTime: 0.5 },
  ])('options %j are refused', (bad) => {
    expect(() => planErofs(directory(), { ...options, ...bad })).toThrow(RangeError);
  });
});

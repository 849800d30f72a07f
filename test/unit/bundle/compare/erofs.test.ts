/** Two EROFS images with hash trees: what differs is found through the trees, named by path, with its cause. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import fc from 'fast-check';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { comparePaths } from '../../../../src/bundle/compare/compare.ts';
import type { Comparison, Finding } from '../../../../src/bundle/compare/finding.ts';
import { differingBlocks, openTree } from '../../../../src/bundle/compare/hash-tree.ts';
import { encodeFooter } from '../../../../src/formats/avb/footer.ts';
import type { HashtreeDescriptor } from '../../../../src/formats/avb/descriptor.ts';
import { encodeUnsignedVbmeta, encodeVbmeta } from '../../../../src/formats/avb/vbmeta.ts';
import { planErofs } from '../../../../src/formats/erofs/plan.ts';
import { writeErofs } from '../../../../src/formats/erofs/writer.ts';
import { bytesSource } from '../../../../src/io/byte-source.ts';
import {
  bytesContent,
  directory,
  regularFile,
  symlink,
  type Directory,
} from '../../../../src/io/file-tree.ts';
import { MemorySink } from '../../../../src/io/image-sink.ts';
import { computeHashTree } from '../../../../src/verity/hash-tree.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mb-compare-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function tree(change: (root: Directory, etc: Directory) => void = () => undefined): Directory {
  const root = directory();
  const etc = directory();
  const lib = directory();
  root.children.set('etc', etc);
  root.children.set('lib', lib);
  etc.children.set('motd', regularFile(bytesContent(Buffer.from('one\ntwo\n'))));
  etc.children.set('link', symlink('motd'));
  for (let i = 0; i < 40; i += 1) {
    const bytes = Buffer.alloc(10_000 + i, i);
    lib.children.set(`lib${i}.so`, regularFile(bytesContent(bytes), { mode: 0o755 }));
  }
  change(root, etc);
  return root;
}

async function plainImageOf(root: Directory): Promise<Uint8Array> {
  const sink = new MemorySink();
  await writeErofs(planErofs(root, { buildTime: 1, uuid: new Uint8Array(16) }), sink);
  return sink.bytes();
}

const imageOf = async (root: Directory, salt?: Uint8Array<ArrayBuffer>): Promise<Uint8Array> =>
  verified(await plainImageOf(root), salt);

/** A file system with a hash tree and a footer behind it. */
async function verified(image: Uint8Array, salt = new Uint8Array(32)): Promise<Uint8Array> {
  const { rootDigest, tree: hashes } = await computeHashTree(bytesSource(image), {
    algorithm: 'sha256',
    salt,
  });
  const descriptor: HashtreeDescriptor = {
    kind: 'hashtree',
    dmVerityVersion: 1,
    imageSize: image.length,
    treeOffset: image.length,
    treeSize: hashes.length,
    dataBlockSize: 4096,
    hashBlockSize: 4096,
    fecNumRoots: 0,
    fecOffset: 0,
    fecSize: 0,
    hashAlgorithm: 'sha256',
    partitionName: 'system',
    salt,
    rootDigest,
    flags: 0,
  };
  const unsigned = encodeUnsignedVbmeta({
    algorithm: 'NONE',
    descriptors: [descriptor],
    publicKey: new Uint8Array(0),
    publicKeyMetadata: new Uint8Array(0),
    rollbackIndex: 0n,
    rollbackIndexLocation: 0,
    flags: 0,
    releaseString: 'test',
  });
  const vbmeta = encodeVbmeta(unsigned, new Uint8Array(0), new Uint8Array(0));
  const vbmetaOffset = image.length + hashes.length;
  const out = Buffer.alloc(vbmetaOffset + 8192);
  out.set(image);
  out.set(hashes, image.length);
  out.set(vbmeta, vbmetaOffset);
  const footer = encodeFooter({
    originalImageSize: image.length,
    vbmetaOffset,
    vbmetaSize: vbmeta.length,
  });
  out.set(footer, out.length - 64);
  return out;
}

let count = 0;
async function compare(a: Uint8Array, b: Uint8Array, full = false): Promise<Comparison> {
  count += 1;
  const [x, y] = [join(folder, `${count}a`), join(folder, `${count}b`)];
  writeFileSync(x, a);
  writeFileSync(y, b);
  return comparePaths(x, y, { full });
}

const own = ({ findings }: Comparison): Finding[] =>
  findings.filter(({ nature }) => nature === 'origin');
const told = (comparison: Comparison): string[] =>
  own(comparison).map(({ path, field, a, b }) => [path, field, a, b].filter(Boolean).join(' '));

describe('compareImages()', () => {
  test('two equal images are the same', async () => {
    const comparison = await compare(await imageOf(tree()), await imageOf(tree()));
    expect(comparison.same).toBe(true);
    expect(comparison.findings).toEqual([]);
  });

  test('one changed byte of one file is the one finding, with its place and block', async () => {
    const other = tree((root) => {
      const lib = root.children.get('lib') as Directory;
      const bytes = Buffer.alloc(10_020, 20);
      bytes[5000] = 1;
      lib.children.set('lib20.so', regularFile(bytesContent(bytes), { mode: 0o755 }));
    });
    const comparison = await compare(await imageOf(tree()), await imageOf(other));
    expect(own(comparison)).toMatchObject([
      { path: '/lib/lib20.so', field: 'content', level: 'bytes', offset: 5000 },
    ]);
    const blocks = comparison.findings.find(({ field }) => field === 'blocks');
    expect(blocks?.b).toMatch(/^1 of \d+ blocks differ/);
  });

  test('a file that pushes all others elsewhere explains all of it', async () => {
    const other = tree((_root, etc) => {
      etc.children.set('big', regularFile(bytesContent(Buffer.alloc(50_000, 7))));
    });
    const comparison = await compare(await imageOf(tree()), await imageOf(other));
    expect(told(comparison)).toEqual(['/etc/big file 0644 0:0, 50000 bytes']);
    expect(comparison.findings.some(({ field }) => field === 'places')).toBe(true);
  });

  test('attributes are told by their names, with likely causes', async () => {
    const base = tree();
    const other = tree((_root, etc) => {
      const motd = etc.children.get('motd')!;
      motd.mode = 0o600;
      motd.mtime = 3600;
      motd.uid = 7;
      motd.xattrs.set('user.x', Buffer.from('y'));
      etc.children.set('link', symlink('elsewhere'));
    });
    const comparison = await compare(await imageOf(base), await imageOf(other));
    expect(told(comparison)).toEqual([
      '/etc/link target motd elsewhere',
      '/etc/motd mode 0644 0600',
      '/etc/motd owner 0:0 7:0',
      '/etc/motd mtime 0 3600',
      '/etc/motd xattr user.x none 79',
    ]);
    expect(comparison.causes.map(({ name }) => name).sort()).toEqual([
      'owner',
      'time-zone',
      'umask',
    ]);
  });

  test('a file that becomes set-uid is a change of privileges', async () => {
    const other = tree((root) => {
      const lib = root.children.get('lib') as Directory;
      lib.children.get('lib3.so')!.mode = 0o4755;
    });
    const { privileges } = await compare(await imageOf(tree()), await imageOf(other));
    expect(privileges).toMatchObject([
      { change: 'added', path: '/lib/lib3.so', b: 'mode 04755 of 0:0' },
    ]);
  });

  test('a damaged hash tree is told, and the files are compared without it', async () => {
    const other = await imageOf(
      tree((_root, etc) => {
        etc.children.set('motd', regularFile(bytesContent(Buffer.from('one\n2\n'))));
      }),
    );
    const damaged = Buffer.from(await imageOf(tree()));
    const treeAt = damaged.readUInt32BE(damaged.length - 64 + 16);
    damaged[treeAt + 5]! ^= 1;
    const comparison = await compare(damaged, other);
    const fields = own(comparison).map(({ path, field }) => `${path} ${field}`.trim());
    expect(fields).toEqual(['hash tree', '/etc/motd content']);
  });

  test('another salt is the cause, and nothing else is told', async () => {
    const other = await imageOf(tree(), new Uint8Array(32).fill(1));
    const comparison = await compare(await imageOf(tree()), other);
    expect(new Set(own(comparison).map(({ cause }) => cause?.name))).toEqual(
      new Set(['random-salt']),
    );
  });

  test.each([true, false])('bytes that nobody owns are told, in full: %s', async (full) => {
    const plain = Buffer.from(await plainImageOf(tree()));
    // In front of the superblock, under a hash tree of their own.
    plain[100] = 9;
    const comparison = await compare(await imageOf(tree()), await verified(plain), full);
    expect(comparison.sameUnsigned).toBe(false);
    expect(own(comparison)).toMatchObject([{ field: 'unused space', offset: 100 }]);
  });

  test('bytes that were changed behind the hash tree are told when all is read', async () => {
    const image = Buffer.from(await imageOf(tree()));
    image[100] = 9;
    const comparison = await compare(await imageOf(tree()), image, true);
    expect(own(comparison)).toMatchObject([{ field: 'unused space', offset: 100 }]);
  });

  test.each([true, false])('blocks behind the last file are told, in full: %s', async (full) => {
    const plain = await plainImageOf(tree());
    const longer = Buffer.concat([plain, Buffer.alloc(8192, 'hidden')]);
    // The superblock says so, too, with a checksum that is right.
    const blocks = longer.readUInt32LE(1024 + 36);
    longer.writeUInt32LE(blocks + 2, 1024 + 36);
    const comparison = await compare(await imageOf(tree()), await verified(longer), full);
    expect(comparison.sameUnsigned).toBe(false);
    expect(own(comparison)).toMatchObject([{ field: 'unused space' }]);
  });

  test('padding between the hash tree, the vbmeta and the footer is told beside other findings', async () => {
    const other = Buffer.from(
      await imageOf(
        tree((_root, etc) => {
          etc.children.set('motd', regularFile(bytesContent(Buffer.from('one\n2\n'))));
        }),
      ),
    );
    other[other.length - 200] = 1;
    const comparison = await compare(await imageOf(tree()), other);
    expect(told(comparison).map((each) => each.split(' ').slice(0, 2).join(' '))).toEqual([
      '/etc/motd content',
      'vbmeta padding',
    ]);
  });

  test.each(['a', 'b'] as const)(
    'a root digest of no tree is told of the side %s',
    async (side) => {
      const plain = await plainImageOf(tree());
      const sound = await verified(plain);
      const { rootDigest } = await computeHashTree(bytesSource(plain), {
        algorithm: 'sha256',
        salt: new Uint8Array(32),
      });
      const lying = Buffer.from(sound);
      const at = lying.lastIndexOf(rootDigest);
      lying[at] = (lying[at] ?? 0) ^ 1;
      const comparison = await (side === 'a' ? compare(lying, sound) : compare(sound, lying));
      expect(comparison.sameUnsigned).toBe(false);
      const [damage] = own(comparison);
      expect(damage).toMatchObject({ field: 'hash tree', [side]: expect.any(String) });
      expect(damage?.[side === 'a' ? 'b' : 'a']).toBeUndefined();
    },
  );
});

describe('hard links', () => {
  /** Files of which each has two names. */
  const linked = (pairs: Readonly<Record<string, 'plain' | 'setuid'>>): Directory => {
    const root = directory();
    const inodes = {
      plain: regularFile(bytesContent(Buffer.from('x')), { mode: 0o755 }),
      setuid: regularFile(bytesContent(Buffer.from('x')), { mode: 0o4755 }),
    };
    for (const [name, kind] of Object.entries(pairs)) root.children.set(name, inodes[kind]);
    return root;
  };

  test('a name that leads to a set-uid file now is told, whatever other names both files have', async () => {
    const a = linked({ 1: 'setuid', 2: 'plain', 3: 'setuid', 4: 'plain' });
    const b = linked({ 1: 'setuid', 2: 'plain', 3: 'plain', 4: 'setuid' });
    const { privileges } = await compare(await imageOf(a), await imageOf(b));
    expect(privileges.map(({ change, path }) => `${path} ${change}`)).toEqual([
      '/3 removed',
      '/4 added',
    ]);
  });

  test('of further names of two files that were compared nothing is told again', async () => {
    const a = linked({ 1: 'plain', 2: 'plain', 3: 'plain' });
    const b = linked({ 1: 'setuid', 2: 'setuid', 3: 'setuid' });
    const { privileges } = await compare(await imageOf(a), await imageOf(b));
    expect(privileges.map(({ path }) => path)).toEqual(['/1']);
  });
});

describe('differingBlocks()', () => {
  const viewOf = async (data: Uint8Array): Promise<NonNullable<ReturnType<typeof openTree>>> => {
    const salt = Buffer.from('salt');
    const hashed = await computeHashTree(bytesSource(data), {
      algorithm: 'sha256',
      blockSize: 512,
      salt,
    });
    const all = Buffer.concat([data, hashed.tree]);
    return openTree(bytesSource(all), {
      kind: 'hashtree',
      dmVerityVersion: 1,
      imageSize: data.length,
      treeOffset: data.length,
      treeSize: hashed.tree.length,
      dataBlockSize: 512,
      hashBlockSize: 512,
      fecNumRoots: 0,
      fecOffset: 0,
      fecSize: 0,
      hashAlgorithm: 'sha256',
      partitionName: 'x',
      salt,
      rootDigest: hashed.rootDigest,
      flags: 0,
    })!;
  };

  test('finds exactly the blocks that differ, of any two sizes', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 600 }),
        fc.integer({ min: 1, max: 600 }),
        fc.uniqueArray(fc.nat(599), { maxLength: 12 }),
        async (blocksA, blocksB, flips) => {
          const a = new Uint8Array(blocksA * 512).fill(1);
          const b = new Uint8Array(blocksB * 512).fill(1);
          for (const flip of flips) if (flip < blocksB) b[flip * 512 + 3] = 2;
          const ranges = await differingBlocks(await viewOf(a), await viewOf(b));
          const found = ranges.flatMap(({ first, count: size }) =>
            Array.from({ length: size }, (_, index) => first + index),
          );
          const expected: number[] = [];
          for (let i = 0; i < Math.max(blocksA, blocksB); i += 1) {
            const differs = flips.includes(i) && i < blocksB;
            if (i >= Math.min(blocksA, blocksB) || differs) expected.push(i);
          }
          expect(found).toEqual(expected);
        },
      ),
      { numRuns: 40 },
    );
  });
});

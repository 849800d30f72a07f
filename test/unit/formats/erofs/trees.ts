/** File trees for tests of image formats: random ones, and how to compare any two. */

import { createHash } from 'node:crypto';
import fc from 'fast-check';
import {
  bytesContent,
  device,
  directory,
  regularFile,
  sortedChildren,
  specialFile,
  symlink,
  type Directory,
  type FileContent,
  type Inode,
} from '../../../../src/io/file-tree.ts';

export const BUILD_TIME = 1_700_000_000;

async function contentDigest(content: FileContent): Promise<string> {
  const hash = createHash('sha256');
  let size = 0;
  for await (const chunk of content.stream()) {
    hash.update(chunk);
    size += chunk.length;
  }
  return `${size} ${hash.digest('hex')}`;
}

/** Everything of a tree as plain values, by path: equal trees give equal descriptions. */
export async function describeTree(root: Directory): Promise<Record<string, unknown>> {
  const result: Record<string, unknown> = {};
  const firstPath = new Map<Inode, string>();
  const describeInode = async (path: string, inode: Inode): Promise<void> => {
    const known = firstPath.get(inode);
    if (known !== undefined) {
      result[path] = { linkTo: known };
      return;
    }
    firstPath.set(inode, path);
    const { kind, mode, uid, gid, mtime, mtimeNsec } = inode;
    result[path] = {
      kind,
      mode,
      uid,
      gid,
      mtime,
      mtimeNsec,
      xattrs: [...inode.xattrs]
        .map(([name, value]) => `${name}=${Buffer.from(value).toString('hex')}`)
        .toSorted(),
      ...(inode.kind === 'file' ? { content: await contentDigest(inode.content) } : {}),
      ...(inode.kind === 'symlink' ? { target: inode.target } : {}),
      ...('major' in inode ? { device: `${inode.major}:${inode.minor}` } : {}),
    };
    if (inode.kind !== 'directory') return;
    for (const [name, child] of sortedChildren(inode)) {
      await describeInode(`${path}/${name}`, child);
    }
  };
  await describeInode('', root);
  return result;
}

/** Bytes that differ from block to block and from seed to seed. */
export function testBytes(size: number, seed = 0): Uint8Array {
  const bytes = new Uint8Array(size);
  for (let i = 0; i < size; i += 1) bytes[i] = (i * 7 + (i >> 8) * 13 + seed * 31) & 0xff;
  return bytes;
}

/** The same tree with every directory filled in another order. */
export function shuffled(root: Directory): Directory {
  const copies = new Map<Inode, Inode>();
  const copy = (inode: Inode): Inode => {
    const known = copies.get(inode);
    if (known !== undefined) return known;
    const made =
      inode.kind === 'directory'
        ? { ...inode, children: new Map<string, Inode>() }
        : { ...inode, xattrs: new Map([...inode.xattrs].toReversed()) };
    copies.set(inode, made);
    if (inode.kind === 'directory') {
      const entries = [...inode.children].toReversed();
      for (const [name, child] of [...entries.slice(1), ...entries.slice(0, 1)]) {
        (made as Directory).children.set(name, copy(child));
      }
    }
    return made;
  };
  return copy(root) as Directory;
}

const nameArbitrary = fc
  .oneof(
    fc.stringMatching(/^[a-z!\-.]{1,12}$/),
    fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 }),
    fc.integer({ min: 1, max: 255 }).map((size) => 'n'.repeat(size)),
  )
  .filter(
    (name) =>
      name !== '.' && name !== '..' && !/[/\0]/.test(name) && Buffer.byteLength(name) <= 255,
  );

const attributesArbitrary = fc.record({
  mode: fc.integer({ min: 0, max: 0o7777 }),
  uid: fc.oneof(fc.nat(70000), fc.constant(2 ** 32 - 2)),
  gid: fc.nat(70000),
  mtime: fc.oneof(fc.constant(BUILD_TIME), fc.integer({ min: -(2 ** 33), max: 2 ** 35 })),
  mtimeNsec: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.nat(999_999_999)),
});

const xattrsArbitrary = fc.oneof(
  { weight: 3, arbitrary: fc.constant(new Map<string, Uint8Array>()) },
  fc
    .dictionary(
      fc.oneof(
        fc
          .tuple(
            fc.constantFrom('user.', 'trusted.', 'security.'),
            fc.stringMatching(/^[a-z]{1,20}$/),
          )
          .map(([prefix, name]) => prefix + name),
        fc.constantFrom('system.posix_acl_access', 'system.posix_acl_default'),
      ),
      fc.oneof(
        fc.uint8Array({ maxLength: 40 }),
        fc.nat(9000).map((size) => testBytes(size)),
      ),
      { maxKeys: 4 },
    )
    .map((values) => new Map(Object.entries(values))),
);

const fileSize = fc.oneof(
  fc.nat(200),
  fc.nat(20000),
  fc.constantFrom(4032, 4033, 4064, 4065, 4095, 4096, 4097, 8192, 70000),
);

/** Trees of some dozen inodes of every kind, with hard links. */
export const treeArbitrary: fc.Arbitrary<Directory> = fc
  .array(
    fc.record({
      name: nameArbitrary,
      kind: fc.constantFrom(
        ...(['file', 'file', 'directory', 'symlink', 'char-device', 'block-device'] as const),
        ...(['fifo', 'socket', 'link'] as const),
      ),
      attributes: attributesArbitrary,
      xattrs: xattrsArbitrary,
      size: fileSize,
      number: fc.nat(2 ** 20 - 1),
      parent: fc.nat(1000),
    }),
    { maxLength: 60 },
  )
  .map((specs) => {
    const root = directory({ mtime: BUILD_TIME });
    const directories = [root];
    const others: Inode[] = [];
    for (const { name, kind, attributes, xattrs, size, number, parent } of specs) {
      const into = directories[parent % directories.length]!;
      if (into.children.has(name)) continue;
      const make = (): Inode => {
        switch (kind) {
          case 'file':
            return regularFile(bytesContent(testBytes(size, number)), attributes);
          case 'directory':
            return directory(attributes);
          case 'symlink':
            return symlink('t'.repeat(1 + (size % 4095)), attributes);
          case 'char-device':
          case 'block-device':
            return device(kind, number % 4096, number, attributes);
          case 'fifo':
          case 'socket':
            return specialFile(kind, attributes);
          case 'link':
            return others[number % Math.max(others.length, 1)] ?? directory(attributes);
        }
      };
      const inode = make();
      if (kind !== 'link') inode.xattrs = xattrs;
      into.children.set(name, inode);
      if (inode.kind !== 'directory') others.push(inode);
      else directories.push(inode);
    }
    return root;
  });

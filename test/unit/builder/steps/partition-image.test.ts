import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decodeImageRecord, encodeImageRecord } from '../../../../src/builder/image-record.ts';
import type { PreviousImage } from '../../../../src/builder/image-reuse.ts';
import {
  writePartitionImage,
  type FilesystemOptions,
  type PartitionImage,
  type PartitionImageOptions,
} from '../../../../src/builder/steps/partition-image.ts';
import { fileContent } from '../../../../src/io/disk-tree.ts';
import {
  bytesContent,
  directory,
  regularFile,
  type Directory,
  type RegularFile,
} from '../../../../src/io/file-tree.ts';
import { createFileSink, offsetSink } from '../../../../src/io/image-sink.ts';
import { loadNativeLibrary, type NativeLibrary } from '../../../../src/native/library.ts';
import { fecLayout } from '../../../../src/verity/fec/layout.ts';
import { BUILD_TIME, testBytes } from '../../formats/erofs/trees.ts';
import { bytesOf, partArbitrary, type Part } from '../../native/file-parts.ts';

const library = await loadNativeLibrary();
const libraries: readonly (NativeLibrary | undefined)[] =
  library === undefined ? [undefined] : [library, undefined];
const OFFSET = 1 << 20;

const plain: FilesystemOptions = {
  type: 'erofs',
  compression: 'none',
  deduplicate: false,
  tails: 'inline',
  level: 0,
  clusterSize: 16384,
};
const filesystems: readonly FilesystemOptions[] = [
  plain,
  { ...plain, compression: 'lz4' },
  { ...plain, compression: 'lz4', tails: 'blocks', clusterSize: 4096 },
  { ...plain, compression: 'lz4', tails: 'fragments' },
];

let folder = '';
beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), 'microbuild-partition-'))));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const sha256 = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();

/** Files by path below the root, their attributes by the way. */
interface FileSpec {
  readonly content: readonly Part[];
  readonly seed: number;
  readonly mtime: number;
  readonly xattr: number;
}
type TreeSpec = ReadonlyMap<string, FileSpec>;

/** A tree whose contents count how often they are read. */
function treeOf(spec: TreeSpec): {
  root: Directory;
  digest: (file: RegularFile) => string | undefined;
  reads: { count: number };
} {
  const root = directory({ mtime: BUILD_TIME });
  const digests = new Map<RegularFile, string>();
  const reads = { count: 0 };
  for (const [path, { content, seed, mtime, xattr }] of spec) {
    const bytes = bytesOf(content, seed);
    const file = regularFile(
      {
        size: bytes.length,
        stream() {
          reads.count += 1;
          return bytesContent(bytes).stream();
        },
      },
      { mtime },
    );
    if (xattr > 0) file.xattrs.set('user.x', testBytes(xattr));
    // Some contents are not known.
    if (seed % 7 !== 6) digests.set(file, sha256(bytes).toString('latin1'));
    const [folderName = '', name = ''] = path.split('/');
    const parent = root.children.get(folderName) ?? directory({ mtime: BUILD_TIME });
    root.children.set(folderName, parent);
    if (parent.kind === 'directory') parent.children.set(name, file);
  }
  return { root, digest: (file) => digests.get(file), reads };
}

interface Written {
  readonly path: string;
  readonly image: PartitionImage;
  /** From the partition's start. */
  readonly bytes: Buffer;
}

let count = 0;
async function write(
  root: Directory,
  options: Partial<PartitionImageOptions> = {},
  offset = OFFSET,
): Promise<Written> {
  const path = join(folder, `image-${(count += 1)}`);
  const file = await createFileSink(path);
  try {
    const place = { path, offset };
    const image = await writePartitionImage(root, offsetSink(file, offset), place, {
      buildTime: BUILD_TIME,
      uuid: testBytes(16),
      volumeName: 'test',
      blockSize: 4096,
      filesystem: plain,
      hash: 'sha256',
      salt: testBytes(32, 9),
      library,
      ...options,
    });
    await file.close({ flush: false });
    return { path, image, bytes: readFileSync(path).subarray(offset) };
  } catch (error) {
    await file.close({ flush: false });
    throw error;
  }
}

const previousOf = ({ path, image }: Written): PreviousImage => ({
  path,
  // As it comes back from where it was kept.
  record: decodeImageRecord(encodeImageRecord(image.record)),
});

/** What must be equal, without the bytes themselves, which nobody wants to see printed. */
const factsOf = ({ bytes, image }: Written): unknown => ({
  sha256: sha256(bytes).toString('hex'),
  ...image,
});

const fileArbitrary: fc.Arbitrary<FileSpec> = fc.record({
  content: fc.array(partArbitrary, { maxLength: 3 }),
  seed: fc.nat(30),
  mtime: fc.constantFrom(BUILD_TIME, BUILD_TIME, BUILD_TIME + 1),
  xattr: fc.constantFrom(0, 0, 0, 20, 700),
});
const pathArbitrary = fc
  .tuple(fc.constantFrom('a', 'b', 'c'), fc.stringMatching(/^[a-z]{1,3}$/))
  .map(([parent, name]) => `${parent}/${name}`);
const treeArbitrary = fc
  .array(fc.tuple(pathArbitrary, fileArbitrary), { maxLength: 25 })
  .map((files): TreeSpec => new Map(files));

/** What happens to a tree between two builds. */
type Change =
  | { readonly kind: 'add'; readonly path: string; readonly file: FileSpec }
  | {
      readonly kind: 'remove' | 'grow' | 'shrink' | 'rename' | 'touch' | 'xattr';
      readonly at: number;
      readonly path: string;
    };

const changeArbitrary: fc.Arbitrary<Change> = fc.oneof(
  fc.record({ kind: fc.constant('add' as const), path: pathArbitrary, file: fileArbitrary }),
  fc.record({
    kind: fc.constantFrom<'remove' | 'grow' | 'shrink' | 'rename' | 'touch' | 'xattr'>(
      ...(['remove', 'grow', 'shrink', 'rename', 'touch', 'xattr'] as const),
    ),
    at: fc.nat(100),
    path: pathArbitrary,
  }),
);

function changed(spec: TreeSpec, changes: readonly Change[]): TreeSpec {
  const files = new Map(spec);
  for (const change of changes) {
    if (change.kind === 'add') {
      files.set(change.path, change.file);
      continue;
    }
    const [path, file] = [...files][change.at % Math.max(files.size, 1)] ?? [];
    if (path === undefined || file === undefined) continue;
    switch (change.kind) {
      case 'remove':
        files.delete(path);
        break;
      case 'rename':
        files.delete(path);
        files.set(change.path, file);
        break;
      case 'grow':
        files.set(path, { ...file, content: [...file.content, ['bytes', 5000]] });
        break;
      case 'shrink':
        files.set(path, { ...file, content: file.content.slice(1) });
        break;
      case 'touch':
        files.set(path, { ...file, mtime: file.mtime ^ 1 });
        break;
      case 'xattr':
        files.set(path, { ...file, xattr: file.xattr === 0 ? 900 : 0 });
        break;
    }
  }
  return files;
}

describe.each(filesystems)('writePartitionImage() with %j and a previous image', (filesystem) => {
  it('writes the bytes of a clean build', async () => {
    await fc.assert(
      fc.asyncProperty(
        treeArbitrary,
        fc.array(changeArbitrary, { maxLength: 5 }),
        fc.constantFrom(...libraries),
        fc.constantFrom(undefined, { roots: 2 }),
        fc.constantFrom('sha256' as const, 'sha256' as const, 'sha512' as const),
        async (before, changes, with_, fec, hash) => {
          const options = { filesystem, fec, hash, library: with_ };
          const old = treeOf(before);
          const first = await write(old.root, { ...options, contentDigest: old.digest });
          const spec = changed(before, changes);
          const [clean, again] = [treeOf(spec), treeOf(spec)];
          const expected = await write(
            clean.root,
            { ...options, contentDigest: clean.digest },
            2 * OFFSET,
          );
          const next = await write(
            again.root,
            { ...options, contentDigest: again.digest, previous: previousOf(first) },
            2 * OFFSET,
          );
          expect(factsOf(next)).toEqual(factsOf(expected));
          // And of that one another.
          const third = treeOf(before);
          const back = await write(third.root, {
            ...options,
            contentDigest: third.digest,
            previous: previousOf(next),
          });
          expect(factsOf(back)).toEqual(factsOf(first));
        },
      ),
      { numRuns: 25 },
    );
  });

  it('reads only what is new', async () => {
    const files = Array.from({ length: 50 }, (_, index): [string, FileSpec] => [
      `a/${index}`,
      { content: [['words', 100 + index * 997]], seed: index * 7, mtime: BUILD_TIME, xattr: 0 },
    ]);
    const old = treeOf(new Map(files));
    const first = await write(old.root, { filesystem, contentDigest: old.digest });
    const added: [string, FileSpec] = [
      'a/25a',
      { content: [['words', 50_000]], seed: 999, mtime: BUILD_TIME, xattr: 0 },
    ];
    const spec = new Map([...files.slice(0, 20), added, ...files.slice(21)]);
    const { root, digest, reads } = treeOf(spec);
    const next = await write(root, {
      filesystem,
      contentDigest: digest,
      previous: previousOf(first),
    });
    expect(factsOf(next)).toEqual(
      factsOf(
        await write(treeOf(spec).root, { filesystem, contentDigest: treeOf(spec).digest }).then(
          (clean) => ({ ...clean, image: { ...clean.image, record: next.image.record } }),
        ),
      ),
    );
    // Of files in the packed inode nothing is kept.
    if (filesystem.tails !== 'fragments') expect(reads.count).toBe(1);
  });
});

describe('writePartitionImage()', () => {
  const spec: TreeSpec = new Map([
    ['a/1', { content: [['bytes', 9000]], seed: 1, mtime: BUILD_TIME, xattr: 0 }],
    ['a/2', { content: [['words', 90_000]], seed: 2, mtime: BUILD_TIME, xattr: 0 }],
  ]);

  it.each<[string, Partial<PartitionImageOptions>]>([
    ['another salt', { salt: testBytes(32, 1) }],
    ['another hash', { hash: 'sha512' }],
    ['compression', { filesystem: { ...plain, compression: 'lz4' } }],
  ])('takes nothing of a previous image made with %s', async (_, options) => {
    const old = treeOf(spec);
    const first = await write(old.root, { ...options, contentDigest: old.digest });
    const [clean, again] = [treeOf(spec), treeOf(spec)];
    const expected = await write(clean.root, { contentDigest: clean.digest });
    const next = await write(again.root, {
      contentDigest: again.digest,
      previous: previousOf(first),
    });
    expect(factsOf(next)).toEqual(factsOf(expected));
    expect(again.reads.count).toBe(2);
  });

  it('does without a previous image that is gone or shorter than it was', async () => {
    for (const spoil of [
      (path: string) => rmSync(path),
      (path: string) => truncateSync(path, OFFSET + 4096),
    ]) {
      const old = treeOf(spec);
      const first = await write(old.root, { contentDigest: old.digest });
      const previous = previousOf(first);
      spoil(first.path);
      const again = treeOf(spec);
      expect(factsOf(await write(again.root, { contentDigest: again.digest, previous }))).toEqual(
        factsOf(first),
      );
    }
  });

  it('finds a previous image within another file', async () => {
    const old = treeOf(spec);
    const first = await write(old.root, { contentDigest: old.digest });
    const archive = join(folder, 'archive');
    writeFileSync(archive, Buffer.concat([Buffer.alloc(8192, 1), readFileSync(first.path)]));
    const again = treeOf(spec);
    const previous = { ...previousOf(first), path: archive, start: 8192 };
    expect(factsOf(await write(again.root, { contentDigest: again.digest, previous }))).toEqual(
      factsOf(first),
    );
    expect(again.reads.count).toBe(0);
  });

  it.each(libraries)('writes an image that ends with zeros, with %o', async (with_) => {
    const root = directory({ mtime: BUILD_TIME });
    const path = join(folder, 'zeros');
    writeFileSync(path, new Uint8Array(1 << 20));
    root.children.set('zeros', regularFile(fileContent(path, 1 << 20), { mtime: BUILD_TIME }));
    const { image, bytes } = await write(root, { library: with_ });
    expect(image.size).toBeGreaterThan(1 << 20);
    expect(bytes.length).toBe(image.size + image.tree.treeSize);
  });

  it.each([2, 24])('puts the parity of %i roots behind image and tree', async (roots) => {
    const [withLibrary, without] = [
      await write(treeOf(spec).root, { fec: { roots } }),
      await write(treeOf(spec).root, { fec: { roots }, library: undefined }),
    ];
    expect(factsOf(withLibrary)).toEqual(factsOf(without));
    const { size, tree, fec } = withLibrary.image;
    const { paritySize } = fecLayout(size + tree.treeSize, 4096, roots);
    expect(fec).toEqual({ roots, offset: size + tree.treeSize, size: paritySize });
    expect(withLibrary.bytes.length).toBe(size + tree.treeSize + paritySize);
  });
});

describe('decodeImageRecord()', () => {
  it('refuses any other bytes than those of a record', async () => {
    const { root, digest } = treeOf(
      new Map([
        ['a/1', { content: [['words', 90_000]], seed: 2, mtime: BUILD_TIME, xattr: 0 }],
        ['a/2', { content: [['bytes', 100]], seed: 3, mtime: BUILD_TIME, xattr: 0 }],
      ]),
    );
    const filesystem = { ...plain, compression: 'lz4' } as const;
    const { image } = await write(root, { filesystem, contentDigest: digest });
    const good = encodeImageRecord(image.record);
    expect(decodeImageRecord(good)).toEqual(image.record);
    const outcome = (bytes: Uint8Array): string => {
      try {
        const { size, files } = decodeImageRecord(bytes);
        for (const { bodyOffset, bodySize, tailOffset } of files.values()) {
          expect(Math.max(bodyOffset + bodySize, tailOffset)).toBeLessThanOrEqual(size);
        }
        return 'decoded';
      } catch (error) {
        return (error as Error).name;
      }
    };
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const bytes = good.slice();
        bytes[at] = (bytes[at] ?? 0) ^ change;
        expect(['decoded', 'FormatError']).toContain(outcome(bytes));
        expect(outcome(good.subarray(0, at))).toBe('FormatError');
      }),
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(outcome(bytes)).toBe('FormatError');
      }),
    );
  });
});

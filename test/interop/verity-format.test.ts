/** Whole hash areas, with every parameter dm-verity has, against cryptsetup's veritysetup. */

import fc from 'fast-check';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { fromHex, toHex } from '../../src/core/digest.ts';
import { openFileSource, sliceSource } from '../../src/io/byte-source.ts';
import { MemorySink } from '../../src/io/image-sink.ts';
import {
  planHashArea,
  treeOffsetOf,
  writeHashArea,
  type PlanOptions,
} from '../../src/verity/dm-verity.ts';
import { decodeSuperblock } from '../../src/verity/superblock.ts';
import { parseUuid } from '../../src/verity/uuid.ts';
import { verifyHashTree } from '../../src/verity/verify-hash-tree.ts';
import { tmpDir } from '../support/tmp-dir.ts';
import { runTool } from '../support/tools.ts';

const UUID = '01234567-89ab-8def-8123-456789abcdef';

/** Different in every 512 bytes, with a run of zeros. */
function patterned(size: number): Buffer {
  const data = Buffer.alloc(size, 'microbuild');
  for (let at = 0; at + 4 <= size; at += 512) data.writeUInt32LE(at, at);
  return data.fill(0, size >> 2, size >> 1);
}

interface Case {
  readonly hashType: 0 | 1;
  readonly algorithm: 'sha256' | 'sha384' | 'sha512';
  readonly dataBlockSize: number;
  readonly hashBlockSize: number;
  readonly salt: Uint8Array;
  readonly blocks: number;
  readonly hashOffset: number;
  readonly hasSuperblock: boolean;
}

const anyCase: fc.Arbitrary<Case> = fc.record({
  hashType: fc.constantFrom(0, 1),
  algorithm: fc.constantFrom('sha256', 'sha384', 'sha512'),
  dataBlockSize: fc.constantFrom(512, 1024, 4096, 16384, 65536),
  hashBlockSize: fc.constantFrom(512, 1024, 4096, 16384, 65536),
  salt: fc.uint8Array({ minLength: 0, maxLength: 256 }),
  blocks: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constantFrom(64, 65, 128, 129, 513)),
  hashOffset: fc.constantFrom(0, 65536, 131072),
  hasSuperblock: fc.boolean(),
});

const argumentsOf = (each: Case): string[] => [
  `--format=${each.hashType}`,
  `--hash=${each.algorithm}`,
  `--data-block-size=${each.dataBlockSize}`,
  `--hash-block-size=${each.hashBlockSize}`,
  `--salt=${each.salt.length === 0 ? '-' : toHex(each.salt)}`,
  `--data-blocks=${each.blocks}`,
  `--hash-offset=${each.hashOffset}`,
  ...(each.hasSuperblock ? [] : ['--no-superblock']),
];

async function withSource<T>(
  path: string,
  use: (source: Awaited<ReturnType<typeof openFileSource>>) => Promise<T>,
): Promise<T> {
  const source = await openFileSource(path);
  try {
    return await use(source);
  } finally {
    await source.close();
  }
}

/** Formats the first blocks of a file. @returns the root digest and the hash area's file. */
const formatHere = (
  dataPath: string,
  each: Case,
  more: Partial<PlanOptions> & { readonly uuid?: Uint8Array | undefined } = {},
): Promise<{ rootDigest: Uint8Array; file: Uint8Array }> =>
  withSource(dataPath, async (source) => {
    const target = new MemorySink();
    const data = sliceSource(source, 0, each.blocks * each.dataBlockSize);
    const plan = await planHashArea(data, { ...each, ...more });
    const uuid = 'uuid' in more ? more.uuid : parseUuid(UUID);
    const { rootDigest } = await writeHashArea(data, target, plan, { uuid });
    return { rootDigest, file: target.bytes() };
  });

describe('veritysetup', () => {
  test('any parameters give the same root digest and the same hash file, and each verifies the other’s', async () => {
    const dir = tmpDir();
    const [dataPath, theirs, ours] = ['data', 'theirs', 'ours'].map((name) => join(dir, name)) as [
      string,
      string,
      string,
    ];
    await fc.assert(
      fc.asyncProperty(anyCase, async (each) => {
        writeFileSync(dataPath, patterned((each.blocks + 1) * each.dataBlockSize));
        writeFileSync(theirs, new Uint8Array(0));
        const format = runTool('veritysetup', [
          'format',
          ...argumentsOf(each),
          ...(each.hasSuperblock ? [`--uuid=${UUID}`] : []),
          dataPath,
          theirs,
        ]);
        expect(format).toMatchObject({ status: 0 });
        const root = /^Root hash:\s+(\S+)$/m.exec(format.stdout)?.[1] ?? '';

        const { rootDigest, file } = await formatHere(dataPath, each);
        expect(toHex(rootDigest)).toBe(root);
        const expected = readFileSync(theirs);
        // Without any level there is no tree: what a file of theirs then has behind the offset is nothing.
        expect(Buffer.compare(expected, file)).toBe(0);

        writeFileSync(ours, file);
        const verify = runTool('veritysetup', [
          'verify',
          ...argumentsOf(each),
          dataPath,
          ours,
          root,
        ]);
        expect(verify).toMatchObject({ status: 0 });

        const parameters = each.hasSuperblock
          ? decodeSuperblock(expected.subarray(each.hashOffset))
          : each;
        const report = await withSource(theirs, (hash) =>
          withSource(dataPath, (data) => {
            const at = treeOffsetOf(each, each.hashBlockSize);
            return verifyHashTree(
              sliceSource(data, 0, each.blocks * each.dataBlockSize),
              sliceSource(hash, Math.min(at, hash.size), Math.max(hash.size - at, 0)),
              { ...parameters, rootDigest: fromHex(root) },
            );
          }),
        );
        expect(report).toMatchObject({ intact: true, strayBytes: [], dataBlocks: each.blocks });
      }),
      { numRuns: 50 },
    );
  });

  test('what it formats with sha1 verifies here, in both forms', async () => {
    const dir = tmpDir();
    const [dataPath, hashPath] = [join(dir, 'data'), join(dir, 'hash')];
    writeFileSync(dataPath, patterned(300 * 4096));
    for (const hashType of [0, 1] as const) {
      const format = runTool('veritysetup', [
        'format',
        `--format=${hashType}`,
        '--hash=sha1',
        '--salt=ab',
        dataPath,
        hashPath,
      ]);
      const root = /^Root hash:\s+(\S+)$/m.exec(format.stdout)?.[1] ?? '';
      const superblock = decodeSuperblock(readFileSync(hashPath));
      expect(superblock).toMatchObject({ hashType, algorithm: 'sha1', dataBlocks: 300 });
      const report = await withSource(dataPath, (data) =>
        withSource(hashPath, (hash) =>
          verifyHashTree(data, sliceSource(hash, 4096, hash.size - 4096), {
            ...superblock,
            rootDigest: fromHex(root),
          }),
        ),
      );
      expect(report.intact).toBe(true);
    }
  });

  test('a derived salt and UUID are read there as ours, and depend on the content alone', async () => {
    const dir = tmpDir();
    const [one, same, other, hash] = ['one', 'same', 'other', 'hash'].map((name) =>
      join(dir, name),
    ) as [string, string, string, string];
    const data = patterned(200 * 4096);
    writeFileSync(one, data);
    writeFileSync(same, data);
    data[data.length - 1]! ^= 1;
    writeFileSync(other, data);
    const each: Case = {
      hashType: 1,
      algorithm: 'sha256',
      dataBlockSize: 4096,
      hashBlockSize: 4096,
      salt: new Uint8Array(0),
      blocks: 200,
      hashOffset: 0,
      hasSuperblock: true,
    };
    const derived = { salt: undefined, uuid: undefined };
    const made = await formatHere(one, each, derived);
    expect(Buffer.compare(made.file, (await formatHere(same, each, derived)).file)).toBe(0);
    const { salt, uuid } = decodeSuperblock(made.file);
    const changed = decodeSuperblock((await formatHere(other, each, derived)).file);
    expect(salt).toHaveLength(32);
    expect(toHex(changed.salt)).not.toBe(toHex(salt));
    expect(toHex(changed.uuid)).not.toBe(toHex(uuid));
    writeFileSync(hash, made.file);
    expect(statSync(hash).size).toBe(made.file.length);
    const dump = runTool('veritysetup', ['dump', hash]).stdout;
    expect(dump).toContain(toHex(salt));
    expect(dump.replaceAll('-', '')).toContain(toHex(uuid));
  });

  test('both name a byte that is not zero where no digest is', async () => {
    const dir = tmpDir();
    const [dataPath, hashPath] = [join(dir, 'data'), join(dir, 'hash')];
    writeFileSync(dataPath, patterned(3 * 4096));
    // A tree of one block, whose root is made again over the stray byte.
    const format = runTool('veritysetup', [
      'format',
      '--no-superblock',
      '--salt=-',
      dataPath,
      hashPath,
    ]);
    expect(format.status).toBe(0);
    const block = readFileSync(hashPath);
    block[4000] = 1;
    writeFileSync(hashPath, block);
    const { rootDigest } = await formatHere(hashPath, {
      hashType: 1,
      algorithm: 'sha256',
      dataBlockSize: 4096,
      hashBlockSize: 4096,
      salt: new Uint8Array(0),
      blocks: 1,
      hashOffset: 0,
      hasSuperblock: false,
    });
    const verify = runTool('veritysetup', [
      'verify',
      '--no-superblock',
      '--salt=-',
      dataPath,
      hashPath,
      toHex(rootDigest),
    ]);
    expect(verify.status).not.toBe(0);
    expect(verify.stderr).toContain('Spare area is not zeroed');
    const report = await withSource(dataPath, (data) =>
      withSource(hashPath, (hash) =>
        verifyHashTree(data, hash, { algorithm: 'sha256', rootDigest }),
      ),
    );
    expect(report).toMatchObject({ intact: true, strayBytes: [{ level: 0, index: 0 }] });
  });
});

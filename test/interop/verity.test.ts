/** dm-verity hash trees against cryptsetup's veritysetup. */

import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { fromHex, toHex } from '../../src/core/digest.ts';
import { openFileSource } from '../../src/io/byte-source.ts';
import { createFileSink, offsetSink } from '../../src/io/image-sink.ts';
import { computeHashTree, createHashTreeSink } from '../../src/verity/hash-tree.ts';
import { verifyHashTree } from '../../src/verity/verify-hash-tree.ts';
import { tmpDir } from '../support/tmp-dir.ts';
import { runTool } from '../support/tools.ts';

const SALT = '00112233445566778899aabbccddeeff0123456789abcdeffedcba9876543210';
const blocksOf = [1, 2, 128, 129, 16385];
const cases = blocksOf.flatMap((blocks) =>
  (['sha256', 'sha512'] as const).flatMap((algorithm) =>
    ['', SALT].map((salt) => ({ blocks, algorithm, salt })),
  ),
);
/** Different in every block, cheap to make. */
function patternedBlocks(blocks: number, blockSize: number): Uint8Array {
  const data = Buffer.alloc(blocks * blockSize, 'microbuild');
  for (let i = 0; i < blocks; i += 1) data.writeUInt32LE(i, i * blockSize);
  return data;
}
const formatArgs = (algorithm: string, salt: string, blockSize = 4096): string[] => [
  '--no-superblock',
  '--format=1',
  `--hash=${algorithm}`,
  `--salt=${salt === '' ? '-' : salt}`,
  `--data-block-size=${blockSize}`,
  `--hash-block-size=${blockSize}`,
];

describe('veritysetup', () => {
  test.each(cases)(
    '$blocks blocks, $algorithm, salt "$salt": same root digest and tree, and our tree verifies',
    async ({ blocks, algorithm, salt }) => {
      const dir = tmpDir();
      const dataPath = join(dir, 'data');
      const theirs = join(dir, 'theirs');
      const ours = join(dir, 'ours');
      writeFileSync(dataPath, patternedBlocks(blocks, 4096));
      const format = runTool('veritysetup', [
        'format',
        ...formatArgs(algorithm, salt),
        dataPath,
        theirs,
      ]);
      expect(format).toMatchObject({ status: 0 });

      const source = await openFileSource(dataPath);
      const { rootDigest, tree } = await computeHashTree(source, {
        algorithm,
        salt: fromHex(salt),
      });
      await source.close();
      expect(format.stdout).toMatch(new RegExp(`^Root hash: +\\t${toHex(rootDigest)}$`, 'm'));
      expect(Buffer.compare(readFileSync(theirs), tree)).toBe(0);

      writeFileSync(ours, tree);
      const verify = runTool('veritysetup', [
        'verify',
        ...formatArgs(algorithm, salt),
        `--data-blocks=${blocks}`,
        dataPath,
        ours,
        toHex(rootDigest),
      ]);
      expect(verify).toMatchObject({ status: 0 });
    },
  );

  test('a tree written in the same pass as the data, in one file, verifies there', async () => {
    const path = join(tmpDir(), 'image');
    const data = patternedBlocks(200, 4096);
    const file = await createFileSink(path);
    const sink = createHashTreeSink(offsetSink(file, 0), {
      algorithm: 'sha256',
      salt: fromHex(SALT),
      dataSize: data.length,
    });
    for (let block = 199; block >= 0; block -= 1) {
      await sink.write(block * 4096, data.subarray(block * 4096, (block + 1) * 4096));
    }
    const { rootDigest, treeOffset, treeSize } = await sink.finish();
    await file.close();
    expect(statSync(path).size).toBe(treeOffset + treeSize);
    const verify = runTool('veritysetup', [
      'verify',
      ...formatArgs('sha256', SALT),
      '--data-blocks=200',
      `--hash-offset=${treeOffset}`,
      path,
      path,
      toHex(rootDigest),
    ]);
    expect(verify).toMatchObject({ status: 0 });
  });

  test('both refuse the same flipped byte', async () => {
    const dir = tmpDir();
    const dataPath = join(dir, 'data');
    const treePath = join(dir, 'tree');
    const data = patternedBlocks(150, 4096);
    writeFileSync(dataPath, data);
    const format = runTool('veritysetup', [
      'format',
      ...formatArgs('sha256', SALT),
      dataPath,
      treePath,
    ]);
    const root = /^Root hash:\s+(\S+)$/m.exec(format.stdout)?.[1] ?? '';
    data[140 * 4096 + 77]! ^= 1;
    writeFileSync(dataPath, data);
    const verify = runTool('veritysetup', [
      'verify',
      ...formatArgs('sha256', SALT),
      '--data-blocks=150',
      dataPath,
      treePath,
      root,
    ]);
    expect(verify.status).not.toBe(0);
    const [dataSource, treeSource] = [
      await openFileSource(dataPath),
      await openFileSource(treePath),
    ];
    const report = await verifyHashTree(dataSource, treeSource, {
      algorithm: 'sha256',
      salt: fromHex(SALT),
      rootDigest: fromHex(root),
    });
    await dataSource.close();
    await treeSource.close();
    expect(report.corrupt).toMatchObject([{ level: 'data', index: 140 }]);
  });

  test.each(['sha1', 'sha384'] as const)(
    'what it makes with %s and blocks of 1024 verifies here',
    async (algorithm) => {
      const dir = tmpDir();
      const dataPath = join(dir, 'data');
      const treePath = join(dir, 'tree');
      writeFileSync(dataPath, patternedBlocks(100, 1024));
      const format = runTool('veritysetup', [
        'format',
        ...formatArgs(algorithm, SALT, 1024),
        dataPath,
        treePath,
      ]);
      const root = /^Root hash:\s+(\S+)$/m.exec(format.stdout)?.[1] ?? '';
      const [dataSource, treeSource] = [
        await openFileSource(dataPath),
        await openFileSource(treePath),
      ];
      const report = await verifyHashTree(dataSource, treeSource, {
        algorithm,
        blockSize: 1024,
        salt: fromHex(SALT),
        rootDigest: fromHex(root),
      });
      await dataSource.close();
      await treeSource.close();
      expect(report.intact).toBe(true);
    },
  );
});

/** Parity and repair against cryptsetup's veritysetup, and against what it wrote in the shared data. */

import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { fromHex } from '../../src/core/digest.ts';
import { bytesSource } from '../../src/io/byte-source.ts';
import { MemorySink } from '../../src/io/image-sink.ts';
import type { TreeAlgorithm } from '../../src/verity/block-hasher.ts';
import { fecLayout } from '../../src/verity/fec/layout.ts';
import { fecMatrix } from '../../src/verity/fec/matrix.ts';
import { writeParity } from '../../src/verity/fec/parity.ts';
import { repairImage } from '../../src/verity/fec/repair.ts';
import { computeHashTree } from '../../src/verity/hash-tree.ts';
import { corpus, corpusPath } from '../support/corpus.ts';
import { memoryImage } from '../support/memory-image.ts';
import { tmpDir } from '../support/tmp-dir.ts';
import { runTool } from '../support/tools.ts';

function noise(size: number): Buffer {
  const data = Buffer.alloc(size);
  for (let i = 0; i < size; i += 1) data[i] = Math.imul(i + 1, 2654435761) >>> 24;
  return data;
}

async function parityOf(
  parts: readonly Uint8Array[],
  blockSize: number,
  roots: number,
): Promise<Uint8Array> {
  const covered = parts.reduce((sum, part) => sum + part.length, 0);
  const target = new MemorySink();
  const layout = fecLayout(covered, blockSize, roots);
  await writeParity(
    fecMatrix(
      parts.map((part) => bytesSource(part)),
      layout,
    ),
    target,
  );
  return target.bytes();
}

const rootOf = (stdout: string): string => /^Root hash:\s+(\S+)$/m.exec(stdout)?.[1] ?? '';

describe('veritysetup', () => {
  test.each([
    { blocks: 1, blockSize: 4096, roots: 2 },
    { blocks: 300, blockSize: 4096, roots: 2 },
    { blocks: 254, blockSize: 4096, roots: 7 },
    { blocks: 600, blockSize: 512, roots: 16 },
    { blocks: 300, blockSize: 1024, roots: 24 },
  ])(
    '$blocks blocks of $blockSize, $roots roots: the same parity over data and tree',
    async ({ blocks, blockSize, roots }) => {
      const dir = tmpDir();
      const [data, hash, fec] = [join(dir, 'data'), join(dir, 'hash'), join(dir, 'fec')];
      writeFileSync(data, noise(blocks * blockSize));
      const format = runTool('veritysetup', [
        'format',
        `--data-block-size=${blockSize}`,
        `--hash-block-size=${blockSize}`,
        '--salt=-',
        `--fec-device=${fec}`,
        `--fec-roots=${roots}`,
        data,
        hash,
      ]);
      expect(format).toMatchObject({ status: 0 });
      const treeStart = Math.max(blockSize, 512);
      const parts = [readFileSync(data), readFileSync(hash).subarray(treeStart)];
      const ours = await parityOf(parts, blockSize, roots);
      expect(Buffer.compare(readFileSync(fec), ours)).toBe(0);
    },
  );

  test('in one file, with metadata between tree and parity: the same parity, and it repairs ours', async () => {
    const path = join(tmpDir(), 'image');
    const data = noise(400 * 4096);
    const hashOffset = data.length;
    const fecOffset = hashOffset + 12 * 4096;
    writeFileSync(path, Buffer.concat([data, Buffer.alloc(12 * 4096, 'metadata')]));
    const args = [
      '--no-superblock',
      '--salt=00ff',
      '--data-blocks=400',
      `--hash-offset=${hashOffset}`,
      `--fec-device=${path}`,
      `--fec-offset=${fecOffset}`,
      '--fec-roots=4',
    ];
    const format = runTool('veritysetup', ['format', ...args, path, path]);
    expect(format).toMatchObject({ status: 0 });
    const image = readFileSync(path);
    const ours = await parityOf([image.subarray(0, fecOffset)], 4096, 4);
    expect(Buffer.compare(image.subarray(fecOffset), ours)).toBe(0);

    // It finds errors that can be repaired in what we wrote.
    image.set(ours, fecOffset);
    image[77 * 4096 + 5]! ^= 1;
    writeFileSync(path, image);
    const verify = runTool('veritysetup', ['verify', ...args, path, path, rootOf(format.stdout)]);
    expect(verify.stderr).toContain('Found 1 repairable errors');
  });

  test('what it protects, with several blocks gone in data and tree, comes back byte for byte', async () => {
    const dir = tmpDir();
    const [dataPath, hashPath, fecPath] = ['data', 'hash', 'fec'].map((name) =>
      join(dir, name),
    ) as [string, string, string];
    const data = noise(500 * 4096);
    writeFileSync(dataPath, data);
    const format = runTool('veritysetup', [
      'format',
      '--salt=1234',
      `--fec-device=${fecPath}`,
      '--fec-roots=2',
      dataPath,
      hashPath,
    ]);
    const tree = readFileSync(hashPath).subarray(4096);
    const [badData, badTree] = [memoryImage(data.slice()), memoryImage(tree.slice())];
    for (const block of [0, 17, 302]) badData.bytes.fill(0xaa, block * 4096, (block + 1) * 4096);
    badTree.bytes.fill(0, 4096, 8192);
    const { report } = await repairImage(
      {
        data: badData.source,
        hashArea: badTree.source,
        parity: bytesSource(readFileSync(fecPath)),
        dataSink: badData,
        hashAreaSink: badTree,
      },
      {
        algorithm: 'sha256',
        dataBlockSize: 4096,
        hashBlockSize: 4096,
        salt: fromHex('1234'),
        rootDigest: fromHex(rootOf(format.stdout)),
        roots: 2,
      },
    );
    expect(report.intact).toBe(true);
    expect(Buffer.compare(badData.bytes, data)).toBe(0);
    expect(Buffer.compare(badTree.bytes, tree)).toBe(0);
  });
});

interface FecCase {
  readonly size: number;
  readonly alg: TreeAlgorithm;
  readonly salt: string;
  readonly rc: number;
  readonly fec_roots?: number;
  readonly fec_sha256?: string;
}

describe.skipIf(corpus === undefined)('parity of the shared data', () => {
  test('every case that has one', async () => {
    const { cases } = JSON.parse(readFileSync(corpusPath('verity', 'dmverity.json'), 'utf8')) as {
      cases: FecCase[];
    };
    const withFec = cases.filter(({ rc, fec_sha256 }) => rc === 0 && fec_sha256 !== undefined);
    expect(withFec.length).toBeGreaterThan(0);
    for (const { size, alg, salt, fec_roots = 2, fec_sha256 } of withFec) {
      const data = new Uint8Array(size);
      for (let i = 0; i < size; i += 1) data[i] = i;
      const { tree } = await computeHashTree(bytesSource(data), {
        algorithm: alg,
        salt: fromHex(salt),
      });
      const parity = await parityOf([data, tree], 4096, fec_roots);
      const digest = createHash('sha256').update(parity).digest('hex');
      expect({ size, alg, salt, digest }).toEqual({ size, alg, salt, digest: fec_sha256 });
    }
  });
});

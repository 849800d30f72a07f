import { createHash } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { toHex } from '../../../src/core/digest.ts';
import { FormatError, UsageError } from '../../../src/core/errors.ts';
import { bytesSource, type ByteSource } from '../../../src/io/byte-source.ts';
import { MemorySink } from '../../../src/io/image-sink.ts';
import { formatDmVerity, planHashArea } from '../../../src/verity/dm-verity.ts';
import { computeHashTree } from '../../../src/verity/hash-tree.ts';
import { verifyHashTree } from '../../../src/verity/verify-hash-tree.ts';
import { writeHashTree } from '../../../src/verity/write-hash-tree.ts';

const data = Uint8Array.from({ length: 40 * 512 }, (_, i) => (i * 31) >> 3);
const options = {
  algorithm: 'sha256',
  hashType: 1,
  dataBlockSize: 512,
  hashBlockSize: 512,
  salt: new Uint8Array([9]),
  hashOffset: 0,
  hasSuperblock: true,
} as const;

describe('planHashArea', () => {
  test.each([
    ['sha1', { algorithm: 'sha1' }, UsageError],
    ['data of half a block', { dataBlockSize: 1024 * 16 }, UsageError],
    ['a superblock within a sector', { hashOffset: 100 }, UsageError],
    ['a tree within a block', { hasSuperblock: false, hashOffset: 256 }, UsageError],
    ['a salt of 257 bytes', { salt: new Uint8Array(257) }, FormatError],
    ['blocks of 100 bytes', { hashBlockSize: 100 }, FormatError],
  ] as const)('%s is refused', async (_, more, kind) => {
    await expect(planHashArea(bytesSource(data), { ...options, ...more })).rejects.toThrow(kind);
  });

  test('no data is refused', async () => {
    const plan = planHashArea(bytesSource(new Uint8Array(0)), options);
    await expect(plan).rejects.toMatchObject({ code: 'out-of-range', field: 'data_blocks' });
  });

  test('a derived salt depends on data and parameters, not on the name', async () => {
    const saltOf = async (bytes: Uint8Array, more = {}, name = 'a'): Promise<string> =>
      toHex(
        (await planHashArea(bytesSource(bytes, name), { ...options, salt: undefined, ...more }))
          .salt,
      );
    const changed = data.slice();
    changed[data.length - 1]! ^= 1;
    const first = await saltOf(data);
    expect(first).toHaveLength(64);
    expect(await saltOf(data, {}, 'b')).toBe(first);
    const others = [
      await saltOf(changed),
      await saltOf(data.subarray(512)),
      await saltOf(data, { hashBlockSize: 1024 }),
      await saltOf(data, { algorithm: 'sha512' }),
      await saltOf(data, { hashType: 0 }),
    ];
    expect(new Set([first, ...others]).size).toBe(others.length + 1);
  });
});

describe('formatDmVerity', () => {
  test('BLAKE2b-256 gives the tree of another implementation, and it verifies', async () => {
    const { runTool } = await import('../../support/tools.ts');
    const target = new MemorySink();
    const area = await formatDmVerity(bytesSource(data), target, {
      ...options,
      algorithm: 'blake2b-256',
    });
    const theirs = runTool('python3', [
      '-c',
      `import hashlib
h = lambda b: hashlib.blake2b(b"\\x09" + b, digest_size=32).digest()
level = bytes(((i * 31) >> 3) & 255 for i in range(40 * 512))
while len(level) > 512:
    level = b"".join(h(level[i:i+512]) for i in range(0, len(level), 512))
    level += bytes(-len(level) % 512)
print(h(level).hex())`,
    ]);
    expect(toHex(area.rootDigest)).toBe(theirs.stdout.trim());
    const tree = target.bytes().subarray(area.treeOffset);
    const report = await verifyHashTree(bytesSource(data), bytesSource(tree), area);
    expect(report).toMatchObject({ intact: true, strayBytes: [] });
  });

  test('hash type 0 hashes the salt behind the block and keeps digests side by side', async () => {
    const target = new MemorySink();
    const { treeOffset, rootDigest } = await formatDmVerity(bytesSource(data), target, {
      ...options,
      algorithm: 'sha384',
      hashType: 0,
    });
    const file = target.bytes();
    const leaf = createHash('sha384')
      .update(data.subarray(512, 1024))
      .update(options.salt)
      .digest();
    // Eight digests of 48 bytes a block: five leaf blocks below one.
    const leaves = file.subarray(treeOffset + 512);
    expect(leaves).toHaveLength(5 * 512);
    expect(Buffer.compare(leaves.subarray(48, 96), leaf)).toBe(0);
    const top = createHash('sha384').update(file.subarray(treeOffset, treeOffset + 512));
    expect(toHex(rootDigest)).toBe(top.update(options.salt).digest('hex'));
  });

  test('an aborted signal stops it, and progress ends at the size of the data', async () => {
    const target = new MemorySink();
    const told: number[] = [];
    await formatDmVerity(bytesSource(data), target, {
      ...options,
      onProgress: (n) => told.push(n),
    });
    expect(told.at(-1)).toBe(data.length);
    const signal = AbortSignal.abort(new Error('enough'));
    const stopped = formatDmVerity(bytesSource(data), new MemorySink(), { ...options, signal });
    await expect(stopped).rejects.toThrow('enough');
  });
});

describe('writeHashTree', () => {
  test.each([1, 2, 15, 16, 17, 256, 257, 16384 + 5, 70_000])(
    'over %i blocks it writes what computeHashTree keeps in memory',
    async (blocks) => {
      const bytes = new Uint8Array(blocks * 512);
      for (let i = 0; i < blocks; i += 3) bytes[i * 512] = i % 251;
      const expected = await computeHashTree(bytesSource(bytes), {
        algorithm: 'sha256',
        blockSize: 512,
      });
      const target = new MemorySink();
      const { rootDigest } = await writeHashTree(bytesSource(bytes), target, {
        algorithm: 'sha256',
        dataBlockSize: 512,
        hashBlockSize: 512,
        salt: new Uint8Array(0),
      });
      expect(toHex(rootDigest)).toBe(toHex(expected.rootDigest));
      expect(Buffer.compare(target.bytes(), expected.tree)).toBe(0);
    },
  );

  test('it reads nothing any more when it fails, so that the source may be closed', async () => {
    const blocks = 200_000;
    let reading = 0;
    const zeros = new Uint8Array(1 << 22);
    const source: ByteSource = {
      name: 'slow',
      size: blocks * 512,
      async read(_offset, length) {
        reading += 1;
        await setTimeout(5);
        reading -= 1;
        return zeros.subarray(0, length);
      },
      close: () => Promise.resolve(),
    };
    const full = { write: () => Promise.reject(new Error('disk full')) };
    const parameters = { algorithm: 'sha256', dataBlockSize: 512, hashBlockSize: 512 } as const;
    const writing = writeHashTree(source, full, { ...parameters, salt: new Uint8Array(0) });
    await expect(writing).rejects.toThrow('disk full');
    expect(reading).toBe(0);
  });
});

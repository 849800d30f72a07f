import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { fromHex, toHex } from '../../../src/core/digest.ts';
import { UsageError } from '../../../src/core/errors.ts';
import { bytesSource } from '../../../src/io/byte-source.ts';
import { MemorySink } from '../../../src/io/image-sink.ts';
import {
  formattedDigest,
  fsVerityDigest,
  type FsVerityAlgorithm,
} from '../../../src/verity/fs-verity.ts';
import { corpus, corpusPath } from '../../support/corpus.ts';

const none = new Uint8Array(0);
const sha256 = { algorithm: 'sha256', blockSize: 4096, salt: none } as const;

describe('fsVerityDigest', () => {
  test('of an empty file is that of a descriptor with a root of zeros', async () => {
    const { digest, descriptor, treeSize } = await fsVerityDigest(bytesSource(none), sha256);
    const expected = new Uint8Array(256);
    expected.set([1, 1, 12]);
    expect(descriptor).toEqual(expected);
    expect(treeSize).toBe(0);
    expect(toHex(digest)).toBe(createHash('sha256').update(expected).digest('hex'));
  });

  test('the descriptor says size, salt and block size', async () => {
    const salt = fromHex('a0a1');
    const options = { algorithm: 'sha512', blockSize: 1024, salt } as const;
    const { descriptor, rootDigest } = await fsVerityDigest(
      bytesSource(new Uint8Array(70_000)),
      options,
    );
    expect([...descriptor.subarray(0, 4)]).toEqual([1, 2, 10, 2]);
    expect(new DataView(descriptor.buffer).getBigUint64(8, true)).toBe(70_000n);
    expect(toHex(descriptor.subarray(16, 80))).toBe(toHex(rootDigest));
    expect(toHex(descriptor.subarray(80, 84))).toBe('a0a10000');
  });

  test.each([
    { blockSize: 32, salt: none },
    { blockSize: 3000, salt: none },
    { blockSize: 131072, salt: none },
    { blockSize: 4096, salt: new Uint8Array(33) },
  ])('blocks of $blockSize and a salt of $salt.length bytes are refused', async (options) => {
    const digest = fsVerityDigest(bytesSource(none), { algorithm: 'sha256', ...options });
    await expect(digest).rejects.toThrow(UsageError);
  });

  test('what a built-in signature signs names algorithm and size', () => {
    const formatted = formattedDigest('sha512', new Uint8Array(64).fill(7));
    expect(toHex(formatted)).toBe(`465356657269747902004000${'07'.repeat(64)}`);
  });
});

interface DigestVector {
  readonly name: string;
  readonly hash: FsVerityAlgorithm;
  readonly block_size: number;
  readonly salt: string;
  readonly file_size: number;
  /** A formula, always the same one, or a byte in hexadecimal. */
  readonly fill: string;
  readonly digest: string;
}
interface TreeVector {
  readonly size: number;
  readonly pattern_start: number;
  readonly salt: string;
  readonly fsverity_digest: string;
  readonly root: string;
  readonly tree_sha256: string;
  readonly descriptor_hex: string;
}
const readJson = (...parts: string[]): unknown =>
  JSON.parse(readFileSync(corpusPath(...parts), 'utf8'));

describe.skipIf(corpus === undefined)('vectors of fsverity-utils', () => {
  test('every digest', async () => {
    const { digest_vectors: vectors } = readJson('sig-fsverity', 'vectors.json') as {
      digest_vectors: DigestVector[];
    };
    expect(vectors.length).toBeGreaterThan(0);
    for (const vector of vectors) {
      const file = new Uint8Array(vector.file_size);
      if (vector.fill.startsWith('byte i =')) {
        for (let i = 0; i < file.length; i += 1) file[i] = (i % 11) + (i % 439) + (i % 1103);
      } else {
        file.fill(Number.parseInt(vector.fill, 16));
      }
      const { digest } = await fsVerityDigest(bytesSource(file), {
        algorithm: vector.hash,
        blockSize: vector.block_size,
        salt: fromHex(vector.salt),
      });
      expect([vector.name, toHex(digest)]).toEqual([vector.name, vector.digest]);
    }
  });

  test('every root, tree and descriptor', async () => {
    const { cases } = readJson('verity', 'fsverity.json') as { cases: TreeVector[] };
    expect(cases.length).toBeGreaterThan(0);
    for (const each of cases) {
      const file = new Uint8Array(each.size);
      for (let i = 0; i < file.length; i += 1) file[i] = each.pattern_start + i;
      const tree = new MemorySink();
      const result = await fsVerityDigest(bytesSource(file), {
        ...sha256,
        salt: fromHex(each.salt),
        tree,
      });
      expect({
        size: each.size,
        root: toHex(result.rootDigest),
        tree: createHash('sha256').update(tree.bytes()).digest('hex'),
        descriptor: toHex(result.descriptor),
        digest: `sha256:${toHex(result.digest)}`,
      }).toEqual({
        size: each.size,
        root: each.root,
        tree: each.tree_sha256,
        descriptor: each.descriptor_hex,
        digest: each.fsverity_digest,
      });
    }
  });
});

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, test } from 'vitest';
import {
  readRootHash,
  rootHashOfDigits,
} from '../../../../src/cli/commands/sign/root-hash-source.ts';
import { toHex } from '../../../../src/core/digest.ts';
import { FormatError, UsageError } from '../../../../src/core/errors.ts';
import type { HashtreeDescriptor } from '../../../../src/formats/avb/descriptor.ts';
import { encodeUnsignedVbmeta, encodeVbmeta } from '../../../../src/formats/avb/vbmeta.ts';
import { bytesSource } from '../../../../src/io/byte-source.ts';
import { MemorySink } from '../../../../src/io/image-sink.ts';
import { formatDmVerity } from '../../../../src/verity/dm-verity.ts';
import { tmpDir } from '../../../support/tmp-dir.ts';

const DIGITS = 'ab'.repeat(32);
const anywhere = { hashOffset: undefined, partition: undefined };

describe('rootHashOfDigits()', () => {
  test.each([
    [DIGITS, DIGITS],
    [DIGITS.toUpperCase(), DIGITS],
    ['ab'.repeat(20), 'ab'.repeat(20)],
    ['ab'.repeat(64), 'ab'.repeat(64)],
    ['ab'.repeat(31), undefined],
    [`${DIGITS}\n`, undefined],
    ['root.hash', undefined],
  ])('%j is %j', (text, expected) => {
    const rootHash = rootHashOfDigits(text);
    expect(rootHash && toHex(rootHash)).toBe(expected);
  });
});

const tree = (partitionName: string, byte: number): HashtreeDescriptor => ({
  kind: 'hashtree',
  dmVerityVersion: 1,
  imageSize: 8192,
  treeOffset: 8192,
  treeSize: 4096,
  dataBlockSize: 4096,
  hashBlockSize: 4096,
  fecNumRoots: 0,
  fecOffset: 0,
  fecSize: 0,
  hashAlgorithm: 'sha256',
  partitionName,
  salt: new Uint8Array(0),
  rootDigest: new Uint8Array(32).fill(byte),
  flags: 0,
});

function vbmetaOf(...descriptors: readonly HashtreeDescriptor[]): Uint8Array {
  const none = new Uint8Array(0);
  const unsigned = encodeUnsignedVbmeta({
    algorithm: 'NONE',
    descriptors,
    publicKey: none,
    publicKeyMetadata: none,
    rollbackIndex: 0n,
    rollbackIndexLocation: 0,
    flags: 0,
    releaseString: '',
  });
  return encodeVbmeta(unsigned, none, none);
}

describe('readRootHash()', () => {
  function file(content: string | Uint8Array): string {
    const path = join(tmpDir(), 'source');
    writeFileSync(path, content);
    return path;
  }

  it('reads digits, with a line end or not', async () => {
    for (const text of [DIGITS, `${DIGITS}\n`, ` ${DIGITS}\r\n`]) {
      expect(toHex(await readRootHash(file(text), anywhere))).toBe(DIGITS);
    }
  });

  test.each(['sha256', 'sha512'] as const)(
    'hashes the top block of a tree of %s',
    async (algorithm) => {
      const data = new Uint8Array(300 * 512).map((_, index) => index % 253);
      for (const [hashType, hashOffset] of [
        [1, 0],
        [0, 4096],
      ] as const) {
        const sink = new MemorySink();
        const { rootDigest } = await formatDmVerity(bytesSource(data), sink, {
          algorithm,
          dataBlockSize: 512,
          hashBlockSize: 1024,
          hashType,
          hashOffset,
          hasSuperblock: true,
          salt: Uint8Array.of(1, 2, 3),
        });
        const place = { ...anywhere, hashOffset: hashOffset === 0 ? undefined : hashOffset };
        expect(await readRootHash(file(sink.bytes()), place)).toEqual(rootDigest);
      }
    },
  );

  it('finds the tree of a vbmeta, by name where there are several', async () => {
    expect(await readRootHash(file(vbmetaOf(tree('a', 7))), anywhere)).toEqual(
      new Uint8Array(32).fill(7),
    );
    const two = file(vbmetaOf(tree('a', 7), tree('b', 8)));
    const place = { hashOffset: undefined, partition: 'b' };
    expect(await readRootHash(two, place)).toEqual(new Uint8Array(32).fill(8));
    await expect(readRootHash(two, anywhere)).rejects.toThrow(/2 hash trees/);
    await expect(readRootHash(two, { ...place, partition: 'c' })).rejects.toThrow(UsageError);
  });

  test.each([
    ['nothing', ''],
    ['another text', 'not a root hash'],
    ['digits of no digest', 'abcd'],
  ])('refuses %s', async (_what, content) => {
    await expect(readRootHash(file(content), anywhere)).rejects.toThrow(/it holds none/);
  });

  it('refuses damaged hash areas as such', async () => {
    const damaged = new Uint8Array(8192);
    damaged.set(Buffer.from('verity\0\0'));
    await expect(readRootHash(file(damaged), anywhere)).rejects.toThrow(FormatError);
  });
});

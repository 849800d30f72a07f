/** Footers put behind images in place, and taken away again. */

import { generateKeyPairSync } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { toHex } from '../../../../src/core/digest.ts';
import { FormatError, UsageError } from '../../../../src/core/errors.ts';
import { readVbmeta } from '../../../../src/formats/avb/footer.ts';
import { decodeVbmeta, type Vbmeta } from '../../../../src/formats/avb/vbmeta.ts';
import { writeSparse } from '../../../../src/formats/sparse/writer.ts';
import { bytesSource } from '../../../../src/io/byte-source.ts';
import { MemorySink } from '../../../../src/io/image-sink.ts';
import {
  appendVbmetaToFile,
  eraseFooter,
  readVbmetaBytes,
  resizeImage,
  zeroHashtree,
} from '../../../../src/signing/avb/change-footer.ts';
import { openImage } from '../../../../src/signing/avb/edit-image.ts';
import { addHashFooterToFile } from '../../../../src/signing/avb/hash-footer.ts';
import { addHashtreeFooterToFile } from '../../../../src/signing/avb/hashtree-footer.ts';
import { addHashFooter, signVbmeta } from '../../../../src/signing/avb/sign.ts';
import { verifyImage } from '../../../../src/signing/avb/verify-image.ts';
import { keySigner, type Signer } from '../../../../src/signing/signer.ts';
import { tmpDir } from '../../../support/tmp-dir.ts';

const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const signing = { algorithm: 'SHA256_RSA2048', signer: keySigner(privateKey) } as const;
const MIB = 1 << 20;

const pattern = (size: number): Uint8Array =>
  Uint8Array.from({ length: size }, (_, at) => (at * 7 + (at >> 12)) & 0xff);

function imageFile(size = 600_000, content = pattern(size)): string {
  const path = join(tmpDir(), 'system.img');
  writeFileSync(path, content);
  return path;
}

async function sparseFile(size: number): Promise<string> {
  const sink = new MemorySink();
  await writeSparse(bytesSource(pattern(size)), sink);
  return imageFile(0, sink.bytes());
}

async function vbmetaIn(path: string): Promise<Vbmeta> {
  const { source } = await openImage(path);
  try {
    return decodeVbmeta((await readVbmeta(source)).bytes);
  } finally {
    await source.close();
  }
}

/** Verifies an image by itself, whatever its partition is called. */
const verifyAlone = (path: string, more = {}): Promise<void> =>
  verifyImage(
    path,
    { open: async (at) => (await openImage(at)).source, pathOf: () => path },
    more,
    () => undefined,
  );

const addTree = (path: string, more = {}): ReturnType<typeof addHashtreeFooterToFile> =>
  addHashtreeFooterToFile(path, { partitionName: 'system', vbmeta: signing, ...more });

const addHash = (path: string, more = {}): ReturnType<typeof addHashFooterToFile> =>
  addHashFooterToFile(path, {
    partitionName: 'system',
    partitionSize: 'dynamic',
    vbmeta: signing,
    ...more,
  });

const failingSigner: Signer = {
  publicKey: signing.signer.publicKey,
  sign: () => Promise.reject(new Error('the token is locked')),
};

describe('add_hash_footer', () => {
  test('writes the same bytes in place as while an image is copied', async () => {
    const salt = new Uint8Array([1, 2, 3]);
    const path = imageFile(12_345);
    const sink = new MemorySink();
    await addHashFooter(bytesSource(readFileSync(path)), sink, {
      hash: { partitionName: 'system', salt },
      vbmeta: signing,
      partitionSize: 'dynamic',
    });
    await addHash(path, { salt });
    expect(Buffer.compare(readFileSync(path), sink.bytes())).toBe(0);
    await expect(verifyAlone(path)).resolves.toBeUndefined();
  });

  test('replaces a footer that is there', async () => {
    const path = imageFile();
    const salt = new Uint8Array([7]);
    await addHash(path, { salt });
    const first = readFileSync(path);
    await addHash(path, { salt: new Uint8Array([8]), partitionSize: 4 * MIB });
    expect(Buffer.compare(readFileSync(path), first)).not.toBe(0);
    await addHash(path, { salt });
    expect(Buffer.compare(readFileSync(path), first)).toBe(0);
  });

  test('derives the salt: the same for the same image, another for another image or partition', async () => {
    const saltOf = async (content: Uint8Array, partitionName = 'system'): Promise<string> => {
      const path = imageFile(0, content);
      return toHex((await addHash(path, { partitionName })).descriptor.salt);
    };
    const salts = [
      await saltOf(pattern(5000)),
      await saltOf(pattern(5001)),
      await saltOf(pattern(5000), 'vendor'),
    ];
    expect(new Set(salts).size).toBe(3);
    expect(await saltOf(pattern(5000))).toBe(salts[0]);
    expect(salts[0]).toHaveLength(64);
  });

  test.each([
    ['that is no multiple of 4096', 131_073],
    ['without room for the metadata', 65_536],
    ['without room for the image', 600_000 + 69_632 - (600_000 % 4096)],
  ])('refuses a partition size %s and leaves the image alone', async (_, partitionSize) => {
    const path = imageFile();
    await expect(addHash(path, { partitionSize })).rejects.toThrow(UsageError);
    expect(Buffer.compare(readFileSync(path), pattern(600_000))).toBe(0);
  });
});

describe('add_hashtree_footer', () => {
  test.each(['sha1', 'sha256', 'sha512', 'blake2b-256'])(
    '%s, with parity',
    async (hashAlgorithm) => {
      const path = imageFile();
      const { descriptor } = await addTree(path, {
        hashAlgorithm,
        fecRoots: 2,
        partitionSize: 4 * MIB,
      });
      await expect(verifyAlone(path)).resolves.toBeUndefined();
      expect(descriptor).toMatchObject({
        imageSize: 602_112,
        fecOffset: 602_112 + descriptor.treeSize,
        fecNumRoots: 2,
        fecSize: 2 * 4096,
      });
      expect((await vbmetaIn(path)).descriptors).toEqual([descriptor]);
    },
  );

  test('in a sparse image, the same tree and parity as in a plain one', async () => {
    const size = 150 * 4096;
    const [plain, sparse] = [imageFile(size), await sparseFile(size)];
    const options = { fecRoots: 3, partitionSize: 4 * MIB };
    const made = await addTree(plain, options);
    expect((await addTree(sparse, options)).descriptor).toEqual(made.descriptor);
    const { source, isSparse } = await openImage(sparse);
    expect(isSparse).toBe(true);
    const content = await source.read(0, source.size);
    await source.close();
    expect(Buffer.compare(content, readFileSync(plain))).toBe(0);
    // And again, over the footer that is there now.
    expect((await addTree(sparse, options)).descriptor).toEqual(made.descriptor);
    await expect(verifyAlone(sparse)).resolves.toBeUndefined();
  });

  test('with the tree left out still proves the data', async () => {
    const path = imageFile(150 * 4096);
    const { descriptor } = await addTree(path, { noHashtree: true, fecRoots: 2 });
    expect(descriptor).toMatchObject({ treeSize: 0, fecSize: 0 });
    await expect(verifyAlone(path)).rejects.toMatchObject({ code: 'InvalidMetadata' });
    await expect(verifyAlone(path, { acceptZeroedHashtree: true })).resolves.toBeUndefined();
    const bad = readFileSync(path);
    bad[300_000] = (bad[300_000] ?? 0) ^ 1;
    writeFileSync(path, bad);
    await expect(verifyAlone(path, { acceptZeroedHashtree: true })).rejects.toMatchObject({
      code: 'Verification',
    });
  });

  test.each([
    ['an empty image', 0, {}],
    ['blocks of no power of two', 8192, { blockSize: 3000 }],
    ['blocks that are too large', 8192, { blockSize: 1 << 17 }],
    ['more parity than the kernel has', 8192, { fecRoots: 25 }],
    ['half a block without partition size', 5000, {}],
    ['a partition without room', 600_000, { partitionSize: 655_360 }],
  ])('refuses %s and leaves the image alone', async (_, size, options) => {
    const path = imageFile(size);
    await expect(addTree(path, options)).rejects.toThrow(UsageError);
    expect(Buffer.compare(readFileSync(path), pattern(size))).toBe(0);
  });
});

describe('a failure', () => {
  test.each([
    [
      'of the signer',
      (path: string) => addTree(path, { vbmeta: { ...signing, signer: failingSigner } }),
    ],
    [
      'of the signer, for a hash',
      (path: string) => addHash(path, { vbmeta: { ...signing, signer: failingSigner } }),
    ],
    ['of the user, who aborts', (path: string) => addTree(path, { signal: AbortSignal.abort() })],
    [
      'of a vbmeta that does not fit',
      (path: string) =>
        addTree(path, {
          descriptors: {
            properties: [{ kind: 'property', key: 'k', value: new Uint8Array(70_000) }],
          },
        }),
    ],
  ])('%s leaves an image with a footer as it was', async (_, work) => {
    for (const path of [imageFile(), await sparseFile(150 * 4096)]) {
      await addTree(path, { partitionSize: 2 * MIB });
      const before = readFileSync(path);
      await expect(work(path)).rejects.toThrow(/locked|abort|64 KiB|libavb reads/);
      expect(Buffer.compare(readFileSync(path), before)).toBe(0);
      expect(readdirSync(dirname(path))).toEqual(['system.img']);
    }
  });
});

describe('what stands behind an image', () => {
  test('is taken away again, to the byte', async () => {
    const path = imageFile();
    await addTree(path, { fecRoots: 2, partitionSize: 4 * MIB });
    await eraseFooter(path, false);
    expect(Buffer.compare(readFileSync(path), pattern(600_000))).toBe(0);
  });

  test('without footer and vbmeta ends with the parity', async () => {
    const path = imageFile();
    const { descriptor } = await addTree(path, { fecRoots: 2, partitionSize: 4 * MIB });
    const whole = readFileSync(path);
    await eraseFooter(path, true);
    const end = descriptor.fecOffset + descriptor.fecSize;
    expect(Buffer.compare(readFileSync(path), whole.subarray(0, end))).toBe(0);
  });

  test('moves with the end of the partition', async () => {
    const path = imageFile();
    await addTree(path, { partitionSize: 4 * MIB });
    const before = readFileSync(path);
    await resizeImage(path, 8 * MIB);
    await expect(verifyAlone(path)).resolves.toBeUndefined();
    expect(readFileSync(path)).toHaveLength(8 * MIB);
    await expect(resizeImage(path, 4096)).rejects.toThrow(/need \d+ bytes/);
    await resizeImage(path, 4 * MIB);
    expect(Buffer.compare(readFileSync(path), before)).toBe(0);
  });

  test('is emptied: the data is still proved, the signature still stands', async () => {
    for (const path of [imageFile(150 * 4096), await sparseFile(150 * 4096)]) {
      const { descriptor } = await addTree(path, { fecRoots: 2, partitionSize: 2 * MIB });
      await zeroHashtree(path);
      const { source } = await openImage(path);
      for (const [offset, size] of [
        [descriptor.treeOffset, descriptor.treeSize],
        [descriptor.fecOffset, descriptor.fecSize],
      ] as const) {
        const bytes = await source.read(offset, size);
        expect(Buffer.from(bytes.subarray(0, 8)).toString()).toBe('ZeRoHaSH');
        expect(bytes.subarray(8).every((byte) => byte === 0)).toBe(true);
      }
      expect(source.size).toBe(2 * MIB);
      await source.close();
      await expect(verifyAlone(path)).rejects.toMatchObject({ code: 'Verification' });
      await expect(verifyAlone(path, { acceptZeroedHashtree: true })).resolves.toBeUndefined();
    }
  });

  test('may be a vbmeta that exists', async () => {
    const path = imageFile(5000);
    const vbmeta = await signVbmeta({ ...signing, descriptors: [] });
    await appendVbmetaToFile(path, vbmeta, MIB);
    await appendVbmetaToFile(path, vbmeta, MIB);
    const { source } = await openImage(path);
    expect(Buffer.compare(await readVbmetaBytes(source), vbmeta)).toBe(0);
    await source.close();
    await expect(appendVbmetaToFile(path, vbmeta, 8192)).rejects.toThrow(UsageError);
    await eraseFooter(path, false);
    expect(Buffer.compare(readFileSync(path), pattern(5000))).toBe(0);
  });

  test.each([
    ['erase', (path: string) => eraseFooter(path, false)],
    ['resize', (path: string) => resizeImage(path, MIB)],
    ['empty', (path: string) => zeroHashtree(path)],
  ])('cannot be changed (%s) where there is none', async (_, work) => {
    for (const size of [0, 1, 27, 63, 5000]) {
      await expect(work(imageFile(size))).rejects.toThrow(FormatError);
    }
    const path = imageFile();
    await addHash(path);
    if (work.toString().includes('zero')) await expect(work(path)).rejects.toThrow(UsageError);
  });

  test('a missing image is the system’s error, and nothing is made in its place', async () => {
    const path = join(tmpDir(), 'none.img');
    await expect(addTree(path)).rejects.toMatchObject({ code: 'ENOENT' });
    expect(existsSync(path)).toBe(false);
  });
});

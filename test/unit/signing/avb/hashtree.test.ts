import { describe, expect, test } from 'vitest';
import type { Descriptor, HashtreeDescriptor } from '../../../../src/formats/avb/descriptor.ts';
import { readVbmeta } from '../../../../src/formats/avb/footer.ts';
import { decodeVbmeta } from '../../../../src/formats/avb/vbmeta.ts';
import { bytesSource } from '../../../../src/io/byte-source.ts';
import { MemorySink } from '../../../../src/io/image-sink.ts';
import {
  addHashtreeFooter,
  dynamicPartitionSize,
  signVbmeta,
} from '../../../../src/signing/avb/sign.ts';
import { verifyHashtreeImage } from '../../../../src/signing/avb/verify-hashtree.ts';
import { createHashTreeSink } from '../../../../src/verity/hash-tree.ts';

const salt = new Uint8Array(32).fill(9);
const DATA = 200 * 4096;

async function systemImage(): Promise<{ image: Uint8Array; descriptor: HashtreeDescriptor }> {
  const sink = new MemorySink();
  const hashing = createHashTreeSink(sink, { algorithm: 'sha256', salt, dataSize: DATA });
  for (let at = 0; at < DATA; at += 4096) {
    await hashing.write(at, new Uint8Array(4096).fill(at / 4096));
  }
  const tree = await hashing.finish();
  const { descriptor } = await addHashtreeFooter(sink, {
    tree: { partitionName: 'system', imageSize: DATA, salt, ...tree },
    vbmeta: {},
    partitionSize: 'minimal',
  });
  if (descriptor.kind !== 'hashtree') throw new Error('No hashtree descriptor');
  return { image: sink.bytes(), descriptor };
}

describe('verifyHashtreeImage', () => {
  test('proves an image that was hashed while it was written, with its footer behind', async () => {
    const { image, descriptor } = await systemImage();
    await expect(verifyHashtreeImage(bytesSource(image), descriptor)).resolves.toBeUndefined();
    const { bytes, footer } = await readVbmeta(bytesSource(image));
    expect(decodeVbmeta(bytes).descriptors).toEqual([descriptor]);
    expect(footer).toMatchObject({ originalImageSize: DATA, vbmetaSize: bytes.length });
  });

  test('names the data block or the hash block that is corrupt', async () => {
    const { image, descriptor } = await systemImage();
    for (const [at, message] of [
      [123 * 4096 + 7, /data block 123 is corrupt/],
      [descriptor.treeOffset + 3, /hash block of level 1 0 is corrupt/],
      [descriptor.treeOffset + 4096, /hash block of level 0 0 is corrupt/],
    ] as const) {
      const bad = image.slice();
      bad[at] = (bad[at] ?? 0) ^ 1;
      const verified = verifyHashtreeImage(bytesSource(bad), descriptor);
      await expect(verified).rejects.toThrow(message);
      await expect(verified).rejects.toMatchObject({ link: 'system', code: 'Verification' });
    }
  });

  test.each<[string, Partial<HashtreeDescriptor>]>([
    ['another dm-verity version', { dmVerityVersion: 0 }],
    ['blocks of no power of two', { dataBlockSize: 4095 }],
    ['two block sizes', { hashBlockSize: 1024 }],
    ['half a block', { imageSize: DATA - 1 }],
    ['no data', { imageSize: 0 }],
    ['a tree over the data', { treeOffset: DATA - 4096 }],
    ['a tree behind the end', { treeOffset: 2 ** 50 }],
    ['a tree that is too small', { treeSize: 4096 }],
    ['no root digest', { rootDigest: new Uint8Array(0) }],
    ['an unknown hash', { hashAlgorithm: 'md5' }],
  ])('refuses a descriptor with %s', async (_, change) => {
    const { image, descriptor } = await systemImage();
    const verified = verifyHashtreeImage(bytesSource(image), { ...descriptor, ...change });
    await expect(verified).rejects.toMatchObject({ code: 'InvalidMetadata' });
  });
});

describe('partition sizes', () => {
  test('dynamic is the image, 64 KiB and a block', () => {
    expect(dynamicPartitionSize(16_384)).toBe(86_016);
    expect(dynamicPartitionSize(1)).toBe(4096 + 65_536 + 4096);
  });

  test('chained partitions need rollback index locations of their own', async () => {
    const chain = (name: string, rollbackIndexLocation: number): Descriptor => ({
      kind: 'chain-partition',
      partitionName: name,
      rollbackIndexLocation,
      publicKey: salt,
      flags: 0,
    });
    await expect(signVbmeta({ descriptors: [chain('a', 1), chain('b', 1)] })).rejects.toThrow(
      RangeError,
    );
    await expect(signVbmeta({ descriptors: [chain('a', 0)] })).rejects.toThrow(RangeError);
    await expect(
      signVbmeta({ descriptors: [chain('a', 1), chain('b', 2)] }),
    ).resolves.toBeDefined();
  });
});

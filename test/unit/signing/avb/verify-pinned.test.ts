import { describe, expect, test } from 'vitest';
import { sha256 } from '../../../../src/core/digest.ts';
import type { Descriptor, HashtreeDescriptor } from '../../../../src/formats/avb/descriptor.ts';
import { bytesSource } from '../../../../src/io/byte-source.ts';
import { signVbmeta } from '../../../../src/signing/avb/sign.ts';
import {
  type PinnedImage,
  verifyPinnedPartition,
  verifyPinnedVbmeta,
} from '../../../../src/signing/avb/verify-pinned.ts';
import { writeHashTree } from '../../../../src/verity/write-hash-tree.ts';

const salt = new Uint8Array(32).fill(9);
const BLOCK = 4096;
const DATA = 5 * BLOCK;

/** Five blocks of data, one of tree, and room for two of parity. */
async function image(
  partitionName: string,
): Promise<{ bytes: Uint8Array; descriptor: HashtreeDescriptor }> {
  const bytes = new Uint8Array(8 * BLOCK).fill(partitionName.length, 0, DATA);
  const tree = { write: async (at: number, chunk: Uint8Array) => bytes.set(chunk, DATA + at) };
  const { rootDigest, layout } = await writeHashTree(bytesSource(bytes.slice(0, DATA)), tree, {
    algorithm: 'sha256',
    dataBlockSize: BLOCK,
    hashBlockSize: BLOCK,
    salt,
  });
  const descriptor: HashtreeDescriptor = {
    kind: 'hashtree',
    dmVerityVersion: 1,
    imageSize: DATA,
    treeOffset: DATA,
    treeSize: layout.treeSize,
    dataBlockSize: BLOCK,
    hashBlockSize: BLOCK,
    fecNumRoots: 0,
    fecOffset: 0,
    fecSize: 0,
    hashAlgorithm: 'sha256',
    partitionName,
    salt,
    rootDigest,
    flags: 0,
  };
  return { bytes, descriptor };
}

const property = (key: string): Descriptor => ({
  kind: 'property',
  key,
  value: Buffer.from('1'),
});

async function pinned(
  descriptors: readonly Descriptor[],
  { flags = 0, mounts = {} }: { flags?: number; mounts?: Readonly<Record<string, string>> } = {},
): Promise<PinnedImage> {
  const signed = await signVbmeta({ descriptors, flags });
  const vbmeta = new Uint8Array(65_536);
  vbmeta.set(signed);
  const pins = { vbmetaDigest: sha256(signed), vbmetaSize: signed.length };
  return { vbmeta, ...pins, mounts: new Map(Object.entries(mounts)) };
}

describe('verifyPinnedVbmeta', () => {
  test('finds the system, and other partitions in the order in which they are mounted', async () => {
    const { descriptor: system } = await image('system');
    const named = await pinned([property('a'), system, property('b')]);
    expect(verifyPinnedVbmeta(named)).toMatchObject({ system, partitions: [] });
    const [odm, vendor, usr] = ['odm', 'vendor', 'usr'].map((partitionName) => ({
      ...system,
      partitionName,
    })) as [HashtreeDescriptor, HashtreeDescriptor, HashtreeDescriptor];
    const mounts = { vendor: '/vendor', usr: '/usr-1/lib', odm: '/usr' };
    const { partitions } = verifyPinnedVbmeta(await pinned([vendor, usr, system, odm], { mounts }));
    expect(partitions).toEqual([
      { name: 'odm', mountPoint: '/usr', descriptor: odm },
      { name: 'usr', mountPoint: '/usr-1/lib', descriptor: usr },
      { name: 'vendor', mountPoint: '/vendor', descriptor: vendor },
    ]);
  });

  test('a vbmeta that is not the pinned one, or breaks the rules of the guest, is refused', async () => {
    const { descriptor } = await image('system');
    const good = await pinned([descriptor]);
    const changed = good.vbmeta.slice();
    changed[200] = 1;
    const vendor = { ...descriptor, partitionName: 'vendor' };
    for (const [images, code] of [
      [{ ...good, vbmeta: changed }, 'Verification'],
      [{ ...good, vbmetaSize: good.vbmetaSize + 64 }, 'Verification'],
      [{ ...good, vbmetaSize: 65_537 }, 'InvalidMetadata'],
      [await pinned([descriptor], { flags: 2 }), 'Verification'],
      [await pinned([]), 'InvalidDescriptors'],
      [await pinned([descriptor, descriptor]), 'InvalidDescriptors'],
      [await pinned([vendor], { mounts: { vendor: '/vendor' } }), 'InvalidDescriptors'],
      [await pinned([descriptor, vendor]), 'InvalidDescriptors'],
      [await pinned([descriptor], { mounts: { vendor: '/vendor' } }), 'InvalidDescriptors'],
      [
        await pinned([descriptor, vendor, vendor], { mounts: { vendor: '/vendor' } }),
        'InvalidDescriptors',
      ],
      [
        await pinned([descriptor, { kind: 'kernel-cmdline', flags: 0, kernelCmdline: 'quiet' }]),
        'InvalidDescriptors',
      ],
      [await pinned([property('a'), descriptor, property('a')]), 'InvalidDescriptors'],
    ] as const) {
      expect(() => verifyPinnedVbmeta(images)).toThrow(
        expect.objectContaining({ link: 'vbmeta', code }),
      );
    }
  });

  test('places that a guest refuses are refused here', async () => {
    const { descriptor } = await image('system');
    const vendor = { ...descriptor, partitionName: 'vendor' };
    const at = async (mountPoint: string): Promise<PinnedImage> =>
      pinned([descriptor, vendor], { mounts: { vendor: mountPoint } });
    // The same lists as in the guest's own test.
    const bad =
      ' / vendor //vendor /vendor/ /a//b /a/./b /a/.. /../a /dev /dev/mapper /proc /sys/x /run /mnt/apk /data /tmp /é';
    for (const place of [...bad.split(' '), '/a b', `/${'a'.repeat(255)}`]) {
      const images = await at(place);
      expect(() => verifyPinnedVbmeta(images)).toThrow(`cannot be mounted at ${place}`);
    }
    for (const place of ['/vendor', '/usr/lib/x-1.0', '/device', '/...']) {
      expect(verifyPinnedVbmeta(await at(place)).partitions).toHaveLength(1);
    }
    const odm = { ...descriptor, partitionName: 'odm' };
    const same = await pinned([descriptor, vendor, odm], { mounts: { vendor: '/a', odm: '/a' } });
    expect(() => verifyPinnedVbmeta(same)).toThrow(/same place/);
    const strange = { ...descriptor, partitionName: 'Vendor' };
    const upper = await pinned([descriptor, strange], { mounts: { Vendor: '/vendor' } });
    expect(() => verifyPinnedVbmeta(upper)).toThrow(/no place/);
  });
});

describe('verifyPinnedPartition', () => {
  const verify = async (
    change: Partial<HashtreeDescriptor>,
    spoil: (bytes: Uint8Array) => void = () => undefined,
  ): Promise<void> => {
    const { bytes, descriptor } = await image('vendor');
    spoil(bytes);
    await verifyPinnedPartition(bytesSource(bytes), { ...descriptor, ...change }, 'partition', {});
  };
  const fec = { fecNumRoots: 2, fecOffset: 6 * BLOCK, fecSize: 2 * BLOCK };

  test('proves every block, with error correction or without', async () => {
    await expect(verify({})).resolves.toBeUndefined();
    await expect(verify(fec)).resolves.toBeUndefined();
    await expect(verify(fec, (bytes) => bytes.fill(1, BLOCK, BLOCK + 1))).rejects.toMatchObject({
      link: 'partition',
      code: 'Verification',
    });
  });

  test.each([
    ['one root', { fecNumRoots: 1 }],
    ['25 roots', { fecNumRoots: 25 }],
    ['no roots', { fecNumRoots: 0 }],
    ['no bytes', { fecSize: 0 }],
    ['more bytes than the code has', { fecSize: 3 * BLOCK }],
    ['a place inside the tree', { fecOffset: DATA }],
    ['half a block', { fecOffset: 6 * BLOCK + 1, treeSize: BLOCK + 1 }],
  ])('refuses error correction with %s', async (_, change) => {
    await expect(verify({ ...fec, ...change })).rejects.toMatchObject({
      link: 'partition',
      code: 'InvalidMetadata',
    });
  });
});

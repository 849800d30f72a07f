import { generateKeyPairSync } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import type { Descriptor } from '../../../../src/formats/avb/descriptor.ts';
import { encodeFooter, readVbmeta } from '../../../../src/formats/avb/footer.ts';
import { bytesSource } from '../../../../src/io/byte-source.ts';
import { MemorySink } from '../../../../src/io/image-sink.ts';
import { verifyKernelAndInitrd } from '../../../../src/signing/avb/policy.ts';
import { avbPublicKey } from '../../../../src/signing/avb/public-key.ts';
import {
  addHashFooter,
  computeHashDescriptor,
  type VbmetaSigning,
} from '../../../../src/signing/avb/sign.ts';
import { keySigner, type Signer } from '../../../../src/signing/signer.ts';

const salt = Uint8Array.from({ length: 32 }, (_, index) => index);
const pattern = (size: number, start: number): Uint8Array =>
  Uint8Array.from({ length: size }, (_, index) => (start + index * 31) & 0xff);

const kernelImage = pattern(10_000, 1);
const normal = pattern(5000, 2);
const debuggable = pattern(5000, 3);

let signer: Signer;
let other: Signer;
let trustedKey: Uint8Array;
let kernel: Uint8Array;

beforeAll(async () => {
  signer = keySigner(generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey);
  other = keySigner(generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey);
  trustedKey = avbPublicKey(signer.publicKey);
  kernel = await signedKernel(await initrdDescriptors());
});

const initrdDescriptors = async (): Promise<Descriptor[]> => [
  await computeHashDescriptor(bytesSource(normal), { partitionName: 'initrd_normal', salt }),
  await computeHashDescriptor(bytesSource(debuggable), { partitionName: 'initrd_debug', salt }),
];

const capability = (value: string, key = 'com.android.virt.cap'): Descriptor => ({
  kind: 'property',
  key,
  value: new TextEncoder().encode(value),
});

async function signedKernel(
  descriptors: readonly Descriptor[],
  vbmeta: VbmetaSigning = {},
  partitionName = 'boot',
): Promise<Uint8Array> {
  const sink = new MemorySink();
  await addHashFooter(bytesSource(kernelImage, 'kernel'), sink, {
    hash: { partitionName, salt },
    vbmeta: { algorithm: 'SHA256_RSA2048', signer, ...vbmeta },
    partitionSize: 'dynamic',
    descriptors,
  });
  return sink.bytes();
}

const verify = (
  image: Uint8Array,
  initrd?: Uint8Array,
  minimumRollbackIndex = 0n,
): ReturnType<typeof verifyKernelAndInitrd> =>
  verifyKernelAndInitrd({
    kernel: bytesSource(image, 'kernel'),
    ...(initrd !== undefined && { initrd: bytesSource(initrd, 'initrd') }),
    trustedKey,
    minimumRollbackIndex,
  });

describe('verifyKernelAndInitrd', () => {
  test('tells the debug level by which initrd matched, and what is covered', async () => {
    expect(await verify(kernel, normal)).toMatchObject({
      debugLevel: 'none',
      kernelSize: kernelImage.length,
      capabilities: [],
      rollbackIndex: 0n,
    });
    expect(await verify(kernel, debuggable)).toMatchObject({ debugLevel: 'full' });
  });

  test('an initrd with a byte more, a byte less or one changed is refused', async () => {
    const longer = new Uint8Array(normal.length + 1);
    longer.set(normal);
    const changed = normal.slice();
    changed[4999] = 0xff;
    for (const initrd of [longer, normal.subarray(0, 4999), changed, new Uint8Array(0)]) {
      await expect(verify(kernel, initrd)).rejects.toMatchObject({
        link: 'initrd',
        code: 'Verification',
      });
    }
  });

  test('a missing initrd is refused where the kernel names one, and accepted where not', async () => {
    await expect(verify(kernel)).rejects.toMatchObject({ link: 'initrd', code: 'InvalidMetadata' });
    const alone = await signedKernel([]);
    expect(await verify(alone)).toMatchObject({ debugLevel: 'none', initrdDigest: undefined });
    await expect(verify(alone, normal)).rejects.toMatchObject({ code: 'Verification' });
  });

  test('a flip of any one byte of vbmeta, footer or kernel is refused', async () => {
    const { footer } = await readVbmeta(bytesSource(kernel));
    if (footer === undefined) throw new Error('No footer');
    const { vbmetaOffset, vbmetaSize } = footer;
    const offsets = [0, 5000, 9999];
    for (let at = vbmetaOffset; at < vbmetaOffset + vbmetaSize; at += 13) offsets.push(at);
    for (let at = kernel.length - 64; at < kernel.length; at++) offsets.push(at);
    const survivors: number[] = [];
    for (const at of offsets) {
      const changed = kernel.slice();
      changed[at] = (changed[at] ?? 0) ^ 1;
      const proved = await verify(changed, normal).then(
        () => true,
        () => false,
      );
      if (proved) survivors.push(at);
    }
    // Only the footer's minor version decides nothing.
    expect(survivors).toEqual([8, 9, 10, 11].map((at) => kernel.length - 64 + at));
  });

  test.each<[string, readonly Descriptor[], string]>([
    ['an unknown capability', [capability('telepathy')], 'UnknownVbmetaProperty'],
    ['an empty capability', [capability('')], 'UnknownVbmetaProperty'],
    ['a capability twice', [capability('remote_attest|remote_attest')], 'InvalidMetadata'],
    [
      'two capability properties',
      [capability('remote_attest'), capability('remote_attest')],
      'InvalidDescriptors',
    ],
    ['another property', [capability('1', 'com.example')], 'UnknownVbmetaProperty'],
    [
      'a kernel command line',
      [{ kind: 'kernel-cmdline', flags: 0, kernelCmdline: 'x' }],
      'InvalidDescriptors',
    ],
    [
      'a chained partition',
      [
        {
          kind: 'chain-partition',
          rollbackIndexLocation: 1,
          partitionName: 'x',
          publicKey: salt,
          flags: 0,
        },
      ],
      'InvalidDescriptors',
    ],
  ])('%s is refused as %s', async (_, descriptors, code) => {
    await expect(verify(await signedKernel(descriptors))).rejects.toMatchObject({ code });
  });

  test('capabilities are given to the caller in their order', async () => {
    const image = await signedKernel([capability('secretkeeper_protection|remote_attest')]);
    expect((await verify(image)).capabilities).toEqual([
      'secretkeeper_protection',
      'remote_attest',
    ]);
  });

  test('two descriptors for a partition, or none for boot, are refused', async () => {
    const [one] = await initrdDescriptors();
    const twice = await signedKernel(one === undefined ? [] : [one, one]);
    await expect(verify(twice, normal)).rejects.toMatchObject({ code: 'InvalidDescriptors' });
    const unnamed = await signedKernel([], {}, 'kernel');
    await expect(verify(unnamed)).rejects.toMatchObject({ code: 'InvalidDescriptors' });
    const noBoot = await signedKernel([], {}, 'initrd_normal');
    await expect(verify(noBoot)).rejects.toMatchObject({ code: 'InvalidDescriptors' });
  });

  test('flags that switch checks off, validly signed, are refused', async () => {
    for (const flags of [1, 2, 3]) {
      await expect(verify(await signedKernel([], { flags }))).rejects.toMatchObject({
        code: 'Verification',
      });
    }
  });

  test('an unsigned kernel and one of another key are refused', async () => {
    const sink = new MemorySink();
    await addHashFooter(bytesSource(kernelImage), sink, {
      hash: { partitionName: 'boot', salt },
      vbmeta: {},
      partitionSize: 'dynamic',
    });
    await expect(verify(sink.bytes())).rejects.toMatchObject({ code: 'Verification' });
    const foreign = await signedKernel([], { signer: other });
    await expect(verify(foreign)).rejects.toMatchObject({ code: 'PublicKeyRejected' });
  });

  test('an older rollback index than the host has seen is refused', async () => {
    const image = await signedKernel([], { rollbackIndex: 4n });
    expect((await verify(image, undefined, 4n)).rollbackIndex).toBe(4n);
    await expect(verify(image, undefined, 5n)).rejects.toMatchObject({ code: 'RollbackIndex' });
  });

  test('no footer, and a footer that points elsewhere, are input errors', async () => {
    await expect(verify(kernelImage)).rejects.toMatchObject({ link: 'kernel', code: 'Io' });
    await expect(verify(new Uint8Array(10))).rejects.toMatchObject({ code: 'Io' });
    const { footer } = await readVbmeta(bytesSource(kernel));
    if (footer === undefined) throw new Error('No footer');
    for (const [change, code] of [
      [{ vbmetaOffset: 2 ** 40 }, 'Io'],
      [{ vbmetaSize: 65_537 }, 'InvalidMetadata'],
      [{ vbmetaSize: 255 }, 'InvalidMetadata'],
      [{ vbmetaSize: footer.vbmetaSize + 64 }, 'InvalidMetadata'],
      [{ originalImageSize: 9999 }, 'Verification'],
    ] as const) {
      const image = kernel.slice();
      image.set(encodeFooter({ ...footer, ...change }), image.length - 64);
      await expect(verify(image, normal)).rejects.toMatchObject({ code });
    }
  });
});

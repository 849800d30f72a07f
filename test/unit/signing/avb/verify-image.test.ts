import { generateKeyPairSync } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { FormatError, UsageError, VerificationError } from '../../../../src/core/errors.ts';
import type { ChainPartitionDescriptor } from '../../../../src/formats/avb/descriptor.ts';
import { orderDescriptors } from '../../../../src/formats/avb/order.ts';
import { decodeVbmeta } from '../../../../src/formats/avb/vbmeta.ts';
import { openImage } from '../../../../src/signing/avb/edit-image.ts';
import { addHashFooterToFile } from '../../../../src/signing/avb/hash-footer.ts';
import { addHashtreeFooterToFile } from '../../../../src/signing/avb/hashtree-footer.ts';
import {
  chainedKernelCmdline,
  chainedVbmetaDigest,
  partitionDigests,
  type ImageFinder,
} from '../../../../src/signing/avb/loaded-vbmeta.ts';
import { avbPublicKey } from '../../../../src/signing/avb/public-key.ts';
import { signVbmeta, type VbmetaSigning } from '../../../../src/signing/avb/sign.ts';
import {
  verifyImage,
  type VerifiedPart,
  type VerifyImageOptions,
} from '../../../../src/signing/avb/verify-image.ts';
import { computeVbmetaDigest } from '../../../../src/signing/avb/verify.ts';
import { keySigner } from '../../../../src/signing/signer.ts';
import { tmpDir } from '../../../support/tmp-dir.ts';

const makeSigning = (): VbmetaSigning & { readonly key: Uint8Array } => {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const key = avbPublicKey(publicKey);
  return { algorithm: 'SHA256_RSA2048', signer: keySigner(privateKey), key };
};
const top = makeSigning();
const other = makeSigning();

let folder: string;
let finder: ImageFinder;
const at = (name: string): string => join(folder, name);

/** `boot.img`, `system.img` signed by `other`, and `vbmeta.img` over both. */
beforeEach(async () => {
  folder = tmpDir();
  finder = {
    open: async (path) => (await openImage(path)).source,
    pathOf: (partition) => at(`${partition}.img`),
  };
  writeFileSync(at('boot.img'), new Uint8Array(10_000).fill(3));
  writeFileSync(at('system.img'), new Uint8Array(40 * 4096).fill(9));
  const boot = await addHashFooterToFile(at('boot.img'), {
    partitionName: 'boot',
    partitionSize: 'dynamic',
    vbmeta: {},
  });
  await addHashtreeFooterToFile(at('system.img'), {
    partitionName: 'system',
    vbmeta: other,
    descriptors: { kernelCmdlines: [{ kind: 'kernel-cmdline', flags: 1, kernelCmdline: 'a=b' }] },
  });
  await writeTop({ included: [boot.descriptor], chains: [chain(other.key)] });
});

const chain = (publicKey: Uint8Array): ChainPartitionDescriptor => ({
  kind: 'chain-partition',
  partitionName: 'system',
  rollbackIndexLocation: 1,
  publicKey,
  flags: 0,
});

async function writeTop(sources: Parameters<typeof orderDescriptors>[1]): Promise<void> {
  const descriptors = orderDescriptors(undefined, sources);
  writeFileSync(at('vbmeta.img'), await signVbmeta({ ...top, descriptors }));
}

async function verify(options: VerifyImageOptions, path = 'vbmeta.img'): Promise<string[]> {
  const parts: VerifiedPart[] = [];
  await verifyImage(at(path), finder, options, (part) => parts.push(part));
  return parts.map((part) => `${part.kind} ${'partition' in part ? part.partition : ''}`.trim());
}

const expected = (location: number, publicKey: Uint8Array): VerifyImageOptions => ({
  expectedChains: new Map([['system', { rollbackIndexLocation: location, publicKey }]]),
});

function flip(name: string, offset: number): void {
  const bytes = readFileSync(at(name));
  bytes[offset] = (bytes[offset] ?? 0) ^ 0x40;
  writeFileSync(at(name), bytes);
}

describe('verifyImage', () => {
  test('proves what a vbmeta describes, in order', async () => {
    expect(await verify({ ...expected(1, other.key), key: top.key })).toEqual([
      'image',
      'vbmeta',
      'chain system',
      'hash boot',
    ]);
    expect((await verify({ followChains: true })).join(', ')).toBe(
      'image, vbmeta, chain system, image, vbmeta, hashtree system, hash boot',
    );
  });

  test.each<[string, VerifyImageOptions, string]>([
    ['nothing is expected of', {}, 'Verification'],
    ['another location is expected of', expected(2, other.key), 'Verification'],
    ['another key is expected of', expected(1, top.key), 'Verification'],
  ])('refuses a chain when %s it', async (_, options, code) => {
    await expect(verify(options)).rejects.toMatchObject({ code, link: 'system' });
  });

  test('refuses a followed image that is signed by another key than the chain names', async () => {
    await writeTop({ chains: [chain(top.key)] });
    const verified = verify({ followChains: true });
    await expect(verified).rejects.toThrow(/another key than its chain descriptor names/);
    await expect(verified).rejects.toBeInstanceOf(VerificationError);
  });

  test('refuses an image that is not signed with the key asked for', async () => {
    await expect(verify({ key: other.key })).rejects.toMatchObject({ code: 'PublicKeyRejected' });
    await expect(verify({ key: top.key }, 'boot.img')).rejects.toMatchObject({
      code: 'PublicKeyRejected',
    });
  });

  test.each([
    ['boot.img', 5000, /digest is not that of its descriptor/],
    ['system.img', 5 * 4096, /data block 5 is corrupt/],
    ['system.img', 40 * 4096 + 3, /hash block of level 0 0 is corrupt/],
    ['vbmeta.img', 300, /signature|hash/],
  ])('names what is wrong when %s is changed at %i', async (name, offset, message) => {
    flip(name, offset);
    await expect(verify({ followChains: true })).rejects.toThrow(message);
  });

  test('no byte of image, vbmeta or where it stands can change', async () => {
    await addHashFooterToFile(at('boot.img'), {
      partitionName: 'boot',
      partitionSize: 'dynamic',
      vbmeta: top,
    });
    await expect(verify({ key: top.key }, 'boot.img')).resolves.toContain('hash boot');
    const good = readFileSync(at('boot.img'));
    const vbmetaOffset = 12_288;
    const vbmetaSize = decodeVbmeta(good.subarray(vbmetaOffset)).size;
    const covered = fc.oneof(
      fc.nat(9999),
      fc.nat(vbmetaSize - 1).map((offset) => vbmetaOffset + offset),
      // Magic, major version, offset and size of the vbmeta in the footer.
      fc
        .oneof(fc.nat(3), fc.integer({ min: 4, max: 7 }), fc.integer({ min: 20, max: 35 }))
        .map((offset) => good.length - 64 + offset),
    );
    await fc.assert(
      fc.asyncProperty(covered, fc.integer({ min: 1, max: 255 }), async (offset, change) => {
        const bad = Uint8Array.from(good);
        bad[offset] = (bad[offset] ?? 0) ^ change;
        writeFileSync(at('boot.img'), bad);
        const error: unknown = await verify({ key: top.key }, 'boot.img').catch((e: unknown) => e);
        expect(error instanceof FormatError || error instanceof VerificationError).toBe(true);
      }),
      { numRuns: 200 },
    );
  });

  test('says which image it misses, and how to name it', async () => {
    const missing = verifyImage(
      at('vbmeta.img'),
      { ...finder, pathOf: (partition) => at(`${partition}.raw`) },
      expected(1, other.key),
      () => undefined,
    );
    await expect(missing).rejects.toThrow(/boot\.raw does not exist/);
    await expect(missing).rejects.toMatchObject({
      hint: expect.stringContaining('--partition_image boot:'),
    });
    await expect(missing).rejects.toBeInstanceOf(UsageError);
  });

  test('takes a digest that the device keeps, and says that nothing was compared', async () => {
    await addHashFooterToFile(at('boot.img'), {
      partitionName: 'boot',
      partitionSize: 'dynamic',
      persistentDigest: true,
      vbmeta: top,
    });
    const parts: VerifiedPart[] = [];
    await verifyImage(at('boot.img'), finder, {}, (part) => parts.push(part));
    expect(parts.at(-1)).toMatchObject({ kind: 'hash', hasDigest: false });
  });

  test('holds the stored tree against the data when the device keeps the root digest', async () => {
    await addHashtreeFooterToFile(at('system.img'), {
      partitionName: 'system',
      persistentDigest: true,
      vbmeta: top,
    });
    await expect(verify({}, 'system.img')).resolves.toContain('hashtree system');
    flip('system.img', 4096);
    await expect(verify({}, 'system.img')).rejects.toThrow(/hash tree is not that of its data/);
  });
});

describe('what a boot loader takes from a vbmeta', () => {
  test('the digest is over the vbmeta and those it chains to, without padding', async () => {
    const own = readFileSync(at('vbmeta.img'));
    const alone = await chainedVbmetaDigest(at('boot.img'), finder, 'sha256');
    const { source } = await openImage(at('boot.img'));
    const { readVbmeta } = await import('../../../../src/formats/avb/footer.ts');
    const { bytes } = await readVbmeta(source);
    await source.close();
    expect(alone).toEqual(computeVbmetaDigest(bytes));
    const before = await chainedVbmetaDigest(at('vbmeta.img'), finder, 'sha512');
    writeFileSync(at('vbmeta.img'), Buffer.concat([own, Buffer.alloc(4096)]));
    expect(await chainedVbmetaDigest(at('vbmeta.img'), finder, 'sha512')).toEqual(before);
    flip('system.img', 0);
    expect(await chainedVbmetaDigest(at('vbmeta.img'), finder, 'sha512')).toEqual(before);
  });

  test('the command line is gathered along the chain, by the state of hash trees', async () => {
    expect(await chainedKernelCmdline(at('vbmeta.img'), finder, false)).toBe('a=b');
    expect(await chainedKernelCmdline(at('vbmeta.img'), finder, true)).toBe('');
  });

  test('digests are listed along the chain, which may not run in a circle', async () => {
    expect((await partitionDigests(at('vbmeta.img'), finder)).map(({ name }) => name)).toEqual([
      'system',
      'boot',
    ]);
    const circle = await signVbmeta({ ...top, descriptors: [chain(top.key)] });
    writeFileSync(at('system.img'), circle);
    expect(decodeVbmeta(circle).descriptors).toHaveLength(1);
    await expect(partitionDigests(at('system.img'), finder)).rejects.toThrow(
      /Cannot follow chains/,
    );
  });
});

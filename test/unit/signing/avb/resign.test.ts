/** Vbmetas signed anew: what changes, what stays, and that a failure changes nothing. */

import { generateKeyPairSync } from 'node:crypto';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FormatError, UsageError } from '../../../../src/core/errors.ts';
import type { Descriptor } from '../../../../src/formats/avb/descriptor.ts';
import { decodeVbmeta, type Vbmeta } from '../../../../src/formats/avb/vbmeta.ts';
import { writeSparse } from '../../../../src/formats/sparse/writer.ts';
import { bytesSource } from '../../../../src/io/byte-source.ts';
import { MemorySink } from '../../../../src/io/image-sink.ts';
import { openImage } from '../../../../src/signing/avb/edit-image.ts';
import { addHashFooterToFile } from '../../../../src/signing/avb/hash-footer.ts';
import { addHashtreeFooterToFile } from '../../../../src/signing/avb/hashtree-footer.ts';
import { avbPublicKey } from '../../../../src/signing/avb/public-key.ts';
import { resignImageFile } from '../../../../src/signing/avb/resign-image.ts';
import {
  algorithmForKey,
  planResign,
  signPlan,
  type ResignOptions,
} from '../../../../src/signing/avb/resign.ts';
import { signVbmeta, type VbmetaSigning } from '../../../../src/signing/avb/sign.ts';
import { verifyImage } from '../../../../src/signing/avb/verify-image.ts';
import { verifySignature } from '../../../../src/signing/avb/verify.ts';
import { keySigner, type Signer } from '../../../../src/signing/signer.ts';
import { tmpDir } from '../../../support/tmp-dir.ts';

const newSigner = (bits: number): Signer =>
  keySigner(generateKeyPairSync('rsa', { modulusLength: bits }).privateKey);
const old = newSigner(2048);
const small = newSigner(2048);
const large = newSigner(4096);
const MIB = 1 << 20;

const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const property = (key: string, value: string): Descriptor => ({
  kind: 'property',
  key,
  value: text(value),
});
const chain = (partitionName: string, signer: Signer): Descriptor => ({
  kind: 'chain-partition',
  partitionName,
  rollbackIndexLocation: 3,
  publicKey: avbPublicKey(signer.publicKey),
  flags: 0,
});
const signed = async (
  descriptors: readonly Descriptor[],
  more: VbmetaSigning = {},
): Promise<Vbmeta> =>
  decodeVbmeta(
    await signVbmeta({ algorithm: 'SHA256_RSA2048', signer: old, ...more, descriptors }),
  );
const resigned = async (
  vbmeta: Vbmeta,
  options: Omit<ResignOptions, 'signer'> & { signer?: Signer },
  hasFooter = false,
): Promise<Vbmeta> => {
  const plan = planResign(vbmeta, { signer: small, ...options }, hasFooter);
  const made = decodeVbmeta(await signPlan(plan));
  verifySignature(made, 'vbmeta');
  return made;
};
const keysOf = (vbmeta: Vbmeta): string[] =>
  vbmeta.descriptors.map((each) => (each.kind === 'property' ? each.key : each.kind));

describe('a vbmeta that is signed anew', () => {
  test('keeps everything but key and signature', async () => {
    const before = await signed([property('a', '1'), chain('boot', old)], {
      rollbackIndex: 7n,
      rollbackIndexLocation: 2,
      flags: 1,
      releaseString: 'somebody 1.0',
    });
    const after = await resigned(before, {});
    const { descriptors, rollbackIndex, rollbackIndexLocation, flags, releaseString } = before;
    expect(after).toMatchObject({
      descriptors,
      rollbackIndex,
      rollbackIndexLocation,
      flags,
      releaseString,
      algorithm: 'SHA256_RSA2048',
      publicKey: avbPublicKey(small.publicKey),
    });
  });

  test.each([
    ['SHA256_RSA2048', large, undefined, 'SHA256_RSA4096'],
    ['SHA512_RSA2048', large, undefined, 'SHA512_RSA4096'],
    ['NONE', large, undefined, 'SHA256_RSA4096'],
    ['SHA256_RSA2048', small, 'SHA512_RSA2048', 'SHA512_RSA2048'],
    ['MLDSA65', small, undefined, 'SHA256_RSA2048'],
  ] as const)('of %s gets the algorithm that fits the key', (from, signer, wanted, expected) => {
    expect(algorithmForKey(signer.publicKey, from, wanted)).toBe(expected);
  });

  test('is refused for keys and algorithms that do not fit', () => {
    expect(() => algorithmForKey(large.publicKey, 'NONE', 'SHA256_RSA2048')).toThrow(UsageError);
    const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    expect(() => algorithmForKey(publicKey)).toThrow(/2048, 4096 or 8192 bits, this is ec$/);
  });

  test('has properties replaced where they stand, added behind the others, and removed', async () => {
    const before = await signed([property('a', '1'), property('b', '2'), chain('boot', old)]);
    const properties = new Map([
      ['c', text('3')],
      ['a', text('other')],
    ]);
    const after = await resigned(before, { properties, removeProperties: ['b'] });
    expect(keysOf(after)).toEqual(['a', 'c', 'chain-partition']);
    expect(after.descriptors[0]).toEqual(property('a', 'other'));
  });

  test('has its first property where avbtool puts one', async () => {
    const properties = new Map([['new', text('1')]]);
    const hash: Descriptor = {
      kind: 'hash',
      imageSize: 1,
      hashAlgorithm: 'sha256',
      partitionName: 'boot',
      salt: text(''),
      digest: new Uint8Array(32),
      flags: 0,
    };
    const footer = await signed([hash, chain('vendor', old)]);
    expect(keysOf(await resigned(footer, { properties }, true))).toEqual([
      'hash',
      'chain-partition',
      'new',
    ]);
    const alone = await signed([chain('vendor', old), hash]);
    expect(keysOf(await resigned(alone, { properties }))).toEqual([
      'chain-partition',
      'new',
      'hash',
    ]);
  });

  test('of several properties with one key, one takes the new value', async () => {
    const before = await signed([property('a', '1'), property('b', '2'), property('a', '3')]);
    const after = await resigned(before, { properties: new Map([['a', text('4')]]) });
    expect(after.descriptors).toEqual([property('a', '4'), property('b', '2')]);
    expect(keysOf(await resigned(before, { properties: new Map([['c', text('')]]) }))).toEqual([
      'a',
      'b',
      'a',
      'c',
    ]);
  });

  test('may name other keys for the partitions that it chains to', async () => {
    const before = await signed([chain('boot', old)]);
    const publicKey = avbPublicKey(large.publicKey);
    const after = await resigned(before, { chainKeys: new Map([['boot', publicKey]]) });
    expect(after.descriptors).toEqual([chain('boot', large)]);
    const wrong = resigned(before, { chainKeys: new Map([['bot', publicKey]]) });
    await expect(wrong).rejects.toMatchObject({ code: 'usage', hint: 'It has boot' });
  });

  test('needs the libavb that its content needs, or that its maker asked for', async () => {
    const needed = await signed([property('a', '1')], { rollbackIndexLocation: 1 });
    expect(needed.requiredMinor).toBe(2);
    expect((await resigned(needed, { rollbackIndexLocation: 0 })).requiredMinor).toBe(0);
    const asked = await signed([property('a', '1')], { requiredMinor: 3 });
    expect((await resigned(asked, {})).requiredMinor).toBe(3);
  });

  test('keeps no metadata that is about another key', async () => {
    const before = await signed([property('a', '1')], { publicKeyMetadata: text('certificate') });
    await expect(resigned(before, {})).rejects.toThrow(/public key metadata/);
    const { publicKeyMetadata } = await resigned(before, { signer: old });
    expect(publicKeyMetadata).toEqual(text('certificate'));
    const without = await resigned(before, { publicKeyMetadata: new Uint8Array(0) });
    expect(without.publicKeyMetadata).toHaveLength(0);
  });

  test('is refused when a value does not fit, saying which', async () => {
    const before = await signed([chain('boot', old)]);
    await expect(resigned(before, { rollbackIndexLocation: 3 })).rejects.toThrow(UsageError);
    await expect(resigned(before, { removeProperties: ['x'] })).rejects.toThrow(/property x/);
    const properties = new Map([['big', new Uint8Array(65536)]]);
    await expect(resigned(before, { properties })).rejects.toThrow(/libavb reads 65536/);
  });

  test('equals one made with the new key, whatever it holds', async () => {
    const content = fc.record({
      rollbackIndex: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      rollbackIndexLocation: fc.integer({ min: 0, max: 2 }),
      flags: fc.integer({ min: 0, max: 3 }),
      keys: fc.array(
        fc.string({ minLength: 1, maxLength: 8 }).filter((key) => !key.includes('\0')),
      ),
    });
    await fc.assert(
      fc.asyncProperty(content, async ({ keys, ...more }) => {
        const descriptors = [chain('boot', old), ...keys.map((key) => property(key, key))];
        const direct = await signVbmeta({
          ...more,
          algorithm: 'SHA256_RSA2048',
          signer: small,
          descriptors,
        });
        const plan = planResign(await signed(descriptors, more), { signer: small }, false);
        expect(await signPlan(plan)).toEqual(direct);
      }),
      { numRuns: 20 },
    );
  });
});

const pattern = (size: number): Uint8Array =>
  Uint8Array.from({ length: size }, (_, at) => (at * 7 + (at >> 12)) & 0xff);

function imageFile(content: Uint8Array): string {
  const path = join(tmpDir(), 'system.img');
  writeFileSync(path, content);
  return path;
}
const signing = { algorithm: 'SHA256_RSA2048', signer: old } as const;

async function sparse(content: Uint8Array): Promise<Uint8Array> {
  const sink = new MemorySink();
  await writeSparse(bytesSource(content), sink);
  return sink.bytes();
}

/** Kinds of images, and how a footer is put behind each. */
const kinds = [
  ['hash footer', { partitionSize: MIB }, addHashFooterToFile, false],
  ['hash footer, as large as need be', { partitionSize: 'dynamic' }, addHashFooterToFile, false],
  ['hash tree', { partitionSize: 2 * MIB }, addHashtreeFooterToFile, false],
  ['hash tree, sparse', { partitionSize: 2 * MIB }, addHashtreeFooterToFile, true],
] as const;

describe.each(kinds)('an image with %s', (_kind, size, add, isSparse) => {
  const made = async (signer: Signer, algorithm: string): Promise<string> => {
    const content = pattern(600 * 1024);
    const path = imageFile(isSparse ? await sparse(content) : content);
    const options = { partitionName: 'system', ...size, vbmeta: { ...signing, algorithm, signer } };
    await (add as (path: string, options: unknown) => Promise<unknown>)(path, options);
    return path;
  };

  test('that is signed anew equals one that was made with the new key', async () => {
    const path = await made(old, 'SHA256_RSA2048');
    const result = await resignImageFile(path, { signer: large });
    expect(result.after.algorithm).toBe('SHA256_RSA4096');
    const direct = readFileSync(await made(large, 'SHA256_RSA4096'));
    expect(readFileSync(path).equals(direct)).toBe(true);
    await verifyImage(
      path,
      { open: async (at) => (await openImage(at)).source, pathOf: () => path },
      { key: avbPublicKey(large.publicKey) },
      () => undefined,
    );
  });

  test('stays as it was when the key does not answer, or answers wrongly', async () => {
    const path = await made(old, 'SHA256_RSA2048');
    const before = readFileSync(path);
    const answers: [() => Promise<Uint8Array>, string][] = [
      [() => Promise.reject(new Error('the token is locked')), 'the token is locked'],
      [() => Promise.resolve(new Uint8Array(256)), 'no signature of the public key'],
      [() => Promise.resolve(new Uint8Array(0)), 'no signature of the public key'],
      [
        () => old.sign(text('x'), { hash: 'sha256', scheme: 'rsa-pkcs1' }),
        'no signature of the public key',
      ],
    ];
    for (const [sign, reason] of answers) {
      await expect(
        resignImageFile(path, { signer: { publicKey: small.publicKey, sign } }),
      ).rejects.toThrow(reason);
      expect(readFileSync(path).equals(before)).toBe(true);
    }
    expect(readdirSync(dirname(path))).toEqual(['system.img']);
  });
});

describe('an image without room', () => {
  test('is refused with the size that it needs, and takes it when it is given', async () => {
    const path = imageFile(pattern(40_960));
    await addHashtreeFooterToFile(path, { partitionName: 'system', vbmeta: signing });
    const before = readFileSync(path);
    const properties = new Map([['big', new Uint8Array(20_000).fill(1)]]);
    const options = { signer: small, properties };
    await expect(resignImageFile(path, options)).rejects.toMatchObject({
      code: 'input',
      hint: expect.stringContaining('--partition-size 73728') as string,
    });
    expect(readFileSync(path).equals(before)).toBe(true);
    const { size } = await resignImageFile(path, { ...options, partitionSize: 73_728 });
    expect([size, readFileSync(path).length]).toEqual([73_728, 73_728]);
  });
});

describe('a vbmeta image', () => {
  const vbmeta = signVbmeta({ ...signing, descriptors: [property('a', '1')] });

  test('keeps the size of its partition', async () => {
    const padded = new Uint8Array(65_536);
    padded.set(await vbmeta);
    const path = imageFile(padded);
    const { vbmeta: made } = await resignImageFile(path, { signer: large });
    padded.fill(0).set(made);
    expect(readFileSync(path).equals(padded)).toBe(true);
  });

  test('without padding stays without', async () => {
    const path = imageFile(await vbmeta);
    const { vbmeta: made } = await resignImageFile(path, { signer: large });
    expect(new Uint8Array(readFileSync(path))).toEqual(made);
  });

  test('is refused where something follows it, or it does not fit any more', async () => {
    const followed = new Uint8Array(8192);
    followed.set(await vbmeta);
    followed[8000] = 1;
    await expect(resignImageFile(imageFile(followed), { signer: small })).rejects.toThrow(
      /bytes that are not zero/,
    );
    const tight = new Uint8Array((await vbmeta).length + 64);
    tight.set(await vbmeta);
    await expect(resignImageFile(imageFile(tight), { signer: large })).rejects.toThrow(/partition/);
  });

  test('that is none is a FormatError that says what to do, whatever its bytes', async () => {
    const path = imageFile(pattern(10_000));
    await expect(resignImageFile(path, { signer: small })).rejects.toMatchObject({
      code: 'bad-magic',
      hint: expect.stringContaining('add_hash_footer') as string,
    });
    const start = text('AVB0');
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 600 }), async (junk) => {
        writeFileSync(path, Buffer.concat([start, junk]));
        await expect(resignImageFile(path, { signer: small })).rejects.toThrow(FormatError);
      }),
      { numRuns: 30 },
    );
  });
});

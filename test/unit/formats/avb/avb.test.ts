import { generateKeyPairSync } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FormatError } from '../../../../src/core/errors.ts';
import {
  decodeDescriptors,
  encodeDescriptor,
  type Descriptor,
} from '../../../../src/formats/avb/descriptor.ts';
import { dumpVbmeta } from '../../../../src/formats/avb/dump.ts';
import { decodeFooter, encodeFooter, readVbmeta } from '../../../../src/formats/avb/footer.ts';
import { decodeRsaPublicKey, encodeRsaPublicKey } from '../../../../src/formats/avb/public-key.ts';
import {
  decodeVbmeta,
  encodeUnsignedVbmeta,
  encodeVbmeta,
} from '../../../../src/formats/avb/vbmeta.ts';
import { bytesSource } from '../../../../src/io/byte-source.ts';
import { signVbmeta } from '../../../../src/signing/avb/sign.ts';
import { keySigner } from '../../../../src/signing/signer.ts';

const bytes = fc.uint8Array({ maxLength: 80 });
const name = fc.string({ unit: 'grapheme', maxLength: 20 }).filter((text) => !text.includes('\0'));
const size = fc.maxSafeNat();
const u32 = fc.nat(0xffffffff);
const algorithmName = fc.constantFrom('sha1', 'sha256', 'sha512', 'blake2b-256');

const descriptor: fc.Arbitrary<Descriptor> = fc.oneof(
  fc.record({ kind: fc.constant('property' as const), key: name, value: bytes }),
  fc.record({
    kind: fc.constant('hashtree' as const),
    dmVerityVersion: u32,
    imageSize: size,
    treeOffset: size,
    treeSize: size,
    dataBlockSize: u32,
    hashBlockSize: u32,
    fecNumRoots: u32,
    fecOffset: size,
    fecSize: size,
    hashAlgorithm: algorithmName,
    partitionName: name,
    salt: bytes,
    rootDigest: bytes,
    flags: u32,
  }),
  fc.record({
    kind: fc.constant('hash' as const),
    imageSize: size,
    hashAlgorithm: algorithmName,
    partitionName: name,
    salt: bytes,
    digest: bytes,
    flags: u32,
  }),
  fc.record({ kind: fc.constant('kernel-cmdline' as const), flags: u32, kernelCmdline: name }),
  fc.record({
    kind: fc.constant('chain-partition' as const),
    rollbackIndexLocation: u32,
    partitionName: name,
    publicKey: bytes,
    flags: u32,
  }),
);

function concat(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

/** An unsigned vbmeta image with these descriptors. */
function vbmetaOf(descriptors: readonly Descriptor[]): Uint8Array {
  const unsigned = encodeUnsignedVbmeta({
    algorithm: 'NONE',
    descriptors,
    publicKey: new Uint8Array(0),
    publicKeyMetadata: new Uint8Array(0),
    rollbackIndex: 0n,
    rollbackIndexLocation: 0,
    flags: 0,
    releaseString: 'test',
  });
  return encodeVbmeta(unsigned, new Uint8Array(0), new Uint8Array(0));
}

/** What a decoder did; anything but a FormatError is thrown on. */
function outcomeOf(decode: () => unknown): string {
  try {
    decode();
    return 'decoded';
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    return 'refused';
  }
}

describe('descriptors', () => {
  test('decode gives back what encode took, in order', () => {
    fc.assert(
      fc.property(fc.array(descriptor, { maxLength: 6 }), (list) => {
        const placed = decodeDescriptors(concat(list.map(encodeDescriptor)));
        expect(placed.map((one) => one.descriptor)).toEqual(list);
      }),
    );
  });

  test('a list with one damaged descriptor is refused whole', () => {
    const good = encodeDescriptor({ kind: 'property', key: 'k', value: new Uint8Array(3) });
    for (const [at, value] of [
      [7, 9], // an unknown tag
      [15, 25], // not a multiple of 8
      [15, 0xf8], // longer than the list
      [23, 200], // key longer than the descriptor
      [33, 1], // the NUL behind the key
      [39, 1], // padding
    ] as const) {
      const bad = good.slice();
      bad[at] = value;
      expect(() => decodeDescriptors(concat([good, bad, good])), `byte ${at}`).toThrow(FormatError);
    }
  });

  test('a text with a NUL cannot be encoded, and one that is not UTF-8 cannot be decoded', () => {
    const hidden: Descriptor = { kind: 'property', key: 'a\0b', value: new Uint8Array(0) };
    expect(() => encodeDescriptor(hidden)).toThrow(RangeError);
    const data = encodeDescriptor({ ...hidden, key: 'abc' });
    data[33] = 0xff;
    expect(() => decodeDescriptors(data)).toThrow(FormatError);
    data[33] = 0;
    expect(() => decodeDescriptors(data)).toThrow(FormatError);
  });

  test('any bytes decode or give a FormatError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.nat(4), (data, tag) => {
        // Half of the runs get past the head, so that every kind sees junk.
        if (data.length >= 16) {
          data.fill(0, 0, 16);
          data[7] = tag;
          const following = (data.length - 16) & ~7;
          data[14] = following >> 8;
          data[15] = following & 0xff;
        }
        expect(outcomeOf(() => decodeDescriptors(data))).toMatch(/^(decoded|refused)$/);
      }),
    );
  });
});

describe('vbmeta image', () => {
  test('decoding a Buffer changes nothing in it, and what it gives is a copy', async () => {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const signed = await signVbmeta({
      algorithm: 'SHA256_RSA2048',
      signer: keySigner(privateKey),
      descriptors: [{ kind: 'property', key: 'k', value: new Uint8Array([7]) }],
    });
    const input = Buffer.from(signed);
    const vbmeta = decodeVbmeta(input);
    expect(Buffer.compare(input, signed)).toBe(0);
    const again = decodeVbmeta(signed);
    input.fill(0xee);
    expect(vbmeta).toEqual(again);
  });

  test('every single changed byte decodes to something else or is refused', () => {
    const image = vbmetaOf([
      { kind: 'property', key: 'key', value: new Uint8Array([1, 2, 3]) },
      { kind: 'kernel-cmdline', flags: 1, kernelCmdline: 'quiet' },
    ]);
    const before = JSON.stringify(decodeVbmeta(image), (_, value: unknown) =>
      typeof value === 'bigint' ? value.toString() : value,
    );
    for (let at = 0; at < image.length; at++) {
      const damaged = image.slice();
      damaged[at] = (damaged[at] ?? 0) ^ 1;
      const outcome = outcomeOf(() => {
        const after = JSON.stringify(decodeVbmeta(damaged), (_, value: unknown) =>
          typeof value === 'bigint' ? value.toString() : value,
        );
        expect(after, `byte ${at}`).not.toBe(before);
      });
      expect(outcome).toMatch(/^(decoded|refused)$/);
    }
  });

  test('every truncation is refused, and padding behind it is not looked at', () => {
    const image = vbmetaOf([{ kind: 'property', key: 'k', value: new Uint8Array(1) }]);
    for (let length = 0; length < image.length; length++) {
      expect(() => decodeVbmeta(image.subarray(0, length)), `${length}`).toThrow(FormatError);
    }
    const padded = new Uint8Array(4096).fill(0xff);
    padded.set(image);
    expect(decodeVbmeta(padded).size).toBe(image.length);
  });

  test('any bytes behind the magic decode or give a FormatError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 256, maxLength: 600 }), (data) => {
        data.set([0x41, 0x56, 0x42, 0x30, 0, 0, 0, 1, 0, 0, 0, 0]);
        expect(outcomeOf(() => decodeVbmeta(data))).toMatch(/^(decoded|refused)$/);
      }),
    );
  });

  test('asks for the libavb that its descriptors need', () => {
    const minorOf = (list: Descriptor[]): number => decodeVbmeta(vbmetaOf(list)).requiredMinor;
    const hash = {
      kind: 'hash',
      imageSize: 1,
      hashAlgorithm: 'sha256',
      partitionName: 'boot',
      salt: new Uint8Array(0),
      digest: new Uint8Array(32),
      flags: 0,
    } as const;
    expect(minorOf([hash])).toBe(0);
    expect(minorOf([{ ...hash, digest: new Uint8Array(0) }])).toBe(1);
    expect(minorOf([{ ...hash, flags: 1 }])).toBe(1);
    const chain = {
      kind: 'chain-partition',
      rollbackIndexLocation: 1,
      partitionName: 'system',
      publicKey: new Uint8Array(1),
      flags: 1,
    } as const;
    expect(minorOf([chain])).toBe(3);
  });

  test('an image that libavb could not read is not made', () => {
    const value = new Uint8Array(65536);
    expect(() => vbmetaOf([{ kind: 'property', key: 'k', value }])).toThrow(RangeError);
  });
});

describe('footer', () => {
  const footer = { originalImageSize: 5000, vbmetaOffset: 8192, vbmetaSize: 256 };

  test('decode gives back what encode took', () => {
    expect(decodeFooter(encodeFooter(footer), 16384)).toEqual(footer);
  });

  test.each([
    ['vbmeta behind the end', { ...footer, vbmetaOffset: 16384 - 64 - 255 }, 'out-of-range'],
    ['vbmeta larger than libavb reads', { ...footer, vbmetaSize: 65537 }, 'too-large'],
    ['original image over the vbmeta', { ...footer, originalImageSize: 8193 }, 'out-of-range'],
  ])('refuses %s', (_, bad, code) => {
    expect(() => decodeFooter(encodeFooter(bad), 16384)).toThrow(
      expect.objectContaining({ code }) as Error,
    );
  });

  test('any 64 bytes behind the magic decode or give a FormatError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 64, maxLength: 64 }), (data) => {
        data.set([0x41, 0x56, 0x42, 0x66, 0, 0, 0, 1, 0, 0, 0, 0]);
        expect(outcomeOf(() => decodeFooter(data, 1 << 20))).toMatch(/^(decoded|refused)$/);
      }),
    );
  });
});

describe('RSA public key', () => {
  const modulusOf = (bits: number): Uint8Array => {
    const { publicKey } = generateKeyPairSync('rsa', { modulusLength: bits });
    return new Uint8Array(Buffer.from(publicKey.export({ format: 'jwk' }).n ?? '', 'base64url'));
  };

  test('decode gives back the modulus, and refuses any other n0inv, rr, size or tail', () => {
    const modulus = modulusOf(2048);
    const blob = encodeRsaPublicKey(modulus);
    expect(decodeRsaPublicKey(blob).modulus).toEqual(modulus);
    for (const at of [0, 3, 4, 7, 8, 263, 264, 519]) {
      const bad = blob.slice();
      bad[at] = (bad[at] ?? 0) ^ 0x80;
      expect(() => decodeRsaPublicKey(bad), `byte ${at}`).toThrow(FormatError);
    }
    expect(() => decodeRsaPublicKey(blob.subarray(0, 519))).toThrow(FormatError);
    expect(() => decodeRsaPublicKey(concat([blob, new Uint8Array(1)]))).toThrow(FormatError);
  });

  test('refuses keys that AVB has no algorithm for', () => {
    expect(() => encodeRsaPublicKey(modulusOf(3072))).toThrow(RangeError);
    expect(() => encodeRsaPublicKey(modulusOf(2048), 3n)).toThrow(RangeError);
    expect(() => encodeRsaPublicKey(new Uint8Array(256))).toThrow(RangeError);
  });

  test('any bytes decode or give a FormatError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), (data) => {
        expect(outcomeOf(() => decodeRsaPublicKey(data))).toMatch(/^(decoded|refused)$/);
      }),
    );
  });
});

describe('dumpVbmeta', () => {
  test('finds the vbmeta through the footer and names every descriptor with its offset', async () => {
    const vbmeta = vbmetaOf([{ kind: 'property', key: 'k', value: new Uint8Array([0x61]) }]);
    const image = new Uint8Array(16384);
    image.set(vbmeta, 8192);
    const footer = { originalImageSize: 100, vbmetaOffset: 8192, vbmetaSize: vbmeta.length };
    image.set(encodeFooter(footer), image.length - 64);
    const dump = await dumpVbmeta(image);
    expect(dump.children.map((child) => child.name)).toEqual(['vbmeta', 'footer']);
    const auxiliary = dump.children[0]?.children.at(-1);
    const property = auxiliary?.children[0];
    expect(property?.name).toBe('property descriptor "k"');
    expect(property?.fields).toContainEqual({ name: 'value', value: 'a' });
    const at = property?.fields[0]?.offset ?? 0;
    expect([...image.subarray(at, at + 8)]).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
    expect(Buffer.from(image.subarray(at + 32, at + 33)).toString()).toBe('k');
  });

  test('an image with neither footer nor vbmeta is refused', async () => {
    await expect(dumpVbmeta(new Uint8Array(5000))).rejects.toThrow(FormatError);
    await expect(dumpVbmeta(new Uint8Array(0))).rejects.toThrow(FormatError);
    const located = await readVbmeta(bytesSource(new Uint8Array(100)));
    expect(located.footer).toBeUndefined();
  });
});

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fromHex, toHex } from '../../../../src/core/digest.ts';
import { FormatError } from '../../../../src/core/errors.ts';
import { formatSignatureAlgorithm } from '../../../../src/formats/apk/algorithms.ts';
import { createContentHasher } from '../../../../src/formats/apk/content-digest.ts';
import { dumpIdsig } from '../../../../src/formats/apk/dump.ts';
import {
  decodeIdsig,
  encodeIdsigHeader,
  readIdsig,
  type IdsigHeader,
} from '../../../../src/formats/apk/idsig.ts';
import {
  decodeSignedData,
  decodeSigners,
  encodeSignedData,
  encodeSigners,
  type SignedData,
  type SignerBlock,
} from '../../../../src/formats/apk/signer-block.ts';
import {
  encodeSigningBlock,
  findApkSections,
  readSigningBlock,
  VERITY_PADDING_BLOCK_ID,
} from '../../../../src/formats/apk/signing-block.ts';
import { checkSigningBlockPairs } from '../../../../src/formats/apk/strict.ts';
import { bytesSource } from '../../../../src/io/byte-source.ts';
import { corpus, corpusPath } from '../../../support/corpus.ts';

const u32s = fc.nat({ max: 0xffffffff });
const blob = fc.uint8Array({ maxLength: 40 });

const isVerdict = async (decode: () => unknown): Promise<boolean> => {
  try {
    await decode();
    return true;
  } catch (error) {
    return error instanceof FormatError;
  }
};

/** An empty archive with a signing block before its (empty) central directory. */
function apkWith(block: Uint8Array): Uint8Array {
  const end = new Uint8Array(22);
  const view = new DataView(end.buffer);
  view.setUint32(0, 0x06054b50, true);
  view.setUint32(16, block.length, true);
  return Buffer.concat([block, end]);
}

describe('APK Signing Block', () => {
  const pairs = fc.array(fc.record({ id: u32s, value: fc.uint8Array({ maxLength: 5000 }) }), {
    maxLength: 4,
  });

  test('is a multiple of 4096 and reads back with its padding', async () => {
    await fc.assert(
      fc.asyncProperty(pairs, async (wanted) => {
        const block = encodeSigningBlock(wanted);
        expect(block.length % 4096).toBe(0);
        const source = bytesSource(apkWith(block));
        const sections = await findApkSections(source);
        expect([sections.entriesEnd, sections.hasSigningBlock]).toEqual([0, true]);
        const read = await readSigningBlock(source, sections);
        const plain = read.map(({ id, value }) => ({ id, value: Uint8Array.from(value) }));
        expect(plain.slice(0, wanted.length)).toEqual(wanted);
        for (const padding of plain.slice(wanted.length)) {
          expect(padding.id).toBe(VERITY_PADDING_BLOCK_ID);
        }
      }),
    );
  });

  test.each([0, 1, 11, 12, 13])('leaves room for a padding pair when %d bytes are over', (over) => {
    const block = encodeSigningBlock([{ id: 1, value: new Uint8Array(4096 - 32 - 12 - over) }]);
    expect(block.length).toBe(over > 0 && over < 12 ? 8192 : 4096);
  });

  test('any change of its sizes is refused', async () => {
    const block = encodeSigningBlock([{ id: 1, value: new Uint8Array(10) }]);
    for (const at of [0, 7, 8, 15, block.length - 24, block.length - 17]) {
      const apk = apkWith(block);
      apk[at] = (apk[at] ?? 0) ^ 0x40;
      const reading = findApkSections(bytesSource(apk)).then((sections) =>
        readSigningBlock(bytesSource(apk), sections),
      );
      await expect(reading).rejects.toBeInstanceOf(FormatError);
    }
  });

  test('pairs of unknown id, pairs that stand twice and padding with content are refused', () => {
    const pair = (
      id: number,
      value = new Uint8Array(4),
    ): { id: number; value: Uint8Array; offset: number } => ({
      id,
      value,
      offset: 0,
    });
    const v3 = pair(0xf05368c0);
    expect(() => checkSigningBlockPairs([v3, pair(VERITY_PADDING_BLOCK_ID)])).not.toThrow();
    expect(() => checkSigningBlockPairs([v3, pair(0x504b4453)])).toThrow(/unknown id/);
    expect(() => checkSigningBlockPairs([v3, v3])).toThrow(/two pairs/);
    const filled = pair(VERITY_PADDING_BLOCK_ID, Uint8Array.of(0, 0, 1));
    expect(() => checkSigningBlockPairs([v3, filled])).toThrow(/not zero/);
  });

  test('zeros may follow an APK in a partition, up to a block and nothing else', async () => {
    const apk = apkWith(encodeSigningBlock([]));
    const padded = (size: number, last = 0): Uint8Array => {
      const out = new Uint8Array(apk.length + size);
      out.set(apk);
      out[out.length - 1] = last;
      return out;
    };
    expect((await findApkSections(bytesSource(padded(4000)))).size).toBe(apk.length);
    for (const bytes of [padded(4096), padded(10, 1)]) {
      await expect(findApkSections(bytesSource(bytes))).rejects.toBeInstanceOf(FormatError);
    }
  });
});

describe('signer blocks', () => {
  const sdk = fc.record({ min: u32s, max: u32s });
  const signedData = (range: fc.Arbitrary<SignedData['sdk']>): fc.Arbitrary<SignedData> =>
    fc.record({
      digests: fc.array(fc.record({ algorithm: u32s, digest: blob }), { maxLength: 3 }),
      certificates: fc.array(blob, { maxLength: 3 }),
      sdk: range,
      attributes: fc.array(fc.record({ id: u32s, value: blob }), { maxLength: 3 }),
    });
  const signers = (range: fc.Arbitrary<SignerBlock['sdk']>): fc.Arbitrary<SignerBlock[]> =>
    fc.array(
      fc.record({
        signedData: blob,
        sdk: range,
        signatures: fc.array(fc.record({ algorithm: u32s, signature: blob }), { maxLength: 3 }),
        publicKey: blob,
      }),
      { maxLength: 3 },
    );

  test.each([
    ['v2', fc.constant(undefined)],
    ['v3', sdk],
  ] as const)('%s reads back as it was written', (layout, range) => {
    fc.assert(
      fc.property(signers(range), signedData(range), (blocks, data) => {
        expect(decodeSigners(encodeSigners(blocks), layout)).toEqual(blocks);
        expect(decodeSignedData(encodeSignedData(data), layout)).toEqual(data);
      }),
    );
  });

  test('more than ten signers are refused', () => {
    const signer = {
      signedData: new Uint8Array(0),
      sdk: undefined,
      signatures: [],
      publicKey: new Uint8Array(0),
    };
    expect(() =>
      decodeSigners(encodeSigners(Array.from({ length: 11 }, () => signer)), 'v2'),
    ).toThrow(/More than 10/);
  });

  test('nothing may follow what a signature does not cover', () => {
    const value = encodeSigners([]);
    expect(() => decodeSigners(Uint8Array.of(...value, 0), 'v3')).toThrow(FormatError);
  });

  test('any bytes decode or throw FormatError', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 120 }), async (bytes) => {
        for (const layout of ['v2', 'v3'] as const) {
          expect(await isVerdict(() => decodeSigners(bytes, layout))).toBe(true);
          expect(await isVerdict(() => decodeSignedData(bytes, layout))).toBe(true);
        }
        expect(await isVerdict(() => decodeIdsig(bytes))).toBe(true);
        expect(await isVerdict(() => findApkSections(bytesSource(apkWith(bytes))))).toBe(true);
      }),
    );
  });

  test('lengths of 2^31 and more are refused, not allocated', () => {
    for (const length of [0x7fffffff, 0x80000000, 0xffffffff]) {
      const bytes = new Uint8Array(12);
      const view = new DataView(bytes.buffer);
      for (const at of [0, 4, 8]) {
        bytes.fill(0);
        view.setUint32(0, 8, true);
        view.setUint32(4, 4, true);
        view.setUint32(at, length, true);
        expect(() => decodeSigners(bytes, 'v3')).toThrow(FormatError);
      }
    }
  });

  test('formatSignatureAlgorithm names what it knows', () => {
    expect(formatSignatureAlgorithm(0x0103)).toBe('0x0103 rsa-pkcs1-sha256');
    expect(formatSignatureAlgorithm(0x0421)).toBe('0x0421 rsa-pkcs1-sha256-verity');
    expect(formatSignatureAlgorithm(0x0999)).toBe('0x0999');
  });
});

describe('content digests', () => {
  const MIB = 1 << 20;

  /** The definition, chunk by chunk. */
  function defined(sections: readonly Uint8Array[]): string {
    const tagged = (tag: number, count: number, ...parts: readonly Uint8Array[]): Buffer => {
      const head = Buffer.alloc(5);
      head[0] = tag;
      head.writeUInt32LE(count, 1);
      return createHash('sha256')
        .update(Buffer.concat([head, ...parts]))
        .digest();
    };
    const chunks = sections.flatMap((section) =>
      Array.from({ length: Math.ceil(section.length / MIB) }, (_, index) => {
        const chunk = section.subarray(index * MIB, (index + 1) * MIB);
        return tagged(0xa5, chunk.length, chunk);
      }),
    );
    return tagged(0x5a, chunks.length, ...chunks).toString('hex');
  }

  test.each([0, 1, MIB - 1, MIB, MIB + 1, 2 * MIB + 5])(
    'a section of %d bytes is cut into chunks of 1 MiB, in pieces of any size',
    (size) => {
      const sections = [new Uint8Array(size).fill(1), new Uint8Array(7).fill(2)];
      for (const step of [MIB, 300_001]) {
        const hasher = createContentHasher('sha256');
        for (const section of sections) {
          hasher.startSection(section.length);
          for (let at = 0; at < section.length; at += step) {
            hasher.update(section.subarray(at, at + step));
          }
        }
        expect(toHex(hasher.finish())).toBe(defined(sections));
      }
    },
  );

  test('a section of another size than announced is a mistake of the caller', () => {
    const hasher = createContentHasher('sha256');
    hasher.startSection(2);
    expect(() => hasher.update(new Uint8Array(3))).toThrow(RangeError);
    expect(() => hasher.finish()).toThrow(RangeError);
  });
});

describe('idsig', () => {
  const header: IdsigHeader = {
    hashing: {
      hashAlgorithm: 1,
      log2BlockSize: 12,
      salt: new Uint8Array(0),
      rawRootHash: new Uint8Array(32).fill(9),
    },
    signing: {
      apkDigest: new Uint8Array(32).fill(1),
      certificate: Uint8Array.of(2, 2),
      additionalData: new Uint8Array(0),
      publicKey: Uint8Array.of(3),
      signatureAlgorithm: 0x0103,
      signature: Uint8Array.of(4, 4, 4),
    },
    signingBlocks: [],
  };
  const whole = (value: IdsigHeader = header): Uint8Array =>
    Buffer.concat([encodeIdsigHeader(value, 4096), new Uint8Array(4096)]);

  test('reads back as it was written, with further signing infos', async () => {
    const value = { ...header, signingBlocks: [{ blockId: 0x1b93ad61, ...header.signing }] };
    const { treeOffset, treeSize, ...read } = decodeIdsig(whole(value));
    expect(read).toEqual(value);
    expect(treeOffset + treeSize).toBe(whole(value).length);
    expect(await readIdsig(bytesSource(whole(value)))).toEqual(decodeIdsig(whole(value)));
  });

  test('refuses other versions, hashes, block sizes, roots, and salts that are too long', () => {
    const hashing = (change: Partial<IdsigHeader['hashing']>): Uint8Array =>
      whole({ ...header, hashing: { ...header.hashing, ...change } });
    const otherVersion = whole();
    otherVersion[0] = 3;
    for (const bytes of [
      otherVersion,
      hashing({ hashAlgorithm: 2 }),
      hashing({ log2BlockSize: 13 }),
      hashing({ rawRootHash: new Uint8Array(31) }),
      hashing({ salt: new Uint8Array(33) }),
    ]) {
      expect(() => decodeIdsig(bytes)).toThrow(FormatError);
    }
  });

  test('refuses signing infos above the limit of Android', () => {
    const signing = { ...header.signing, additionalData: new Uint8Array(7200) };
    expect(() => decodeIdsig(whole({ ...header, signing }))).toThrow(FormatError);
  });

  test('must end with its tree; in a partition, zeros may follow', async () => {
    const longer = Buffer.concat([whole(), new Uint8Array(5)]);
    expect(() => decodeIdsig(longer)).toThrow(FormatError);
    expect((await readIdsig(bytesSource(longer))).treeSize).toBe(4096);
    longer[longer.length - 1] = 1;
    await expect(readIdsig(bytesSource(longer))).rejects.toBeInstanceOf(FormatError);
    for (const size of [0, 3, 100, whole().length - 1]) {
      expect(() => decodeIdsig(whole().subarray(0, size))).toThrow(FormatError);
    }
  });

  test('dumpIdsig shows every field', async () => {
    const dump = await dumpIdsig(whole());
    expect(dump.children.map(({ name }) => name)).toEqual(['hashing info', 'signing info']);
    expect(dump.children[1]?.fields).toContainEqual({ name: 'signature', value: '040404' });
  });
});

describe.skipIf(corpus === undefined)('idsigs without a signature', () => {
  const folder = (...parts: string[]): string => corpusPath('idsig-unsigned', ...parts);
  const { cases } = (
    corpus ? JSON.parse(readFileSync(folder('manifest.json'), 'utf8')) : { cases: [] }
  ) as {
    readonly cases: readonly {
      readonly file: string;
      readonly root: string;
      readonly apk_digest: string;
      readonly alg: string;
    }[];
  };

  test.for(cases)('$file is encoded to the same bytes', ({ file, root, apk_digest, alg }) => {
    const bytes = Uint8Array.from(readFileSync(folder(file)));
    const { treeOffset, treeSize } = decodeIdsig(bytes);
    const none = new Uint8Array(0);
    const header = encodeIdsigHeader(
      {
        hashing: { hashAlgorithm: 1, log2BlockSize: 12, salt: none, rawRootHash: fromHex(root) },
        signing: {
          apkDigest: fromHex(apk_digest),
          certificate: none,
          additionalData: none,
          publicKey: none,
          signatureAlgorithm: Number(alg),
          signature: none,
        },
        signingBlocks: [],
      },
      treeSize,
    );
    expect(toHex(header)).toBe(toHex(bytes.subarray(0, treeOffset)));
  });
});

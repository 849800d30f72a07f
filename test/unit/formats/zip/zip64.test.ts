/** ZIP64: read where both ways to say a number agree, refused where readers would differ. */

import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FormatError } from '../../../../src/core/errors.ts';
import {
  Zip64EndOfCentralDirectory,
  Zip64Locator,
  ZIP64_END_SIGNATURE,
  ZIP64_LOCATOR_SIGNATURE,
} from '../../../../src/formats/zip/layout.ts';
import { readZip, type ZipDirectory } from '../../../../src/formats/zip/read.ts';
import { checkStrictZip } from '../../../../src/formats/zip/strict.ts';
import { bytesSource } from '../../../../src/io/byte-source.ts';
import { forge, type ForgedArchive, type ForgedEntry } from './forge.ts';

const ONES = 0xffffffff;
const DATA = 'the data of the entry';

/** The extra field with these numbers. */
function wide(...values: readonly (number | bigint)[]): Uint8Array {
  const out = Buffer.alloc(4 + values.length * 8);
  out.writeUInt16LE(1, 0);
  out.writeUInt16LE(values.length * 8, 2);
  for (const [index, value] of values.entries()) out.writeBigUInt64LE(BigInt(value), 4 + index * 8);
  return out;
}

const size = Buffer.byteLength(DATA);
const both: ForgedEntry = {
  name: 'a',
  data: DATA,
  both: { size: ONES, compressedSize: ONES },
  localExtra: wide(size, size),
  extra: wide(size, size),
};

/** An archive with the two records of ZIP64 before its end record. */
function forge64(
  archive: ForgedArchive,
  fields: Readonly<Record<string, number | bigint>> = {},
  locator: Readonly<Record<string, number | bigint>> = {},
): Uint8Array {
  const plain = Buffer.from(forge(archive));
  const { end: _, ...unmasked } = archive;
  const narrow = Buffer.from(forge(unmasked)).subarray(-22);
  const [length, offset] = [narrow.readUInt32LE(12), narrow.readUInt32LE(16)];
  const count = BigInt(archive.entries.length);
  const end = Zip64EndOfCentralDirectory.encode({
    signature: ZIP64_END_SIGNATURE,
    recordSize: 44n,
    versionMadeBy: 45,
    versionNeeded: 45,
    diskNumber: 0,
    centralDirectoryDisk: 0,
    entriesOnDisk: count,
    entryCount: count,
    centralDirectorySize: BigInt(length),
    centralDirectoryOffset: BigInt(offset),
    ...fields,
  });
  const lead = Zip64Locator.encode({
    signature: ZIP64_LOCATOR_SIGNATURE,
    endDisk: 0,
    endOffset: BigInt(plain.length - 22),
    diskCount: 1,
    ...locator,
  });
  return Buffer.concat([plain.subarray(0, -22), end, lead, plain.subarray(-22)]);
}

async function read(bytes: Uint8Array): Promise<ZipDirectory> {
  const source = bytesSource(bytes, 'x.zip');
  const zip = await readZip(source, { zip64: true });
  await checkStrictZip(source, zip, { zip64: true, storedDescriptors: true });
  return zip;
}

const masked = { entryCount: 0xffff, entriesOnDisk: 0xffff, centralDirectoryOffset: ONES };

describe('ZIP64', () => {
  test.each<[string, Uint8Array]>([
    ['sizes in both headers', forge({ entries: [both] })],
    [
      'all numbers in the central directory',
      forge({
        entries: [{ ...both, extra: wide(size, size, 0), central: { localHeaderOffset: ONES } }],
      }),
    ],
    [
      'numbers that no field refers to',
      forge({ entries: [{ name: 'a', data: DATA, extra: wide(size, size) }] }),
    ],
    [
      'the local header only',
      forge({
        entries: [
          {
            ...both,
            both: {},
            local: { size: ONES, compressedSize: ONES },
            extra: new Uint8Array(0),
          },
        ],
      }),
    ],
    ['an end record that agrees with the wide one', forge64({ entries: [both] })],
    ['an end record that leaves all to the wide one', forge64({ entries: [both], end: masked })],
    ['an end record and no wide number else', forge64({ entries: [{ name: 'a', data: DATA }] })],
  ])('is read: %s', async (_, bytes) => {
    const { entries, end } = await read(bytes);
    expect(entries).toMatchObject([
      { name: 'a', size, compressedSize: size, localHeaderOffset: 0 },
    ]);
    expect(end.entryCount).toBe(1);
  });

  test('a descriptor behind the data may be wide or narrow, with or without a signature', async () => {
    const sum = Buffer.alloc(4);
    sum.writeUInt32LE(crc32(DATA));
    for (const bytes of [8, 4]) {
      for (const signature of ['504b0708', '']) {
        const number = Buffer.alloc(bytes);
        number.writeUInt32LE(size);
        const descriptor = Buffer.concat([Buffer.from(signature, 'hex'), sum, number, number]);
        const entry: ForgedEntry = {
          ...both,
          both: { flags: 8 },
          local: { size: ONES, compressedSize: ONES, crc32: 0 },
          localExtra: wide(0, 0),
          extra: new Uint8Array(0),
        };
        const next: ForgedEntry = { name: 'b', data: 'x', before: descriptor };
        expect((await read(forge({ entries: [entry, next] }))).entries).toHaveLength(2);
      }
    }
  });

  test.each<[string, RegExp, Uint8Array]>([
    [
      'a size that is missing',
      /entry "a" has no compressedSize in its ZIP64/,
      forge({ entries: [{ ...both, extra: wide(size) }] }),
    ],
    [
      'an offset that is missing',
      /entry "a" has no localHeaderOffset/,
      forge({ entries: [{ ...both, central: { localHeaderOffset: ONES } }] }),
    ],
    [
      'two sizes in one header',
      /entry "a" has two values of size: 21 and 22/,
      forge({ entries: [{ name: 'a', data: DATA, extra: wide(size + 1, size) }] }),
    ],
    [
      'sizes that the local header does not have',
      /two headers of "a" disagree on/,
      forge({ entries: [{ ...both, localExtra: wide(size + 1, size + 1) }] }),
    ],
    [
      'two extra fields',
      /entry "a" has two ZIP64 extra fields/,
      forge({ entries: [{ ...both, extra: Buffer.concat([wide(size, size), wide(1, 1)]) }] }),
    ],
    [
      'more than it needs',
      /entry "a" has a ZIP64 extra field of another length/,
      forge({ entries: [{ ...both, extra: wide(size, size, 0, 7) }] }),
    ],
    [
      'more bytes than a number can count',
      /entry "a" has size 18446744073709551615/,
      forge({ entries: [{ ...both, extra: wide(2n ** 64n - 1n, size) }] }),
    ],
    [
      'another disk',
      /entry "a" is on another disk/,
      forge({
        entries: [
          {
            ...both,
            central: { diskNumber: 0xffff },
            extra: Buffer.concat([
              Buffer.from('01001400', 'hex'),
              wide(size, size).subarray(4),
              Buffer.from([1, 0, 0, 0]),
            ]),
          },
        ],
      }),
    ],
    [
      'two counts of entries',
      /two end records disagree on entryCount: 1 and 2/,
      forge64({ entries: [both] }, { entryCount: 2n }),
    ],
    [
      'two places of the directory',
      /two end records disagree on centralDirectoryOffset/,
      forge64({ entries: [both] }, { centralDirectoryOffset: 0n }),
    ],
    [
      'a count that is not that of the entries',
      /counts 3 entries/,
      forge64({ entries: [both], end: masked }, { entryCount: 3n }),
    ],
    [
      'a locator that leads elsewhere',
      /locator does not lead to the record before it/,
      forge64({ entries: [both] }, {}, { endOffset: 3n }),
    ],
    [
      'a locator of several disks',
      /locator does not lead/,
      forge64({ entries: [both] }, {}, { diskCount: 2 }),
    ],
    [
      'an end record with more data',
      /ZIP64 end record is damaged/,
      forge64({ entries: [both] }, { recordSize: 45n }),
    ],
    [
      'an end record of another signature',
      /ZIP64 end record is damaged/,
      forge64({ entries: [both] }, { signature: 0 }),
    ],
    [
      'bytes between the directory and its end',
      /does not end at its end record/,
      forge64({ entries: [both], end: masked, beforeEnd: new Uint8Array(4) }),
    ],
  ])('is refused: %s', async (_, why, bytes) => {
    const error: unknown = await read(bytes).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(FormatError);
    expect(String(error)).toMatch(why);
  });

  test('is no part of an APK, however well formed', async () => {
    for (const bytes of [forge({ entries: [both] }), forge64({ entries: [both] })]) {
      const source = bytesSource(bytes, 'x.apk');
      const strict = async (): Promise<void> => checkStrictZip(source, await readZip(source));
      await expect(strict()).rejects.toThrow(FormatError);
    }
  });

  test('any change of one byte is read or refused', async () => {
    const good = forge64({ entries: [both, { name: 'b', data: 'x', deflate: true }], end: masked });
    await fc.assert(
      fc.asyncProperty(
        fc.nat(good.length - 1),
        fc.integer({ min: 1, max: 255 }),
        async (at, by) => {
          const bytes = new Uint8Array(good);
          bytes[at] = (bytes[at] ?? 0) ^ by;
          const outcome: unknown = await read(bytes).catch((error: unknown) => error);
          expect(outcome instanceof FormatError || !(outcome instanceof Error)).toBe(true);
        },
      ),
      { numRuns: 500 },
    );
  });
});

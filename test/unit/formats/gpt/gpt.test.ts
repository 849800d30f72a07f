import fc from 'fast-check';
import { crc32 } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { sha256, toHex } from '../../../../src/core/digest.ts';
import { FormatError } from '../../../../src/core/errors.ts';
import { dumpGpt } from '../../../../src/formats/gpt/dump.ts';
import { formatGuid, parseGuid, swapGuid } from '../../../../src/formats/gpt/guid.ts';
import { partitionSource, readGpt, type Gpt } from '../../../../src/formats/gpt/reader.ts';
import {
  guidFromDigest,
  layoutGpt,
  writeGpt,
  type GptLayout,
} from '../../../../src/formats/gpt/gpt.ts';
import { bytesSource } from '../../../../src/io/byte-source.ts';
import { MemorySink } from '../../../../src/io/image-sink.ts';

const guidOf = (name: string): Uint8Array => guidFromDigest(sha256(Buffer.from(name)));
const partition = (
  label: string,
  size: number,
): Parameters<typeof layoutGpt>[0]['partitions'][0] => ({
  label,
  size,
  guid: guidOf(label),
});
const diskGuid = guidOf('disk');

async function diskOf(layout: GptLayout): Promise<Uint8Array> {
  const sink = new MemorySink();
  await writeGpt(sink, layout);
  return sink.bytes();
}
const read = (disk: Uint8Array): Promise<Gpt> => readGpt(bytesSource(disk, 'disk.img'));

const small = layoutGpt({
  diskGuid,
  firstPartition: 20480,
  partitions: [partition('vbmeta_a', 4096), partition('system_a', 8193)],
});
const good = await diskOf(small);
const sectors = good.length / 512;

/** Changes bytes of both tables and makes all checksums right again. */
function resealed(
  changes: (primary: DataView, entries: DataView) => void,
  headers = [1, sectors - 1],
): Uint8Array {
  const disk = good.slice();
  for (const lba of headers) {
    const header = disk.subarray(lba * 512, lba * 512 + 92);
    const view = new DataView(header.buffer, header.byteOffset, 92);
    const entriesAt = Number(view.getBigUint64(72, true)) * 512;
    const entries = disk.subarray(entriesAt, entriesAt + 128 * 128);
    changes(view, new DataView(entries.buffer, entries.byteOffset, entries.length));
    view.setUint32(88, crc32(entries), true);
    view.setUint32(16, 0, true);
    view.setUint32(16, crc32(header), true);
  }
  return disk;
}

describe('guid', () => {
  test('the first three groups are little-endian in a table', () => {
    expect(toHex(swapGuid(parseGuid('0FC63DAF-8483-4772-8E79-3D69D8477DE4')))).toBe(
      'af3dc60f838472478e793d69d8477de4',
    );
  });

  test('bytes survive text', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
        expect(parseGuid(formatGuid(bytes))).toEqual(bytes);
        expect(swapGuid(swapGuid(bytes))).toEqual(bytes);
      }),
    );
  });

  test('a digest gives a GUID of version 8 and the RFC variant', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (digest) => {
        expect(formatGuid(guidFromDigest(digest))).toMatch(
          /^[\da-f]{8}-[\da-f]{4}-8[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/,
        );
      }),
    );
  });

  test.each([
    '',
    'x',
    '{0fc63daf-8483-4772-8e79-3d69d8477de4}',
    '0fc63daf84834772-8e79-3d69d8477de4',
  ])('"%s" is no GUID', (text) => {
    expect(() => parseGuid(text)).toThrow(RangeError);
  });
});

describe('layoutGpt', () => {
  test('partitions follow one another at multiples of 4096', () => {
    expect(small.partitions.map(({ offset, size }) => [offset, size])).toEqual([
      [20480, 4096],
      [24576, 12288],
    ]);
    expect(small.diskSize % 4096).toBe(0);
    expect(small.diskSize - 36864).toBeGreaterThanOrEqual(33 * 512);
  });

  test('the first partition is at 1 MiB unless asked otherwise', () => {
    expect(layoutGpt({ diskGuid, partitions: [partition('a', 1)] }).partitions[0]?.offset).toBe(
      1 << 20,
    );
  });

  test.each([
    ['an empty label', [partition('', 1)]],
    ['a label of 37 units', [partition('x'.repeat(37), 1)]],
    ['half a surrogate pair', [partition('\udc00', 1)]],
    ['a label with NUL', [partition('a\0b', 1)]],
    ['a label twice', [partition('a', 1), { ...partition('a', 1), guid: guidOf('other') }]],
    ['a GUID twice', [partition('a', 1), { ...partition('b', 1), guid: guidOf('a').slice() }]],
    ["the disk's GUID", [{ ...partition('a', 1), guid: diskGuid }]],
    ['the type of unused entries', [{ ...partition('a', 1), typeGuid: new Uint8Array(16) }]],
    ['no bytes', [partition('a', 0)]],
    ['half a byte', [partition('a', 0.5)]],
    ['129 partitions', Array.from({ length: 129 }, (_, i) => partition(`p${i}`, 1))],
  ])('%s is refused', (_, partitions) => {
    expect(() => layoutGpt({ diskGuid, partitions })).toThrow(
      expect.objectContaining({ code: 'input' }) as Error,
    );
  });

  test('what has not 16 bytes is no GUID', () => {
    const short = { label: 'a', size: 1, guid: new Uint8Array(15) };
    expect(() => layoutGpt({ diskGuid, partitions: [short] })).toThrow(RangeError);
    expect(() => guidFromDigest(new Uint8Array(15))).toThrow(RangeError);
  });

  test.each([0, 4096, 16384, 20481])('a first partition at %i is refused', (firstPartition) => {
    expect(() => layoutGpt({ diskGuid, partitions: [], firstPartition })).toThrow(RangeError);
  });
});

describe('readGpt', () => {
  test('any layout reads back', async () => {
    const label = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 36 });
    const usable = label.filter((text) => text.length <= 36 && !text.includes('\0'));
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(fc.tuple(usable, fc.integer({ min: 1, max: 100_000 })), {
          selector: ([text]) => text,
          maxLength: 10,
        }),
        async (wanted) => {
          const layout = layoutGpt({
            diskGuid,
            firstPartition: 20480,
            partitions: wanted.map(([text, size]) => partition(text, size)),
          });
          const gpt = await read(await diskOf(layout));
          expect(gpt.diskGuid).toEqual(layout.diskGuid);
          expect(
            gpt.partitions.map(({ label: text, guid, typeGuid, offset, size }) => ({
              label: text,
              guid,
              typeGuid,
              offset,
              size,
            })),
          ).toEqual(layout.partitions);
        },
      ),
      { numRuns: 50 },
    );
  });

  test('a partition is found by its label, and named in errors', async () => {
    const disk = good.slice();
    disk.fill(7, 24576, 24576 + 12288);
    const gpt = await read(disk);
    const source = partitionSource(bytesSource(disk, 'disk.img'), gpt, 'system_a');
    expect(source.name).toBe('disk.img: system_a');
    expect(await source.read(0, source.size)).toEqual(new Uint8Array(12288).fill(7));
    expect(() => partitionSource(source, gpt, 'vendor_a')).toThrow(FormatError);
  });

  test('two partitions of one label cannot be told apart', async () => {
    const disk = resealed((_, entries) => {
      for (let i = 0; i < 72; i += 1) entries.setUint8(128 + 56 + i, entries.getUint8(56 + i));
    });
    const gpt = await read(disk);
    expect(() => partitionSource(bytesSource(disk), gpt, 'vbmeta_a')).toThrow(
      expect.objectContaining({ code: 'duplicate' }) as Error,
    );
  });

  test('every changed byte of the tables is found', async () => {
    const table = [...Array(92).keys()].map((i) => 512 + i);
    for (const at of [
      ...table,
      ...table.map((i) => i - 512 + (sectors - 1) * 512),
      446 + 4,
      510,
      1024,
      1024 + 130,
      good.length - 600,
    ]) {
      const disk = good.slice();
      disk[at]! ^= 0x01;
      await expect(read(disk)).rejects.toThrow(FormatError);
    }
  });

  test.each<[string, string, Parameters<typeof resealed>[0]]>([
    ['an unknown revision', 'bad-version', (header) => header.setUint32(8, 0x20000, true)],
    ['a longer header', 'unsupported', (header) => header.setUint32(12, 512, true)],
    ['a reserved field', 'bad-value', (header) => header.setUint32(20, 1, true)],
    ['2^32 entries', 'too-large', (header) => header.setUint32(80, 0xffffffff, true)],
    ['huge entries', 'too-large', (header) => header.setUint32(84, 0x80000000, true)],
    ['entries of 64 bytes', 'bad-value', (header) => header.setUint32(84, 64, true)],
    ['entries of 192 bytes', 'bad-value', (header) => header.setUint32(84, 192, true)],
    [
      'a usable range to the end',
      'out-of-range',
      (header) => header.setBigUint64(48, BigInt(sectors - 1), true),
    ],
    ['a usable range from 0', 'out-of-range', (header) => header.setBigUint64(40, 0n, true)],
    [
      'a start before the range',
      'out-of-range',
      (_, entries) => entries.setBigUint64(32, 33n, true),
    ],
    [
      'an end behind the range',
      'out-of-range',
      (_, entries) => entries.setBigUint64(40, 2n ** 63n, true),
    ],
    [
      'an end before the start',
      'out-of-range',
      (_, entries) => entries.setBigUint64(40, 39n, true),
    ],
    ['an overlap', 'bad-value', (_, entries) => entries.setBigUint64(40, 48n, true)],
    [
      'a GUID twice',
      'duplicate',
      (_, entries) => {
        for (let i = 0; i < 16; i += 1) entries.setUint8(128 + 16 + i, entries.getUint8(16 + i));
      },
    ],
  ])('%s is refused though the checksums are right', async (_, code, change) => {
    await expect(read(resealed(change))).rejects.toMatchObject({ format: 'gpt', code });
  });

  test('a backup that differs from the table is refused', async () => {
    const other = resealed((_, entries) => entries.setUint8(56, 0x58), [sectors - 1]);
    await expect(read(other)).rejects.toMatchObject({ code: 'bad-value' });
  });

  test('a disk that was cut or enlarged is refused', async () => {
    for (const size of [0, 511, 1535, 17408, good.length - 512, good.length - 1]) {
      await expect(read(good.subarray(0, size))).rejects.toThrow(FormatError);
    }
    const longer = new Uint8Array(good.length + 4096);
    longer.set(good);
    await expect(read(longer)).rejects.toMatchObject({ code: 'out-of-range' });
  });

  test('any bytes are read or refused with FormatError', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(127), fc.nat(255)), { minLength: 1, maxLength: 6 }),
        fc.boolean(),
        async (edits, inEntries) => {
          const disk = resealed((header, entries) => {
            for (const [at, value] of edits) {
              if (inEntries) entries.setUint8(at, value);
              else header.setUint8(at % 72, value);
            }
          });
          for (const use of [read, (bytes: Uint8Array) => dumpGpt(bytesSource(bytes))]) {
            try {
              await use(disk);
            } catch (error) {
              expect(error).toBeInstanceOf(FormatError);
            }
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe('dumpGpt', () => {
  test('shows headers and partitions with their offsets', async () => {
    const node = await dumpGpt(bytesSource(good, 'disk.img'));
    expect(node.children.map(({ name }) => name)).toEqual([
      'header',
      'backup header',
      'partition 0 "vbmeta_a"',
      'partition 1 "system_a"',
    ]);
    expect(node.children[0]?.fields).toContainEqual({
      name: 'my_lba',
      value: 1n,
      offset: 536,
      size: 8,
    });
    expect(node.children[3]?.fields).toContainEqual({
      name: 'size',
      value: 12288,
      offset: 1024 + 128 + 40,
    });
  });
});

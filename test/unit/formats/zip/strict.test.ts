/** Each rule of the strict profile: an archive that only breaks it is refused, by the rule's own words. */

import { deflateRawSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { FormatError } from '../../../../src/core/errors.ts';
import { readZip } from '../../../../src/formats/zip/read.ts';
import { checkStrictZip, type StrictZipOptions } from '../../../../src/formats/zip/strict.ts';
import { windowSource } from '../../../../src/formats/zip/window-source.ts';
import { bytesSource, type ByteSource } from '../../../../src/io/byte-source.ts';
import { field, forge, type ForgedArchive, type ForgedEntry } from './forge.ts';

async function verdict(
  archive: ForgedArchive | Uint8Array,
  options?: StrictZipOptions,
): Promise<string> {
  const source = bytesSource(archive instanceof Uint8Array ? archive : forge(archive));
  try {
    await checkStrictZip(source, await readZip(source), options);
    return 'accepted';
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    return error.message;
  }
}

const text = 'text that is long enough to become smaller, smaller, smaller';
/** One of each kind, right in every respect. */
const plain: readonly ForgedEntry[] = [
  { name: 'AndroidManifest.xml', data: text, deflate: true },
  { name: 'lib/x86_64/libpayload.so', data: 'stored' },
  { name: 'assets/streamed.txt', data: text, deflate: true, descriptor: {} },
];
const withEntry = (entry: ForgedEntry): ForgedArchive => ({ entries: [...plain, entry] });

describe('what the profile lets pass', () => {
  const good: readonly (readonly [string, ForgedArchive])[] = [
    ['plain entries', { entries: plain }],
    ['no entry at all', { entries: [] }],
    ['an empty file', withEntry({ name: 'empty' })],
    ['a directory that is listed', withEntry({ name: 'assets/' })],
    [
      'a directory by its mode',
      withEntry({ name: 'd/', central: { externalAttributes: 0x41ed0010 } }),
    ],
    ['a file by its mode', withEntry({ name: 'f', central: { externalAttributes: 0x81a40000 } })],
    ['a name in UTF-8', withEntry({ name: 'assets/é', both: { flags: 0x800 } })],
    ['a name that only resembles another', withEntry({ name: 'assets/streamed.txt2' })],
    ['zeros as extra data', withEntry({ name: 'z', extra: new Uint8Array(3) })],
    [
      'alignment in the local header',
      withEntry({ name: 'a', extra: new Uint8Array(0), localExtra: field(0xd935, [4, 0]) }),
    ],
    [
      'times in both headers',
      withEntry({
        name: 't',
        extra: field(0x5455, [1, 0, 0, 0, 0]),
        localExtra: field(0x5455, [3, 0, 0, 0, 0, 0, 0, 0, 0]),
      }),
    ],
    [
      'a descriptor without signature',
      withEntry({ name: 'u', data: text, deflate: true, descriptor: {}, unsignedDescriptor: true }),
    ],
    ['a name with dots', withEntry({ name: 'assets/..a/...' })],
  ];
  test.each(good)('%s', async (_what, archive) => {
    expect(await verdict(archive)).toBe('accepted');
  });

  test('zeros before a signing block, up to 64 KiB', async () => {
    const padded = (zeros: Uint8Array): Promise<string> => {
      const bytes = forge({ entries: plain, beforeDirectory: zeros });
      const end = new DataView(bytes.buffer).getUint32(bytes.length - 6, true);
      return verdict(bytes, { entriesEnd: end });
    };
    expect(await padded(new Uint8Array(0xffff))).toBe('accepted');
    expect(await padded(new Uint8Array(0x10000))).toMatch('65536 bytes stand between');
    expect(await padded(Uint8Array.of(0, 0, 1, 0))).toMatch('belong to no entry');
  });

  test('comments of entries where the caller takes them', async () => {
    const archive = withEntry({ name: 'c', comment: 'x' });
    expect(await verdict(archive, { entryComments: true })).toBe('accepted');
  });
});

describe('what the profile refuses', () => {
  const bad: readonly (readonly [string, string, ForgedArchive])[] = [
    // The end record.
    ['an archive comment', 'archive comment', { entries: plain, comment: 'x' }],
    [
      'bytes behind the end record',
      'follow the end',
      { entries: plain, trailer: new Uint8Array(1) },
    ],
    [
      'a ZIP64 locator',
      'ZIP64 locator',
      withEntry({ name: 'x', comment: 'PK\u0006\u0007'.padEnd(20, 'x') }),
    ],
    [
      'a ZIP64 locator behind the directory',
      'does not end at its end record',
      { entries: plain, beforeEnd: Buffer.from('PK\u0006\u0007'.padEnd(20, 'x')) },
    ],
    ['a disk number', 'disk of several', { entries: plain, end: { diskNumber: 1 } }],
    [
      'a directory on another disk',
      'disk of several',
      { entries: plain, end: { centralDirectoryDisk: 1 } },
    ],
    ['a count too high', 'counts 4', { entries: plain, end: { entryCount: 4, entriesOnDisk: 4 } }],
    ['a count too low', 'counts 2', { entries: plain, end: { entryCount: 2, entriesOnDisk: 2 } }],
    ['two counts that differ', '(2 on this disk)', { entries: plain, end: { entriesOnDisk: 2 } }],
    [
      'bytes behind the directory',
      'does not end at its end record',
      { entries: plain, beforeEnd: new Uint8Array(4) },
    ],
    // Tiling.
    [
      'bytes before the first entry',
      'does not start where',
      { entries: [{ ...plain[0]!, before: new Uint8Array(1) }] },
    ],
    [
      'zeros between entries',
      'does not start where',
      withEntry({ name: 'g', before: new Uint8Array(4) }),
    ],
    [
      'an entry that is not listed',
      'does not start where',
      {
        entries: [
          ...plain,
          {
            name: 'x',
            before: forge({ entries: [{ name: 'hidden', data: 'x' }] }).subarray(0, 37),
          },
        ],
      },
    ],
    [
      'bytes before the directory',
      'before the central directory',
      { entries: plain, beforeDirectory: new Uint8Array(1) },
    ],
    [
      'two entries at one place',
      'overlaps',
      withEntry({ name: 'twice', central: { localHeaderOffset: 0 } }),
    ],
    [
      'an entry inside another',
      'overlaps',
      {
        entries: [
          { name: 'outer', data: forge({ entries: [{ name: 'inner', data: 'x' }] }) },
          { name: 'inner', data: 'x', central: { localHeaderOffset: 35 } },
        ],
      },
    ],
    [
      'an offset beyond the file',
      'does not start where',
      withEntry({ name: 'o', central: { localHeaderOffset: 0x7fffffff } }),
    ],
    [
      'a size that reaches into the next entry',
      'overlaps',
      { entries: [{ name: 'a', data: 'abc', both: { size: 60, compressedSize: 60 } }, ...plain] },
    ],
    [
      'a size beyond the file',
      'overlaps',
      withEntry({ name: 'h', data: 'x', both: { size: 0x7ffffff, compressedSize: 0x7ffffff } }),
    ],
    // Two headers.
    ['another local name', 'disagree on the name', withEntry({ name: 'ab', localName: 'ac' })],
    ['a longer local name', 'disagree on the name', withEntry({ name: 'ab', localName: 'abc' })],
    ['another local method', 'disagree on method', withEntry({ name: 'm', local: { method: 8 } })],
    ['other local flags', 'disagree on flags', withEntry({ name: 'f', local: { flags: 1 } })],
    ['another local time', 'disagree on time', withEntry({ name: 't', local: { time: 1 } })],
    ['another local date', 'disagree on date', withEntry({ name: 't', local: { date: 1 } })],
    [
      'another local checksum',
      'disagree on crc32',
      withEntry({ name: 'c', data: 'x', local: { crc32: 1 } }),
    ],
    [
      'another local size',
      'disagree on size',
      withEntry({ name: 's', data: 'x', local: { size: 2 } }),
    ],
    [
      'another local compressed size',
      'disagree on compressedSize',
      withEntry({ name: 's', data: 'x', local: { compressedSize: 2 } }),
    ],
    [
      'zeros in a local header without descriptor',
      'disagree on crc32',
      withEntry({ name: 'z', data: 'x', local: { crc32: 0, size: 0, compressedSize: 0 } }),
    ],
    [
      'a wrong local size before a descriptor',
      'disagree on size',
      withEntry({ name: 'd', data: text, deflate: true, descriptor: {}, local: { size: 1 } }),
    ],
    // Descriptors.
    [
      'a descriptor with another checksum',
      'descriptor',
      withEntry({ name: 'd', data: text, deflate: true, descriptor: { crc32: 1 } }),
    ],
    [
      'a descriptor with another size',
      'descriptor',
      withEntry({ name: 'd', data: text, deflate: true, descriptor: { size: 1 } }),
    ],
    [
      'a descriptor that is missing',
      'descriptor',
      withEntry({ name: 'd', data: text, deflate: true, both: { flags: 8 } }),
    ],
    [
      'a descriptor behind stored data',
      'stored and has a data descriptor',
      withEntry({ name: 'd', data: text, descriptor: {} }),
    ],
    // Methods and flags.
    ['bzip2', 'compression method 12', withEntry({ name: 'm', both: { method: 12 } })],
    [
      'a method that nobody knows',
      'compression method 30208',
      withEntry({ name: 'm', both: { method: 30208 } }),
    ],
    ['encryption', 'encrypted', withEntry({ name: 'e', both: { flags: 1 } })],
    ['strong encryption', 'encrypted', withEntry({ name: 'e', both: { flags: 1 << 6 } })],
    ['masked headers', 'encrypted', withEntry({ name: 'e', both: { flags: 1 << 13 } })],
    ['patched data', 'reserved flags', withEntry({ name: 'e', both: { flags: 1 << 5 } })],
    ['flags without meaning', 'reserved flags', withEntry({ name: 'e', both: { flags: 1 << 15 } })],
    [
      'an entry on another disk',
      'another disk',
      withEntry({ name: 'e', central: { diskNumber: 1 } }),
    ],
    // Names.
    ['a name that is not UTF-8', 'not UTF-8', withEntry({ name: Uint8Array.of(0x61, 0xff) })],
    ['overlong UTF-8', 'not UTF-8', withEntry({ name: Uint8Array.of(0x2e, 0x2e, 0xc0, 0xaf) })],
    ['a surrogate in UTF-8', 'not UTF-8', withEntry({ name: Uint8Array.of(0xed, 0xa0, 0x80) })],
    ['no name', 'empty segment', withEntry({ name: '' })],
    ['a slash', 'is absolute', withEntry({ name: '/' })],
    ['an absolute name', 'is absolute', withEntry({ name: '/etc/passwd' })],
    ['a backslash', 'backslash', withEntry({ name: '..\\x' })],
    ['a drive', 'drive letter', withEntry({ name: 'C:x' })],
    ['a way up', '".." segment', withEntry({ name: 'assets/../../x' })],
    ['a way up as a directory', '".." segment', withEntry({ name: 'assets/../' })],
    ['a dot', '"." segment', withEntry({ name: './x' })],
    ['two slashes', 'empty segment', withEntry({ name: 'a//b' })],
    ['two slashes at the end', 'empty segment', withEntry({ name: 'a//' })],
    ['a zero byte', 'control character', withEntry({ name: 'a\0.so' })],
    ['a line break', 'control character', withEntry({ name: 'a\nb' })],
    ['a delete character', 'control character', withEntry({ name: 'a\u007fb' })],
    ['a control character beyond ASCII', 'control character', withEntry({ name: 'a\u0085b' })],
    ['a name of 1025 bytes', 'longer than 1024', withEntry({ name: 'é'.repeat(512) + 'a' })],
    // Names together.
    ['a name twice', 'listed twice', withEntry({ name: 'lib/x86_64/libpayload.so' })],
    ['a name twice but for case', 'listed twice', withEntry({ name: 'LIB/x86_64/libpayload.so' })],
    [
      'a name twice but for composition',
      'listed twice',
      { entries: [{ name: 'e\u0301' }, { name: '\u00e9' }] },
    ],
    ['ß and SS', 'listed twice', { entries: [{ name: 'straße' }, { name: 'STRASSE' }] }],
    ['a file and a directory', 'listed twice', { entries: [{ name: 'a' }, { name: 'a/' }] }],
    ['a file below a file', 'below a file', { entries: [{ name: 'a' }, { name: 'a/b' }] }],
    [
      'a file in the place of a directory',
      'a file and a directory',
      { entries: [{ name: 'a/b' }, { name: 'A' }] },
    ],
    // Modes.
    [
      'a symbolic link',
      'not a regular file',
      withEntry({ name: 'l', central: { externalAttributes: 0xa1ff0000 } }),
    ],
    [
      'a device',
      'not a regular file',
      withEntry({ name: 'l', central: { externalAttributes: 0x21ff0000 } }),
    ],
    [
      'a directory by mode only',
      'not a regular file',
      withEntry({ name: 'l', central: { externalAttributes: 0x41ed0000 } }),
    ],
    [
      'a file by mode with a slash',
      'not a regular file',
      withEntry({ name: 'l/', central: { externalAttributes: 0x81ed0000 } }),
    ],
    ['a directory with data', 'directory with data', withEntry({ name: 'l/', data: 'x' })],
    // Comments and extra data.
    ['a comment of an entry', 'has a comment', withEntry({ name: 'c', comment: 'x' })],
    [
      'an extra field that is cut off',
      'broken field',
      withEntry({ name: 'x', extra: Uint8Array.of(1, 2, 9, 0, 1) }),
    ],
    [
      'bytes behind the extra fields',
      'broken field',
      withEntry({ name: 'x', extra: Uint8Array.of(1, 2, 3) }),
    ],
    [
      'a broken local extra field',
      'broken field',
      withEntry({ name: 'x', extra: new Uint8Array(0), localExtra: Uint8Array.of(1, 2, 9, 0) }),
    ],
    [
      'a ZIP64 extra field',
      '0x0001',
      withEntry({ name: 'x', extra: field(1, [0, 0, 0, 0, 0, 0, 0, 0]) }),
    ],
    [
      'a local ZIP64 extra field',
      '0x0001',
      withEntry({ name: 'x', extra: new Uint8Array(0), localExtra: field(1, []) }),
    ],
    [
      'another name in an extra field',
      '0x7075',
      withEntry({ name: 'x', extra: field(0x7075, [1, 0, 0, 0, 0, 0x79]) }),
    ],
    [
      'another name in a local extra field',
      '0x7075',
      withEntry({ name: 'x', extra: new Uint8Array(0), localExtra: field(0x7075, [1]) }),
    ],
    [
      'an unknown field in the local header only',
      'only one header',
      withEntry({ name: 'x', extra: new Uint8Array(0), localExtra: field(0x5355, [1]) }),
    ],
    [
      'an unknown field in the directory only',
      'only one header',
      withEntry({ name: 'x', extra: field(0x5355, [1]), localExtra: new Uint8Array(0) }),
    ],
    // Contents.
    [
      'stored data of two sizes',
      'two sizes',
      withEntry({ name: 's', data: 'abc', both: { size: 2 } }),
    ],
    ['another checksum', 'CRC-32', withEntry({ name: 'c', data: 'abc', both: { crc32: 1 } })],
    [
      'another checksum of deflated data',
      'CRC-32',
      withEntry({ name: 'c', data: text, deflate: true, both: { crc32: 1 } }),
    ],
    [
      'deflated data that is too long',
      'is broken',
      withEntry({ name: 'c', data: text, deflate: true, both: { size: 5 } }),
    ],
    [
      'deflated data that is too short',
      'is not 99 bytes',
      withEntry({ name: 'c', data: text, deflate: true, both: { size: 99 } }),
    ],
    [
      'deflated data with bytes behind it',
      'ends before its size',
      withEntry({
        name: 'c',
        data: text,
        deflate: true,
        raw: Buffer.concat([deflateRawSync(Buffer.from(text)), Buffer.from('x')]),
      }),
    ],
    [
      'deflated data that is cut off',
      'is broken',
      withEntry({
        name: 'c',
        data: text,
        deflate: true,
        raw: deflateRawSync(Buffer.from(text)).subarray(0, -3),
      }),
    ],
    [
      'what is no deflated data',
      'is broken',
      withEntry({ name: 'c', data: text, deflate: true, raw: new Uint8Array(9).fill(0xff) }),
    ],
    [
      'sizes that no archive of this size has',
      'are allowed',
      withEntry({ name: 'b', data: text, deflate: true, both: { size: 300 << 20 } }),
    ],
  ];
  test.each(bad)('%s', async (_what, message, archive) => {
    expect(await verdict(archive)).toMatch(message);
  });

  test('an entry count of 65535 that is not the number of records', async () => {
    const archive = { entries: plain, end: { entryCount: 0xffff, entriesOnDisk: 0xffff } };
    expect(await verdict(archive)).toMatch('counts 65535');
  });
});

describe('how much work an archive may cause', () => {
  /** Counts what is read. */
  function counting(bytes: Uint8Array): { source: ByteSource; reads: number; total: number } {
    const inner = bytesSource(bytes);
    const counts = {
      reads: 0,
      total: 0,
      source: {
        ...inner,
        size: bytes.length,
        read(offset: number, length: number) {
          counts.reads += 1;
          counts.total += length;
          return inner.read(offset, length);
        },
      },
    };
    return counts;
  }

  test(
    '60,000 entries take few reads, in any order of the directory',
    { timeout: 20_000 },
    async () => {
      const entries = Array.from({ length: 60_000 }, (_, i): ForgedEntry => ({
        name: `assets/${i}`,
      }));
      const counts = counting(forge({ entries }));
      await checkStrictZip(counts.source, await readZip(counts.source));
      expect(counts.reads).toBeLessThan(100);
      expect(counts.total).toBeLessThan(4 * counts.source.size);
    },
  );

  test('the headers of large entries do not cost their data', async () => {
    const data = new Uint8Array(200_000);
    const entries = Array.from({ length: 20 }, (_, i): ForgedEntry => ({ name: `a/${i}`, data }));
    const counts = counting(forge({ entries }));
    await checkStrictZip(counts.source, await readZip(counts.source), { contents: false });
    expect(counts.total).toBeLessThan(counts.source.size / 5);
  });

  test('a bomb is refused before it is inflated', async () => {
    const data = new Uint8Array(8 << 20);
    const raw = deflateRawSync(data);
    const size = 8 << 20;
    // 40 entries of 8 KiB that all say what they are: 320 MiB.
    const entries = Array.from({ length: 40 }, (_, i): ForgedEntry => ({
      name: `${i}`,
      deflate: true,
      raw,
      both: { size, crc32: 0 },
    }));
    const counts = counting(forge({ entries }));
    const check = readZip(counts.source).then((zip) => checkStrictZip(counts.source, zip));
    await expect(check).rejects.toThrow('335544320 bytes, 268435456 are allowed');
    expect(counts.total).toBeLessThan(150_000);
  });

  test('windowSource gives the bytes of its source, and its errors', async () => {
    const bytes = Uint8Array.from({ length: 300_000 }, (_, i) => (i * i) >> 3);
    const source = windowSource(bytesSource(bytes));
    for (const [offset, length] of [
      [0, 30],
      [30, 4000],
      [4000, 300],
      [100, 20],
      [290_000, 10_000],
      [299_999, 1],
      [5, 200_000],
      [50_000, 5],
      [50_100, 5],
      [50_000, 105],
      [300_000, 0],
    ] as const) {
      const expected = bytes.subarray(offset, offset + length);
      expect(Buffer.compare(await source.read(offset, length), expected)).toBe(0);
    }
    await expect(source.read(299_999, 2)).rejects.toThrow(FormatError);
    await expect(source.read(-1, 2)).rejects.toThrow(FormatError);
  });
});

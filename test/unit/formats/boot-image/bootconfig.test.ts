import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FormatError } from '../../../../src/core/errors.ts';
import {
  encodeBootconfigTrailer,
  formatBootconfig,
  parseBootconfig,
  readBootconfigTrailer,
} from '../../../../src/formats/boot-image/bootconfig.ts';
import { bytesSource } from '../../../../src/io/byte-source.ts';
import { corpus, corpusPath } from '../../../support/corpus.ts';

const word = fc.stringMatching(/^[A-Za-z0-9_-]{1,8}$/);
const key = fc.array(word, { minLength: 1, maxLength: 3 }).map((words) => words.join('.'));
const value = fc
  .stringMatching(/^[\x20-\x7e]{0,20}$/)
  .filter((text) => !(text.includes('"') && text.includes("'")));
const entries = fc.uniqueArray(
  fc.record({ key, values: fc.array(value, { minLength: 1, maxLength: 4 }) }),
  { selector: (entry) => entry.key, maxLength: 8 },
);

describe('bootconfig text', () => {
  test('parse gives back what format took', () => {
    fc.assert(
      fc.property(entries, (list) => {
        expect(parseBootconfig(formatBootconfig(list))).toEqual(list);
      }),
    );
  });

  test('is written as docs/guest-interface.md shows it', () => {
    const text = formatBootconfig([
      { key: 'androidboot.microdroid.debuggable', values: ['0'] },
      { key: 'androidboot.vbmeta.avb_version', values: ['1.3'] },
      { key: 'androidboot.vbmeta.device', values: ['/dev/block/by-name/vbmeta_a'] },
      { key: 'microbuild.payload.certificates', values: ['sha256:00', 'sha512:11'] },
    ]);
    expect(text).toBe(
      'androidboot.microdroid.debuggable = 0\n' +
        'androidboot.vbmeta.avb_version = "1.3"\n' +
        'androidboot.vbmeta.device = "/dev/block/by-name/vbmeta_a"\n' +
        'microbuild.payload.certificates = "sha256:00", "sha512:11"\n',
    );
  });

  test('bare values, lists, comments and empty values are read', () => {
    const text = '# c\n a.b=1 # x\nc = pci0000:00/0000:00:04.0,x , "y,z"\nempty =\nq = \'"\'';
    expect(parseBootconfig(text)).toEqual([
      { key: 'a.b', values: ['1'] },
      { key: 'c', values: ['pci0000:00/0000:00:04.0', 'x', 'y,z'] },
      { key: 'empty', values: [''] },
      { key: 'q', values: ['"'] },
    ]);
  });

  test.each([
    'a = 1\na = 2',
    'a { b = 1 }',
    'a += 1',
    'a := 1',
    'a',
    'a = "1',
    'a = 1 2',
    'a = 1,',
    '.a = 1',
    'a..b = 1',
    'a = b; c = d',
    'a = \u00e9',
    'a = b\0c',
  ])('refuses %j', (text) => {
    expect(() => parseBootconfig(text)).toThrow(FormatError);
  });

  test('values that bootconfig cannot hold are not written', () => {
    for (const bad of ['a\nb', '\u00e9', `both " and '`]) {
      expect(() => formatBootconfig([{ key: 'k', values: [bad] }])).toThrow(RangeError);
    }
    expect(() => formatBootconfig([{ key: 'k', values: [] }])).toThrow(RangeError);
    expect(() => formatBootconfig([{ key: 'a b', values: ['1'] }])).toThrow(RangeError);
    const twice = { key: 'k', values: ['1'] };
    expect(() => formatBootconfig([twice, twice])).toThrow(RangeError);
  });

  describe.skipIf(corpus === undefined)('of Android', () => {
    test.each(['common', 'normal', 'debuggable', 'x86_64', 'arm64'])('%s is read', (name) => {
      const text = readFileSync(corpusPath('bootconfig', `bootconfig.${name}`), 'latin1');
      const list = parseBootconfig(text);
      expect(list.length).toBeGreaterThan(0);
      expect(parseBootconfig(formatBootconfig(list))).toEqual(list);
    });
  });
});

describe('bootconfig trailer', () => {
  test('is read back behind any initrd, and ends on a multiple of 4', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(50), fc.stringMatching(/^[ -~\n]{0,60}$/), async (size, text) => {
        const initrd = new Uint8Array(size).fill(0x55);
        const file = Buffer.concat([initrd, encodeBootconfigTrailer(text, size)]);
        expect(file.length % 4).toBe(0);
        const found = await readBootconfigTrailer(bytesSource(new Uint8Array(file)));
        expect(found).toMatchObject({ offset: size, text });
      }),
    );
  });

  test('the checksum is the sum of the bytes, and each part is checked', async () => {
    const file = encodeBootconfigTrailer('a = 1\n');
    expect(Buffer.from(file).toString('hex')).toBe(
      '61203d20310a0000' + '08000000' + '19010000' + '23424f4f54434f4e4649470a',
    );
    for (const [at, code] of [
      [0, 'bad-checksum'],
      [8, 'truncated'],
      [9, 'truncated'],
      [11, 'too-large'],
      [12, 'bad-checksum'],
    ] as const) {
      const bad = file.slice();
      bad[at] = (bad[at] ?? 0) ^ 1;
      await expect(readBootconfigTrailer(bytesSource(bad)), `byte ${at}`).rejects.toMatchObject({
        code,
      });
    }
    file[file.length - 1] = 0;
    expect(await readBootconfigTrailer(bytesSource(file))).toBeUndefined();
    expect(await readBootconfigTrailer(bytesSource(new Uint8Array(3)))).toBeUndefined();
  });
});

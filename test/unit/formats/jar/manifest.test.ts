import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { FormatError } from '../../../../src/core/errors.ts';
import {
  encodeSection,
  findAttribute,
  parseManifest,
  type ManifestSection,
} from '../../../../src/formats/jar/manifest.ts';
import { readSourceManifest } from '../../../../src/formats/jar/source-manifest.ts';

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'utf8'));
const text = (content: Uint8Array): string => Buffer.from(content).toString('utf8');
const attributes = (section: ManifestSection | undefined): readonly string[] =>
  (section?.attributes ?? []).map(({ name, value }) => `${name}=${value}`);

describe('parseManifest()', () => {
  it('tells sections by empty lines, with their place in the file', () => {
    const file = 'Manifest-Version: 1.0\r\n\r\n\r\nName: a\r\nX: 1\r\n\r\nName: b\r\n';
    const { main, sections } = parseManifest(bytes(file));
    expect(main).toMatchObject({ offset: 0, size: 25, name: undefined });
    expect(sections.map(({ name, offset, size }) => [name, offset, size])).toEqual([
      ['a', 27, 17],
      ['b', 44, 9],
    ]);
  });

  test.each([
    ['\r\n', 'CR LF'],
    ['\n', 'LF'],
    ['\r', 'CR'],
  ])('takes lines that end with %j (%s)', (end) => {
    const { main, sections } = parseManifest(
      bytes(['A: 1', 'B: 2', ' 3', '', 'Name: x', ''].join(end)),
    );
    expect(attributes(main)).toEqual(['A=1', 'B=23']);
    expect(sections.map(({ name }) => name)).toEqual(['x']);
  });

  it('joins continuation lines before it reads their text', () => {
    const euro = Buffer.from('€');
    const file = Buffer.concat([
      Buffer.from('Name: '),
      euro.subarray(0, 1),
      Buffer.from('\n '),
      euro.subarray(1),
      Buffer.from('\n  tail'),
    ]);
    expect(attributes(parseManifest(file).main)).toEqual(['Name=€ tail']);
  });

  it('keeps what obfuscators put in: spaces, names without values, a colon without space', () => {
    const { main } = parseManifest(bytes(' A : x \nB\nC:y\nD: : z\n'));
    expect(attributes(main)).toEqual([' A =x ', 'B=', 'C:y=', 'D=: z']);
  });

  it('names a section by its first attribute only, whatever the case', () => {
    const { sections } = parseManifest(bytes('V: 1\n\nNAME: a\n\nX: 1\nName: b\n'));
    expect(sections.map(({ name }) => name)).toEqual(['a', undefined]);
  });

  it('finds the first attribute of a name, whatever the case', () => {
    const { main } = parseManifest(bytes('sha-256-digest: a\nSHA-256-Digest: b\n'));
    expect(main && findAttribute(main, 'SHA-256-Digest')).toBe('a');
    expect(main && findAttribute(main, 'SHA1-Digest')).toBeUndefined();
  });

  it('has no main section where there are only empty lines', () => {
    expect(parseManifest(bytes('\n\r\n\r'))).toEqual({ main: undefined, sections: [] });
  });

  it('refuses more sections than an archive has entries, without collecting them', () => {
    expect(() => parseManifest(bytes('a\n\n'.repeat(70_000)))).toThrow(FormatError);
    expect(() => parseManifest(bytes('a\n'.repeat(1_100_000)))).toThrow(FormatError);
  });

  it('takes any bytes, and accounts for all that are no empty lines', () => {
    const junk = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.string({ unit: fc.constantFrom('\r', '\n', ' ', ':', 'N', 'a', 'é') }).map(bytes),
    );
    fc.assert(
      fc.property(junk, (content) => {
        const { main, sections } = parseManifest(content);
        let end = 0;
        for (const { offset, size } of main === undefined ? [] : [main, ...sections]) {
          expect(text(content.subarray(end, offset)).replaceAll(/[\r\n]/g, '')).toBe('');
          end = offset + size;
        }
        expect(text(content.subarray(end)).replaceAll(/[\r\n]/g, '')).toBe('');
      }),
      { numRuns: 500 },
    );
  });
});

describe('encodeSection()', () => {
  it('sorts attributes behind the first and ends with an empty line', () => {
    const section = encodeSection({ name: 'Name', value: 'b' }, [
      { name: 'b', value: '1' },
      { name: 'a', value: '2' },
      { name: 'B', value: '3' },
    ]);
    expect(text(section)).toBe('Name: b\r\nB: 3\r\na: 2\r\nb: 1\r\n\r\n');
  });

  it('breaks lines at 72 bytes with their end, between bytes of one character too', () => {
    const section = Buffer.from(encodeSection({ name: 'Name', value: 'é'.repeat(100) }, []));
    const lines = section.toString('latin1').split('\r\n');
    expect(lines.slice(0, 3).map((line) => line.length)).toEqual([70, 70, 68]);
    expect(parseManifest(section).main?.name).toBe('é'.repeat(100));
  });

  test.each(['a\nb', 'a\rb', 'a\0b'])('refuses %j, which cannot be written', (value) => {
    expect(() => encodeSection({ name: 'Name', value }, [])).toThrow(FormatError);
  });

  it('writes what the parser reads back', () => {
    const name = fc.stringMatching(/^[A-Za-z0-9_-]{1,70}$/);
    const value = fc
      .string({ unit: 'grapheme', maxLength: 300 })
      .filter((each) => !/[\r\n\0]/.test(each));
    const attribute = fc.record({ name, value });
    fc.assert(
      fc.property(attribute, fc.array(attribute, { maxLength: 4 }), (first, others) => {
        const { main, sections } = parseManifest(encodeSection(first, others));
        expect(sections).toEqual([]);
        expect(main?.attributes[0]).toEqual(first);
        expect(main?.attributes.map(({ name: each }) => each).slice(1)).toEqual(
          others.map(({ name: each }) => each).toSorted(),
        );
      }),
    );
  });
});

describe('readSourceManifest()', () => {
  it('gives each name once, with its last value and first spelling', () => {
    const manifest = bytes('Manifest-Version: 1.0\nA: 1\na: 2\n\nName: x\n');
    expect(readSourceManifest(manifest)).toEqual([
      { name: 'Manifest-Version', value: '1.0' },
      { name: 'A', value: '2' },
    ]);
  });

  test.each([
    ['no version', 'A: 1\n'],
    ['nothing', ''],
    ['a name with a space', 'Manifest-Version: 1.0\nA b: 1\n'],
    ['a line without a colon', 'Manifest-Version: 1.0\nnonsense!\n'],
    ['a section without a name', 'Manifest-Version: 1.0\n\nA: 1\n'],
  ])('refuses %s', (_name, manifest) => {
    expect(() => readSourceManifest(bytes(manifest))).toThrow(FormatError);
  });
});

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { licenseOfCopyright } from '../../../../src/formats/tar/deb-copyright.ts';

const FORMAT = 'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/';
const read = (text: string): string | undefined => licenseOfCopyright(Buffer.from(text));
/** A file with one paragraph for each licence. */
const file = (...licenses: string[]): string =>
  [
    FORMAT,
    ...licenses.map(
      (each) => `\nFiles: *\nCopyright: 2020 Somebody\nLicense: ${each}\n More text.`,
    ),
  ].join('\n');

describe('copyright files of Debian', () => {
  test.each([
    ['GPL-2+', 'GPL-2.0-or-later'],
    ['GPL-2', 'GPL-2.0-only'],
    ['GPL-2.0+', 'GPL-2.0-or-later'],
    ['LGPL-2.1+', 'LGPL-2.1-or-later'],
    ['GFDL-NIV-1.3', 'GFDL-1.3-no-invariants-only'],
    ['GFDL-1.3+', 'GFDL-1.3-or-later'],
    ['Expat', 'MIT'],
    ['BSD-3-clause', 'BSD-3-Clause'],
    ['zlib', 'Zlib'],
    ['public-domain', 'LicenseRef-public-domain'],
    ['GPL-3+ with Bison exception', 'LicenseRef-GPL-3-with-Bison-exception'],
    ['GPL-9', 'LicenseRef-GPL-9'],
    ['Artistic or GPL-1+', 'Artistic-1.0 OR GPL-1.0-or-later'],
    ['BSD-3-clause and Expat or ISC', '(BSD-3-Clause AND MIT) OR ISC'],
    ['GPL-2+ or Artistic, and BSD-2-clause', '(GPL-2.0-or-later OR Artistic-1.0) AND BSD-2-Clause'],
  ])('%s is %s', (synopsis, expected) => {
    expect(read(file(synopsis))).toBe(expected);
  });

  test('all files of a package count, each licence once', () => {
    expect(read(file('Expat', 'GPL-2+ or Artistic', 'Expat'))).toBe(
      'MIT AND (GPL-2.0-or-later OR Artistic-1.0)',
    );
  });

  test('paragraphs with the text of a licence are none of a file', () => {
    expect(read(`${file('Expat')}\n\nLicense: GPL-3+\n The text.`)).toBe('MIT');
  });

  test('what is written for people says nothing', () => {
    expect(read('This package was put together by somebody.\n\nLicense: GPL')).toBeUndefined();
    expect(read(`Comment: ${FORMAT}\n\nFiles: *\nLicense: GPL-2`)).toBeUndefined();
    expect(read(FORMAT)).toBeUndefined();
    expect(read(file('Expat', '-'))).toBeUndefined();
  });

  test('any bytes are an expression of SPDX or nothing', () => {
    const expression = /^[()A-Za-z0-9.+ -]+$/;
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        expect(licenseOfCopyright(bytes) ?? 'MIT').toMatch(expression);
      }),
    );
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'grapheme' }), { maxLength: 4 }), (synopses) => {
        expect(read(file(...synopses)) ?? 'MIT').toMatch(expression);
      }),
    );
  });
});

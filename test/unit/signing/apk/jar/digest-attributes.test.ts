import { describe, expect, it, test } from 'vitest';
import { FormatError } from '../../../../../src/core/errors.ts';
import { parseManifest, type ManifestSection } from '../../../../../src/formats/jar/manifest.ts';
import { digestsToCompare } from '../../../../../src/signing/apk/jar/digest-attributes.ts';

const LAST = 0x7fff_ffff;

/** A section with these attributes, whose digests are their own names. */
function section(names: readonly string[], listed?: string): ManifestSection {
  const lines = names.map((name) => `${name}-Digest: ${Buffer.from(name).toString('base64')}`);
  const list = listed === undefined ? [] : [`Digest-Algorithms: ${listed}`];
  const { main } = parseManifest(Buffer.from(['Name: x', ...list, ...lines, ''].join('\r\n')));
  if (main === undefined) throw new Error('The section is empty');
  return main;
}

/** Which attributes are compared. */
const compared = (of: ManifestSection, minSdk: number, maxSdk: number): readonly string[] =>
  digestsToCompare(of, '-Digest', { minSdk, maxSdk }).map(({ digest }) =>
    Buffer.from(digest).toString(),
  );

describe('digestsToCompare()', () => {
  test.each([
    [['SHA1'], ['SHA1'], ['SHA1']],
    // Names of old: SHA before SHA1, and nothing else unless it is listed.
    [['SHA1', 'SHA'], ['SHA'], ['SHA1']],
    [['SHA-1'], [], []],
    [['SHA-256'], [], ['SHA-256']],
    [['MD5'], [], []],
    [['SHA256'], [], []],
    [['SHA-256', 'SHA-512', 'SHA-384', 'SHA1'], ['SHA1'], ['SHA-512']],
    [['sha-256', 'sha1'], ['sha1'], ['sha-256']],
  ])('of %j: %j before Android 4.3, %j since', (names, before, since) => {
    expect(compared(section(names), 8, 17)).toEqual(before);
    expect(compared(section(names), 18, LAST)).toEqual(since);
  });

  test.each([
    ['MD5', ['MD5', 'SHA1'], ['MD5']],
    ['SHA-256 SHA1', ['SHA1', 'SHA-256'], ['SHA-256']],
    ['X  \tSHA1 ', ['SHA1'], ['SHA1']],
    ['X', ['SHA1'], []],
    ['SHA-224 SHA1', ['SHA-224', 'SHA1'], ['SHA1']],
    ['MD5 SHA1', ['SHA1'], ['SHA1']],
  ])(
    'takes the first that Digest-Algorithms: %s lists, before Android 4.3',
    (listed, names, expected) => {
      expect(compared(section(names, listed), 8, 17)).toEqual(expected);
    },
  );

  it('lists SHA-384 and SHA-512 to releases from Android 2.3 on', () => {
    const of = section(['SHA-512', 'SHA1'], 'SHA-512 SHA1');
    expect(compared(of, 8, 17)).toEqual(['SHA1']);
    expect(compared(of, 9, 17)).toEqual(['SHA-512']);
  });

  it('takes what both old and new releases take, each digest once', () => {
    expect(compared(section(['SHA1', 'SHA-256']), 8, LAST)).toEqual(['SHA1', 'SHA-256']);
    expect(compared(section(['SHA1']), 8, LAST)).toEqual(['SHA1']);
    expect(compared(section(['SHA1', 'SHA']), 8, LAST)).toEqual(['SHA', 'SHA1']);
    // Where old releases find none, the range has none.
    expect(compared(section(['SHA-256']), 8, LAST)).toEqual([]);
  });

  test.each(['AAA*', 'A', 'AAA=A', 'AA=', ' AAAA', 'AAAA '])('refuses the base64 %j', (value) => {
    const { main } = parseManifest(Buffer.from(`SHA-256-Digest: ${value}\r\n`));
    const compare = () => main && digestsToCompare(main, '-Digest', { minSdk: 18, maxSdk: LAST });
    expect(compare).toThrow(FormatError);
  });

  test.each(['', 'AA', 'AA==', 'AAA', 'AAA=', 'AAAA'])(
    'takes the base64 %j, as Java does',
    (value) => {
      const { main } = parseManifest(Buffer.from(`SHA-256-Digest: ${value}\r\n`));
      const digests = main && digestsToCompare(main, '-Digest', { minSdk: 18, maxSdk: LAST });
      expect(digests).toHaveLength(1);
    },
  );

  it('does not look for what a long list names again and again', () => {
    const names = Array.from({ length: 2000 }, (_, index) => `X${index}`);
    const of = section([...names, 'SHA1'], 'SHA-1 '.repeat(200_000));
    const start = performance.now();
    expect(compared(of, 8, 17)).toEqual([]);
    expect(performance.now() - start).toBeLessThan(2000);
  });
});

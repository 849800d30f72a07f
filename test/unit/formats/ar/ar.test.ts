import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FormatError } from '../../../../src/core/errors.ts';
import { arMemberSource, readAr } from '../../../../src/formats/ar/ar.ts';
import { bytesSource } from '../../../../src/io/byte-source.ts';

function ar(members: readonly (readonly [name: string, data: string])[]): Uint8Array {
  const parts = members.map(([name, data]) => {
    const head = `${name.padEnd(16)}${'0'.padEnd(12)}${'0'.padEnd(6).repeat(2)}${'100644'.padEnd(8)}`;
    return `${head}${String(data.length).padEnd(10)}\`\n${data}${data.length % 2 === 1 ? '\n' : ''}`;
  });
  return new Uint8Array(Buffer.from(`!<arch>\n${parts.join('')}`, 'latin1'));
}

describe('readAr', () => {
  test('lists members with even and odd sizes, and reads their data', async () => {
    const source = bytesSource(
      ar([
        ['debian-binary', '2.0\n'],
        ['control.tar.xz/', 'odd'],
        ['data.tar.xz', 'even'],
      ]),
      'x.deb',
    );
    const members = await readAr(source);
    expect(members.map(({ name, size }) => [name, size])).toEqual([
      ['debian-binary', 4],
      ['control.tar.xz', 3],
      ['data.tar.xz', 4],
    ]);
    const last = members[2];
    if (last === undefined) throw new Error('No third member');
    const data = arMemberSource(source, last);
    expect(data.name).toBe('x.deb: data.tar.xz');
    expect(Buffer.from(await data.read(0, data.size)).toString()).toBe('even');
  });

  test.each([
    ['another magic', 0, '!<thin>\n', 'bad-magic'],
    ['a header without its end', 66, 'xx', 'bad-magic'],
    ['a negative size', 56, '-1        ', 'bad-value'],
    ['a size in hexadecimal', 56, '0x4       ', 'bad-value'],
    ['a size behind the end', 56, '9999999999', 'truncated'],
    ['a name with a folder', 8, 'a/../b', 'bad-value'],
  ])('refuses %s', async (_, at, text, code) => {
    const data = ar([['debian-binary', '2.0\n']]);
    data.set(Buffer.from(text), at);
    await expect(readAr(bytesSource(data))).rejects.toMatchObject({ code });
  });

  test('refuses a name twice, and names the member that is cut off', async () => {
    const twice = ar([
      ['data.tar', 'ab'],
      ['data.tar', 'cd'],
    ]);
    await expect(readAr(bytesSource(twice))).rejects.toMatchObject({ code: 'duplicate' });
    const cut = ar([['data.tar.xz', 'abcdef']]).subarray(0, 70);
    await expect(readAr(bytesSource(cut))).rejects.toThrow(/"data\.tar\.xz" of 6 bytes is cut off/);
  });

  test('any bytes are read or give a FormatError', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary-ascii', maxLength: 200 }), async (text) => {
        const data = new Uint8Array(Buffer.from(`!<arch>\n${text}`, 'latin1'));
        const outcome = await readAr(bytesSource(data)).then(
          () => 'read',
          (error: unknown) => (error instanceof FormatError ? 'refused' : error),
        );
        expect(outcome).toMatch(/^(read|refused)$/);
      }),
    );
  });
});

/** zlib's level 9, bit for bit: the digests are of what zlib 1.2.13 makes of the same inputs. */

import fc from 'fast-check';
import { createHash } from 'node:crypto';
import { inflateRawSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { BitWriter, BlockSymbols } from '../../../../src/formats/zip/deflate-block.ts';
import { deflateRaw } from '../../../../src/formats/zip/deflate.ts';
import { pattern } from '../../signing/apk/fixtures.ts';

const text = (value: string): Uint8Array => new TextEncoder().encode(value);

/** As a JAR manifest: names that resemble each other, digests that do not. */
const manifest = (entries: number): Uint8Array =>
  text(
    Array.from({ length: entries }, (_, index) => {
      const digest = Buffer.from(pattern(32, index + 1)).toString('base64');
      return `Name: res/layout-v${index % 30}/screen_${index}.xml\r\nSHA-256-Digest: ${digest}\r\n\r\n`;
    }).join(''),
  );

/** Each byte is more frequent than the two before it together, so that codes would grow too long. */
function skewed(): Uint8Array {
  const counts = [1, 1];
  while (counts.length < 18) counts.push((counts.at(-1) ?? 0) + (counts.at(-2) ?? 0) + 1);
  return Uint8Array.from(
    counts.flatMap((count, byte) => Array.from({ length: count }, () => byte)),
  );
}

const inputs: Readonly<Record<string, () => Uint8Array>> = {
  nothing: () => new Uint8Array(0),
  'one byte': () => Uint8Array.of(7),
  'what is stored': () => pattern(70_000),
  'one run': () => new Uint8Array(300_000),
  'two bytes in turn': () => pattern(30_000).map((byte) => 97 + (byte >> 7)),
  'a small manifest': () => manifest(12),
  'a manifest of several windows and blocks': () => manifest(3000),
  'noise between repetitions': () =>
    Buffer.concat([
      manifest(300),
      pattern(40_000),
      manifest(300),
      pattern(40_000, 2),
      manifest(700),
    ]),
};

/** SHA-256 of `zlib.compressobj(9, zlib.DEFLATED, -15)`. */
const DIGESTS: Readonly<Record<string, string>> = {
  nothing: '9b4fb24edd6d1d8830e272398263cdbf026b97392cc35387b991dc0248a628f9',
  'one byte': '5b5449037b41faf347f3d8ab09ffac0078965ca9bda83ec8e7f67c771ec99658',
  'what is stored': '229cc91e6a44f4e5c46f65a6d8d85c4e729e9db6a53b6d9aaced67f95905eb49',
  'one run': '4dfd593eac6334a737232f5d9384a46cd9460f560fe2097459e0c6a1c752d12b',
  'two bytes in turn': 'fd47c286de58c4ee6156b3b2587479c56c5ddbf427a5af3794a82708fe6ad97a',
  'a small manifest': '586010d140cfbba5a723fdf1945e000c9d8dbc27c5bc391ab959de576a2f0935',
  'a manifest of several windows and blocks':
    'd2fc8284a8bbe8bbd35c99545abb87d5b6bc551228967bea62a793a695b9e777',
  'noise between repetitions': '0bbf55f3c3024563e04fd1a8c63be3ed34913dfc6b9358189d7559ca531fbcb7',
};

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

describe('deflateRaw', () => {
  test.each(Object.keys(inputs))('gives the bytes of zlib for %s', (name) => {
    const input = inputs[name]?.() ?? new Uint8Array(0);
    const deflated = deflateRaw(input);
    expect(Buffer.from(inflateRawSync(deflated)).equals(input)).toBe(true);
    expect(sha256(deflated)).toBe(DIGESTS[name]);
  });

  test('gives the bytes of zlib where codes have to be shortened to 15 bits', () => {
    const block = new BlockSymbols();
    for (const byte of skewed()) block.addLiteral(byte);
    const out = new BitWriter();
    block.flush(out, skewed(), true);
    // zlib without matches: Z_7ab56b83f8ff44954c216966e3faa92bafe34b6e400fc702c68abb9cdcd9ca5bMAN_ONLY.
    expect(sha256(out.finish())).toBe(
      '7ab56b83f8ff44954c216966e3faa92bafe34b6e400fc702c68abb9cdcd9ca5b',
    );
  });

  test('is undone by inflating, whatever it is given', () => {
    const few = fc.array(fc.constantFrom(0, 1, 2, 255), { maxLength: 3000 });
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 3000 }), few), (bytes) => {
        const input = Uint8Array.from(bytes);
        expect(new Uint8Array(inflateRawSync(deflateRaw(input)))).toEqual(input);
      }),
    );
  });
});

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FormatError } from '../../../../src/core/errors.ts';
import { decompress } from '../../../../src/formats/tar/decompress.ts';
import { Xxh64 } from '../../../../src/compression/zstd/xxh64.ts';
import { bytesSource } from '../../../../src/io/byte-source.ts';

async function read(data: Uint8Array, maxSize = 1 << 20): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of decompress(bytesSource(data, 'x.zst'), maxSize)) chunks.push(chunk);
  return Buffer.concat(chunks).toString('latin1');
}

/** A frame with one raw block, its checksum, and a window of 1 KiB unless told otherwise. */
function frame(text: string, header = '0400'): Uint8Array {
  const body = Buffer.from(text, 'latin1');
  const hash = new Xxh64();
  hash.update(body);
  const sum = Buffer.alloc(4);
  sum.writeUInt32LE(Number(hash.digest() & 0xffffffffn));
  const head = (body.length << 3) | 1;
  return new Uint8Array(
    Buffer.concat([
      Buffer.from(`28b52ffd${header}`, 'hex'),
      Buffer.from([head & 0xff, (head >> 8) & 0xff, head >> 16]),
      body,
      sum,
    ]),
  );
}

describe('Xxh64', () => {
  test.each([
    ['', 0xef46db3751d8e999n],
    ['a', 0xd24ec4f1a98c6e5bn],
    ['abc', 0x44bc2cf5ad770999n],
    ['Nobody inspects the spammish repetition', 0xfbcea83c8a378bf1n],
  ])('of %j is the published value', (text, expected) => {
    const hash = new Xxh64();
    hash.update(Buffer.from(text));
    expect(hash.digest()).toBe(expected);
  });

  test('does not depend on how the data is cut', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(300), fc.nat(300), (data, a, b) => {
        const whole = new Xxh64();
        whole.update(data);
        const parts = new Xxh64();
        const [first, second] = [Math.min(a, b), Math.max(a, b)];
        parts.update(data.subarray(0, first));
        parts.update(data.subarray(first, second));
        parts.update(data.subarray(second));
        expect(parts.digest()).toBe(whole.digest());
      }),
    );
  });
});

describe('zstd streams', () => {
  test('frames are read one after another, skippable ones passed over', async () => {
    const skippable = Buffer.from('502a4d1803000000aabbcc', 'hex');
    const data = Buffer.concat([frame('hello '), skippable, frame('world')]);
    expect(await read(new Uint8Array(data))).toBe('hello world');
  });

  test('any change of content or checksum is found', async () => {
    const good = frame('the content of a frame');
    for (let at = 9; at < good.length; at++) {
      const bad = good.slice();
      bad[at] = (bad[at] ?? 0) ^ 4;
      await expect(read(bad)).rejects.toMatchObject({ format: 'zstd', code: 'bad-checksum' });
    }
  });

  test.each([
    ['a window of 1 GiB', frame('x', '04a0'), 'too-large'],
    ['a dictionary', frame('x', '0500'), 'unsupported'],
    ['a reserved bit', frame('x', '0c00'), 'bad-value'],
    ['a frame cut off', frame('hello').subarray(0, 12), 'truncated'],
    ['bytes behind the frames', new Uint8Array([...frame('x'), 1, 2, 3, 4]), 'bad-magic'],
  ])('%s is refused, naming the source', async (_, data, code) => {
    await expect(read(data)).rejects.toMatchObject({ code });
    await expect(read(data)).rejects.toThrow(/x\.zst/);
  });

  test('a stream that yields more than it may is refused', async () => {
    await expect(read(frame('hello'), 4)).rejects.toMatchObject({ code: 'too-large' });
  });

  test('any bytes behind a magic are read or give a FormatError', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('28b52ffd', '1f8b0800', 'fd377a585a00', '28b52ffd0400'),
        fc.uint8Array({ maxLength: 60 }),
        async (magic, junk) => {
          const data = new Uint8Array(Buffer.concat([Buffer.from(magic, 'hex'), junk]));
          const outcome = await read(data).then(
            () => 'read',
            (error: unknown) => (error instanceof FormatError ? 'refused' : error),
          );
          expect(outcome).toMatch(/^(read|refused)$/);
        },
      ),
      { numRuns: 200 },
    );
  });
});

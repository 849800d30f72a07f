import { statSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { bytesSource } from '../../../src/io/byte-source.ts';
import { copySparse } from '../../../src/io/copy-sparse.ts';
import { createFileSink, MemorySink } from '../../../src/io/image-sink.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

/** Blocks of zeros and of something else, and an end that fills no block. */
const images = fc
  .tuple(fc.array(fc.constantFrom(0, 0, 7), { maxLength: 600 }), fc.uint8Array({ maxLength: 5000 }))
  .map(([blocks, rest]) =>
    Buffer.concat([...blocks.map((value) => Buffer.alloc(4096, value)), rest]),
  );

test('a copy has the same bytes, wherever it goes', async () => {
  await fc.assert(
    fc.asyncProperty(images, fc.nat(9000), async (image, offset) => {
      const sink = new MemorySink();
      await sink.truncate(offset + image.length);
      await copySparse(bytesSource(image), sink, offset);
      expect(Buffer.from(sink.bytes()).subarray(offset).equals(image)).toBe(true);
    }),
    { numRuns: 40 },
  );
});

test('zeros take no room', async () => {
  const path = join(tmpDir(), 'copy');
  const image = new Uint8Array(16 << 20);
  image.fill(1, 5 << 20, (5 << 20) + 100);
  const sink = await createFileSink(path);
  await sink.truncate(image.length);
  await copySparse(bytesSource(image), sink);
  await sink.close();
  const { size, blocks } = statSync(path);
  expect(size).toBe(image.length);
  expect(blocks * 512).toBeLessThan(1 << 20);
});

test('a copy can be interrupted', async () => {
  const copy = copySparse(
    bytesSource(new Uint8Array(10)),
    new MemorySink(),
    0,
    AbortSignal.abort(),
  );
  await expect(copy).rejects.toThrow(/abort/i);
});

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { appendWriter } from '../../../src/io/append-writer.ts';
import { MemorySink } from '../../../src/io/image-sink.ts';

const MIB = 1 << 20;

describe('appendWriter()', () => {
  test('puts down what is appended and patched, in few large writes', async () => {
    const step = fc.oneof(
      fc.record({
        size: fc.integer({ min: 0, max: 3 * MIB }),
        byte: fc.integer({ min: 1, max: 255 }),
      }),
      fc.record({ size: fc.integer({ min: 0, max: 300 }), byte: fc.integer({ min: 1, max: 255 }) }),
      fc.record({
        back: fc.integer({ min: 1, max: 2 * MIB }),
        size: fc.integer({ min: 0, max: 5000 }),
        byte: fc.integer({ min: 1, max: 255 }),
      }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
        const [sink, expected] = [new MemorySink(), new MemorySink()];
        let writes = 0;
        let end = 0;
        const out = appendWriter({
          truncate: (size) => sink.truncate(size),
          async write(offset, chunk) {
            writes += 1;
            // The bytes must not change while they are written.
            const seen = chunk.slice();
            await Promise.resolve();
            expect(Buffer.compare(seen, chunk)).toBe(0);
            await sink.write(offset, chunk);
          },
        });
        let patches = 0;
        for (const each of steps) {
          const bytes = new Uint8Array(each.size).fill(each.byte);
          if ('back' in each) {
            const at = Math.max(0, end - each.back);
            const patch = bytes.subarray(0, end - at);
            await out.patch(at, patch);
            await expected.write(at, patch);
            patches += 1;
          } else {
            await out.append(bytes);
            bytes.fill(0);
            await expected.write(end, new Uint8Array(each.size).fill(each.byte));
            end += each.size;
          }
          expect(out.position).toBe(end);
        }
        await out.flush();
        await Promise.all([sink.truncate(end), expected.truncate(end)]);
        expect(Buffer.compare(sink.bytes(), expected.bytes())).toBe(0);
        expect(writes).toBeLessThanOrEqual(Math.ceil(end / MIB) + 2 * patches + 1);
      }),
      { numRuns: 60 },
    );
  });

  test('a failure is told to whoever appends or flushes next', async () => {
    const failing = {
      write: () => Promise.reject(new Error('full')),
      truncate: () => Promise.resolve(),
    };
    const out = appendWriter(failing);
    await out.append(new Uint8Array(MIB));
    await expect(out.flush()).rejects.toThrow('full');
    const other = appendWriter(failing);
    await expect(
      (async () => {
        for (let i = 0; i < 5; i += 1) await other.append(new Uint8Array(MIB));
      })(),
    ).rejects.toThrow('full');
  });
});

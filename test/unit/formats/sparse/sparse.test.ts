import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FormatError } from '../../../../src/core/errors.ts';
import { editSparse } from '../../../../src/formats/sparse/edit.ts';
import { ChunkHeader, SparseHeader } from '../../../../src/formats/sparse/layout.ts';
import { isSparse, readSparse, sparseSource } from '../../../../src/formats/sparse/reader.ts';
import { writeSparse } from '../../../../src/formats/sparse/writer.ts';
import { bytesSource } from '../../../../src/io/byte-source.ts';
import { MemorySink } from '../../../../src/io/image-sink.ts';

const BLOCK = 16;

/** Blocks of a few kinds, so that runs of raw, zero and repeating blocks come about. */
const image = fc
  .array(fc.tuple(fc.constantFrom('zero', 'same', 'word', 'raw'), fc.integer({ min: 1, max: 5 })), {
    maxLength: 12,
  })
  .map((runs) =>
    Uint8Array.from(
      runs.flatMap(([kind, blocks], run) =>
        Array.from({ length: blocks * BLOCK }, (_, at) => {
          if (kind === 'zero') return 0;
          if (kind === 'same') return 7 + run;
          return kind === 'word' ? (at % 4) + run : (at * 31 + run * 7) & 0xff;
        }),
      ),
    ),
  );

async function sparse(bytes: Uint8Array): Promise<Uint8Array> {
  const sink = new MemorySink();
  await writeSparse(bytesSource(bytes), sink, { blockSize: BLOCK });
  return sink.bytes();
}

async function expand(file: Uint8Array): Promise<Uint8Array> {
  const source = bytesSource(file, 'x.sparse');
  const expanded = sparseSource(source, await readSparse(source));
  return expanded.read(0, expanded.size);
}

/** A sink over bytes that are there. */
async function over(bytes: Uint8Array): Promise<MemorySink> {
  const sink = new MemorySink();
  await sink.write(0, bytes);
  return sink;
}

describe('sparse images', () => {
  it('give back the image they were made of, at every offset', async () => {
    await fc.assert(
      fc.asyncProperty(image, fc.nat(), fc.nat(), async (bytes, a, b) => {
        const file = await sparse(bytes);
        expect(Buffer.compare(await expand(file), bytes)).toBe(0);
        const source = bytesSource(file);
        const expanded = sparseSource(source, await readSparse(source));
        const from = a % (bytes.length + 1);
        const length = b % (bytes.length - from + 1);
        const part = await expanded.read(from, length);
        expect(Buffer.compare(part, bytes.subarray(from, from + length))).toBe(0);
      }),
      { numRuns: 200 },
    );
  });

  it('store a run of zeros in 16 bytes', async () => {
    const file = await sparse(new Uint8Array(BLOCK * 1000));
    expect(file.length).toBe(SparseHeader.size + ChunkHeader.size + 4);
    expect(await isSparse(bytesSource(file))).toBe(true);
    expect(await isSparse(bytesSource(Uint8Array.of(0x3a, 0xff)))).toBe(false);
  });

  it('are cut and extended in place as the image would be', async () => {
    await fc.assert(
      fc.asyncProperty(
        image,
        fc.nat(),
        fc.integer({ min: 0, max: 3 }),
        fc.integer({ min: 0, max: 3 }),
        async (bytes, cut, raw, hole) => {
          const file = await over(await sparse(bytes));
          const editor = editSparse(await readSparse(bytesSource(file.bytes())), file);
          const kept = (cut % (bytes.length / BLOCK + 1)) * BLOCK;
          editor.truncate(kept);
          const added = new Uint8Array(raw * BLOCK).map((_, at) => at + 1);
          await editor.appendHole(hole * BLOCK);
          await editor.appendRaw(added);
          await editor.finish();
          const expected = new Uint8Array(kept + hole * BLOCK + added.length);
          expected.set(bytes.subarray(0, kept));
          expected.set(added, kept + hole * BLOCK);
          expect(Buffer.compare(await expand(file.bytes()), expected)).toBe(0);
          expect(editor.size()).toBe(expected.length);
        },
      ),
      { numRuns: 200 },
    );
  });

  it('keep their old header until a change is finished', async () => {
    const bytes = new Uint8Array(8 * BLOCK).map((_, at) => at);
    const file = await over(await sparse(bytes));
    const editor = editSparse(await readSparse(bytesSource(file.bytes())), file);
    await editor.appendRaw(new Uint8Array(BLOCK).fill(9));
    expect(Buffer.compare(await expand(file.bytes()), bytes)).toBe(0);
    expect(() => editor.truncate(3)).toThrow(RangeError);
    expect(() => editor.truncate(90 * BLOCK)).toThrow(RangeError);
  });

  it('are refused with the field that is wrong', async () => {
    const good = await sparse(new Uint8Array(4 * BLOCK).map((_, at) => at));
    const broken = (at: number, ...values: number[]): Promise<unknown> => {
      const file = good.slice();
      file.set(values, at);
      return readSparse(bytesSource(file)).catch((error: unknown) => error);
    };
    const cases: readonly (readonly [number, number[], string])[] = [
      [0, [0], 'bad-magic'],
      [4, [2], 'bad-version'],
      [8, [4, 0], 'bad-value'],
      [12, [0, 0, 0, 0], 'bad-value'],
      [12, [0, 0, 0, 0xff], 'bad-value'],
      [16, [3, 0, 0, 0], 'out-of-range'],
      [16, [5, 0, 0, 0], 'bad-value'],
      [20, [0xff, 0xff, 0xff, 0xff], 'out-of-range'],
      [20, [2, 0, 0, 0], 'truncated'],
      [28, [0xc5], 'bad-value'],
      [32, [0xff, 0xff, 0xff, 0xff], 'bad-value'],
    ];
    for (const [at, values, code] of cases) {
      expect(await broken(at, ...values)).toMatchObject({ code });
    }
    await expect(readSparse(bytesSource(good.subarray(0, 50)))).rejects.toThrow(FormatError);
  });

  it('decode or fail as a FormatError, whatever the bytes', async () => {
    const good = await sparse(new Uint8Array(6 * BLOCK).fill(3, BLOCK, 3 * BLOCK));
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 6 }),
        async (changes) => {
          const file = good.slice();
          for (const [at, value] of changes) file[at] = value;
          const source = bytesSource(file);
          try {
            const found = await readSparse(source);
            const expanded = sparseSource(source, found);
            await expanded.read(0, Math.min(expanded.size, 1 << 16));
          } catch (error) {
            expect(error).toBeInstanceOf(FormatError);
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});

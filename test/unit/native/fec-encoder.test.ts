import { randomBytes } from 'node:crypto';
import { closeSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { FormatError } from '../../../src/core/errors.ts';
import { createNativeFecEncoder } from '../../../src/native/fec-encoder.ts';
import { loadNativeLibrary, type NativeLibrary } from '../../../src/native/library.ts';
import type { FileRange } from '../../../src/verity/block-hasher.ts';
import { tableFecEncoder } from '../../../src/verity/fec/table-encoder.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

const built = await loadNativeLibrary();
if (built === undefined) {
  process.stderr.write('native: the library is not built, its tests are skipped (scripts/setup)\n');
}

/** Those of this processor. */
const engines = (['portable', 'ssse3', 'avx2', 'gfni', 'neon'] as const).filter((engine) => {
  try {
    return built !== undefined && createNativeFecEncoder(built, 1, engine);
  } catch {
    return false;
  }
});
if (built !== undefined && engines.length < 4) {
  process.stderr.write(`native: this processor can try only ${engines.join(', ')} for parity\n`);
}

/** In GF(2^8) with 0x11d, by the definition. */
function multiply(a: number, b: number): number {
  let product = 0;
  for (let bit = 7; bit >= 0; bit -= 1) {
    product = (product << 1) ^ (product & 0x80 ? 0x11d : 0);
    if ((b >> bit) & 1) product ^= a;
  }
  return product;
}
const timesRoot: readonly Uint8Array[] = Array.from({ length: 24 }, (_, power) => {
  let root = 1;
  for (let i = 0; i < power; i += 1) root = multiply(root, 2);
  return new Uint8Array(256).map((_byte, value) => multiply(value, root));
});

/** The first column that with its parity is no codeword, which is zero at 1, 2, 4, ... as a polynomial. */
function findNoCodeword(
  roots: number,
  rows: Uint8Array,
  width: number,
  parity: Uint8Array,
): number | undefined {
  for (let column = 0; column < width; column += 1) {
    for (const times of timesRoot.slice(0, roots)) {
      let value = 0;
      for (let row = 0; row < 255 - roots; row += 1) {
        value = (times[value] as number) ^ (rows[row * width + column] as number);
      }
      for (let i = 0; i < roots; i += 1) {
        value = (times[value] as number) ^ (parity[column * roots + i] as number);
      }
      if (value !== 0) return column;
    }
  }
  return undefined;
}

describe.skipIf(built === undefined)('createNativeFecEncoder()', () => {
  let library: NativeLibrary;
  beforeAll(() => {
    library = built as NativeLibrary;
  });

  it('refuses instructions that the processor has not', () => {
    expect(engines).toContain('portable');
    const foreign = process.arch === 'x64' ? 'neon' : 'avx2';
    expect(() => createNativeFecEncoder(library, 1, foreign)).toThrow(RangeError);
  });

  it.each(['best', ...engines] as const)(
    'makes a codeword of every column, for any roots and width (%s)',
    async (engine) => {
      const encoder = createNativeFecEncoder(library, 2, engine);
      for (let roots = 2; roots <= 24; roots += 1) {
        const width = roots * 13 + (roots % 5);
        const rows = randomBytes((255 - roots) * width);
        const parity = new Uint8Array(width * roots);
        await encoder.encode(roots, rows, width, parity);
        expect(findNoCodeword(roots, rows, width, parity)).toBeUndefined();
      }
    },
  );

  it.each(engines)(
    'makes the parity of the twin, on any number of threads (%s)',
    async (engine) => {
      await fc.assert(
        fc.asyncProperty(
          fc.constantFrom(2, 2, 3, 8, 17, 24),
          fc.integer({ min: 0, max: 20_000 }),
          fc.integer({ min: 1, max: 5 }),
          async (roots, width, threads) => {
            const rows = randomBytes((255 - roots) * width);
            const parity = Buffer.alloc(width * roots, 1);
            const twin = Buffer.alloc(width * roots, 2);
            await createNativeFecEncoder(library, threads, engine).encode(
              roots,
              rows,
              width,
              parity,
            );
            await tableFecEncoder.encode(roots, rows, width, twin);
            expect(parity.equals(twin)).toBe(true);
          },
        ),
        { numRuns: 12 },
      );
    },
  );

  it('refuses sizes that do not fit before it calls the library', () => {
    const encode = (roots: number, rows: number, width: number, parity: number) => (): unknown =>
      createNativeFecEncoder(library).encode(
        roots,
        new Uint8Array(rows),
        width,
        new Uint8Array(parity),
      );
    expect(encode(2, 253 * 8, 8, 16)).not.toThrow();
    for (const [roots, rows, width, parity] of [
      [1, 254 * 8, 8, 8],
      [25, 230 * 8, 8, 200],
      [2.5, 253 * 8, 8, 20],
      [2, 253 * 8 - 1, 8, 16],
      [2, 253 * 8, 8, 15],
      [2, 253 * 8, -8, 16],
      [2, 253, 0.5, 1],
    ] as const) {
      expect(encode(roots, rows, width, parity)).toThrow(RangeError);
    }
  });
});

/** A file with these bytes, open. */
function fileOf(bytes: Uint8Array): number {
  const fd = openSync(join(tmpDir(), 'file'), 'w+');
  writeSync(fd, bytes);
  return fd;
}

describe.skipIf(built === undefined)('createNativeFecEncoder().encodeFiles()', () => {
  let library: NativeLibrary;
  beforeAll(() => {
    library = built as NativeLibrary;
  });

  it('encodes ranges of files, then zeros, as the same bytes in memory', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(2, 2, 3, 11, 24),
        fc.array(fc.record({ before: fc.nat({ max: 999 }), length: fc.nat({ max: 400_000 }) }), {
          maxLength: 4,
        }),
        fc.integer({ min: 1, max: 4 }),
        fc.nat({ max: 3000 }),
        fc.nat({ max: 5000 }),
        async (roots, parts, threads, from, more) => {
          const count = 255 - roots;
          const files = parts.map(({ before, length }) => randomBytes(before + length));
          const ranges = parts.map(({ before, length }, index): FileRange => ({
            fd: fileOf(files[index] as Buffer),
            offset: before,
            length,
          }));
          const data = Buffer.concat(files.map((file, i) => file.subarray(parts[i]?.before)));
          const rowSize = Math.ceil(data.length / count) + more + 1;
          const matrix = Buffer.alloc(rowSize * count);
          data.copy(matrix);
          const whole = Buffer.alloc(rowSize * roots);
          const encoder = createNativeFecEncoder(library, threads);
          await encoder.encode(roots, matrix, rowSize, whole);

          const first = Math.min(from, rowSize);
          const width = rowSize - first;
          const parity = Buffer.alloc(width * roots, 1);
          await encoder.encodeFiles?.(roots, ranges, rowSize, first, width, parity);
          for (const { fd } of ranges) closeSync(fd);
          expect(parity.equals(whole.subarray(first * roots))).toBe(true);
        },
      ),
      { numRuns: 40 },
    );
  });

  it('says when a file ends early', async () => {
    const fd = fileOf(new Uint8Array(1000));
    const encoder = createNativeFecEncoder(library);
    const encoding = encoder.encodeFiles?.(
      2,
      [{ fd, offset: 0, length: 1001 }],
      4096,
      0,
      4096,
      new Uint8Array(8192),
    );
    await expect(encoding).rejects.toThrow(FormatError);
    await expect(encoding).rejects.toMatchObject({ code: 'truncated' });
    closeSync(fd);
  });

  it("throws the system's error when it cannot read", async () => {
    const fd = openSync(tmpDir(), 'r');
    const encoding = createNativeFecEncoder(library).encodeFiles?.(
      2,
      [{ fd, offset: 0, length: 1 }],
      4096,
      0,
      4096,
      new Uint8Array(8192),
    );
    await expect(encoding).rejects.toMatchObject({ code: 'EISDIR', syscall: 'read' });
    closeSync(fd);
  });

  it('refuses ranges and columns that cannot be before it calls the library', async () => {
    const encode = async (
      range: Partial<FileRange>,
      [roots, rowSize, first, width, parity]: readonly [number, number, number, number, number] = [
        2, 16, 0, 16, 32,
      ],
    ): Promise<void> => {
      await createNativeFecEncoder(library).encodeFiles?.(
        roots,
        [{ fd: 0, offset: 0, length: 0, ...range }],
        rowSize,
        first,
        width,
        new Uint8Array(parity),
      );
    };
    await encode({});
    for (const range of [
      { fd: -1 },
      { fd: 0.5 },
      { offset: -1 },
      { length: -1 },
      { length: 253 * 16 + 1 },
    ]) {
      await expect(encode(range)).rejects.toThrow(RangeError);
    }
    for (const sizes of [
      [1, 16, 0, 16, 16],
      [25, 16, 0, 16, 400],
      [2, 15, 0, 16, 32],
      [2, 16, 1, 16, 32],
      [2, 16, -1, 16, 32],
      [2, 16, 0.5, 8, 16],
      [2, 2 ** 50, 0, 16, 32],
      [2, 16, 0, 16, 31],
    ] as const) {
      await expect(encode({}, sizes)).rejects.toThrow(RangeError);
    }
  });
});

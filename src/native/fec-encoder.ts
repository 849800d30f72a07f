/** Reed-Solomon parity with the native library, which reads the files itself. */

import { availableParallelism } from 'node:os';
import type { FecEncoder } from '../verity/fec-encoder.ts';
import { checkFileRange, checkRead } from './file.ts';
import { callAsync, type NativeLibrary } from './library.ts';

const CODEWORD = 255;
const MIN_ROOTS = 2;
const MAX_ROOTS = 24;
const MAX_RANGES = 1 << 16;

/** Below this a call on another thread costs more than it saves. */
const MIN_ASIDE = 256 << 10;
/** More threads only wait for memory. */
const MAX_THREADS = 16;

/** As the C interface numbers them. */
const engines = { best: 0, portable: 1, ssse3: 2, avx2: 3, neon: 4, gfni: 5 } as const;

/** Which instructions of the processor work. */
export type FecEngine = keyof typeof engines;

/**
 * Encodes with the library, on threads of its own.
 *
 * @param threads How many at most. Default what the machine has, within reason.
 * @param engine For tests: the instructions to use instead of the best ones.
 * @throws {RangeError} when this processor has not the instructions asked for.
 */
export function createNativeFecEncoder(
  library: NativeLibrary,
  threads: number = availableParallelism(),
  engine: FecEngine = 'best',
): FecEncoder {
  const encodeRows = library.func(
    'int mb_fec_encode(uint32_t engine, uint32_t threads, size_t roots, const uint8_t *rows, size_t width, _Out_ uint8_t *parity)',
  );
  const encodeParts = library.func(
    'int mb_fec_encode_files(uint32_t engine, uint32_t threads, size_t roots, const uint8_t *parts, size_t count, uint64_t row_size, uint64_t first_column, _Out_ uint8_t *parity, size_t parity_len)',
  );
  const find = library.func('uint32_t mb_fec_engine(uint32_t engine)');
  const instructions = find(engines[engine]);
  if (instructions === 0) {
    throw new RangeError(`Cannot encode with ${engine}: this processor has no such instructions`);
  }
  const workers = Math.min(threads, MAX_THREADS);

  return {
    encode(roots, rows, width, parity) {
      checkSizes(roots, width, parity);
      if (rows.length !== (CODEWORD - roots) * width) {
        throw new RangeError(
          `${rows.length} bytes are not ${CODEWORD - roots} rows of ${width} bytes`,
        );
      }
      if (rows.length < MIN_ASIDE) {
        checkEncoded(encodeRows(instructions, 1, roots, rows, width, parity));
        return undefined;
      }
      return callAsync(encodeRows, instructions, workers, roots, rows, width, parity).then(
        checkEncoded,
      );
    },

    async encodeFiles(roots, ranges, rowSize, firstColumn, width, parity) {
      checkSizes(roots, width, parity);
      ranges.forEach(checkFileRange);
      const length = ranges.reduce((sum, range) => sum + range.length, 0);
      const isSize = Number.isSafeInteger(rowSize * CODEWORD) && Number.isSafeInteger(firstColumn);
      if (!isSize || firstColumn < 0 || firstColumn + width > rowSize) {
        throw new RangeError(`Rows of ${rowSize} have no ${width} columns at ${firstColumn}`);
      }
      if (length > (CODEWORD - roots) * rowSize || ranges.length > MAX_RANGES) {
        throw new RangeError(
          `${length} bytes in ${ranges.length} parts do not fit ${CODEWORD - roots} rows of ${rowSize}`,
        );
      }
      const parts = new BigInt64Array(
        ranges.flatMap((range) => [range.fd, range.offset, range.length].map(BigInt)),
      );
      const result = await callAsync(
        encodeParts,
        instructions,
        workers,
        roots,
        new Uint8Array(parts.buffer),
        ranges.length,
        rowSize,
        firstColumn,
        parity,
        width * roots,
      );
      checkRead(result, { offset: 0, length });
    },
  };
}

function checkSizes(roots: number, width: number, parity: Uint8Array): void {
  if (!Number.isInteger(roots) || roots < MIN_ROOTS || roots > MAX_ROOTS) {
    throw new RangeError(
      `Cannot encode with ${roots} roots: they are ${MIN_ROOTS} to ${MAX_ROOTS}`,
    );
  }
  if (!Number.isSafeInteger(width) || width < 0 || parity.length !== width * roots) {
    throw new RangeError(
      `${parity.length} bytes are not the parity of ${width} columns with ${roots} roots`,
    );
  }
}

function checkEncoded(result: unknown): void {
  if (result !== 0) throw new RangeError(`The native library refused to encode: ${String(result)}`);
}

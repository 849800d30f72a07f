/** The matrix that parity is computed over, out of the sources that hold its bytes. */

import type { ByteSource } from '../../io/byte-source.ts';
import type { FileRange } from '../block-hasher.ts';
import type { FecLayout } from './layout.ts';

export interface FecMatrix {
  readonly layout: FecLayout;
  /** The sources as ranges of open files, when all of them are. */
  readonly files: readonly FileRange[] | undefined;
  /** Reads columns `[first, first + width)` of all rows, into `rows * width` bytes of `target`. */
  readColumns(first: number, width: number, target: Uint8Array): Promise<void>;
}

/** How many rows are read at the same time: enough to keep the disk busy. */
const READS = 16;

/** @param sources One after the other they are the covered bytes. */
export function fecMatrix(sources: readonly ByteSource[], layout: FecLayout): FecMatrix {
  const { rows, rowSize } = layout;
  const places: { readonly source: ByteSource; readonly start: number }[] = [];
  let covered = 0;
  for (const source of sources) {
    places.push({ source, start: covered });
    covered += source.size;
  }
  if (covered !== layout.coveredSize) {
    throw new RangeError(`The sources have ${covered} bytes, the layout ${layout.coveredSize}`);
  }
  const files = sources.flatMap(({ file, size }) =>
    file === undefined ? [] : [{ fd: file.fd, offset: file.offset, length: size }],
  );

  /** Bytes of the concatenated sources; zeros behind their end. */
  const readInto = async (offset: number, target: Uint8Array): Promise<void> => {
    const end = Math.min(offset + target.length, covered);
    target.fill(0, Math.max(end - offset, 0));
    for (const { source, start } of places) {
      const from = Math.max(offset, start);
      const to = Math.min(end, start + source.size);
      if (from < to) target.set(await source.read(from - start, to - from), from - offset);
    }
  };

  return {
    layout,
    files: files.length === sources.length ? files : undefined,
    async readColumns(first, width, target) {
      for (let row = 0; row < rows; row += READS) {
        const batch = Array.from({ length: Math.min(READS, rows - row) }, (_, i) =>
          readInto(
            (row + i) * rowSize + first,
            target.subarray((row + i) * width, (row + i + 1) * width),
          ),
        );
        await Promise.all(batch);
      }
    },
  };
}

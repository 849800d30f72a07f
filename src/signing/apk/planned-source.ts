/** An archive that is planned and not yet written, to be read as if it were. */

import { FormatError } from '../../core/errors.ts';
import { windowSource } from '../../formats/zip/window-source.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import type { CopyPiece } from './copy-plan.ts';

interface Span {
  readonly start: number;
  readonly end: number;
  read(offset: number, length: number): Promise<Uint8Array>;
}

function spansOf(input: ByteSource, pieces: readonly CopyPiece[]): readonly Span[] {
  let at = 0;
  return pieces.map((piece) => {
    const start = at;
    at += piece.kind === 'input' ? piece.size : piece.bytes.length;
    return {
      start,
      end: at,
      read: (offset, length) =>
        piece.kind === 'input'
          ? input.read(piece.offset + offset - start, length)
          : Promise.resolve(piece.bytes.subarray(offset - start, offset - start + length)),
    };
  });
}

/** The span that holds `offset`, by its index. */
function findSpan(spans: readonly Span[], offset: number): number {
  let low = 0;
  let high = spans.length - 1;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((spans[middle]?.end ?? 0) > offset) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** The pieces one behind the other. Nothing is copied but what is read. */
export function plannedSource(
  input: ByteSource,
  pieces: readonly CopyPiece[],
  name = input.name,
): ByteSource {
  const spans = spansOf(windowSource(input), pieces);
  const size = spans.at(-1)?.end ?? 0;
  return {
    name,
    size,
    async read(offset, length) {
      if (offset < 0 || length < 0 || offset + length > size) {
        throw new FormatError(
          'file',
          'truncated',
          `Cannot read ${length} bytes of ${name}: it has ${size} bytes`,
          { offset },
        );
      }
      const parts: Uint8Array[] = [];
      const end = offset + length;
      for (let at = offset, index = findSpan(spans, offset); at < end; index++) {
        const span = spans[index];
        if (span === undefined) break;
        const to = Math.min(end, span.end);
        parts.push(await span.read(at, to - at));
        at = to;
      }
      const [only] = parts;
      return parts.length === 1 && only !== undefined ? only : new Uint8Array(Buffer.concat(parts));
    },
    close: () => Promise.resolve(),
  };
}

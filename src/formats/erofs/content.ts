/** Reading the contents of files for an image: exactly as many bytes as planned, early where it pays. */

import { UsageError } from '../../core/errors.ts';
import type { ContentExtent, ImagePiece } from '../../io/image-pieces.ts';

type ContentPiece = Extract<ImagePiece, { kind: 'content' }>;

/**
 * A content that has not the size it said.
 *
 * @param found Its size; or anything above `expected` where only that is known.
 */
export function sizeProblem(path: string, expected: number, found: number): UsageError {
  const has = found > expected ? 'more' : `only ${found}`;
  return new UsageError(
    'input',
    `Cannot store ${path} in EROFS: it was planned with ${expected} bytes but has ${has}`,
    { hint: 'Do not change the inputs while an image is built' },
  );
}

/**
 * The bytes of a content.
 *
 * @throws {UsageError} `input` when there are more or fewer than planned.
 */
async function* contentOf({ path, content }: ContentPiece): AsyncGenerator<Uint8Array> {
  let count = 0;
  for await (const chunk of content.stream()) {
    count += chunk.length;
    if (count > content.size) break;
    yield chunk;
  }
  if (count !== content.size) throw sizeProblem(path, content.size, count);
}

/** A piece whose content can be read. */
export type ReadPiece =
  | Extract<ImagePiece, { kind: 'bytes' }>
  | {
      readonly kind: 'content';
      readonly extents: readonly ContentExtent[];
      readonly chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
    };

/** Larger files are read at their turn, in chunks. */
const SMALL = 1 << 16;
/** How many small files are read ahead: enough to hide the time that opening a file takes. */
const AHEAD = 16;
/** How many pieces wait for those at most. */
const MAX_WAITING = 8 * AHEAD;

async function wholeContent(piece: ContentPiece): Promise<Uint8Array> {
  const bytes = new Uint8Array(piece.content.size);
  let used = 0;
  for await (const chunk of contentOf(piece)) {
    bytes.set(chunk, used);
    used += chunk.length;
  }
  return bytes;
}

/**
 * The pieces in order. Opening and closing a small file takes longer than reading it, so the next few
 * are read while earlier ones are written.
 */
export async function* readAhead(pieces: Iterable<ImagePiece>): AsyncGenerator<ReadPiece> {
  const waiting: { piece: ImagePiece; whole: Promise<Uint8Array> | undefined }[] = [];
  let reading = 0;
  for (const piece of pieces) {
    let whole: Promise<Uint8Array> | undefined;
    if (piece.kind === 'content' && piece.content.size <= SMALL) {
      whole = wholeContent(piece);
      // Awaited at its turn; until then a failure must not count as unhandled.
      whole.catch(() => undefined);
      reading += 1;
    }
    waiting.push({ piece, whole });
    // Without files that are being read there is nothing to wait for.
    const hold = reading === 0 ? 0 : reading <= AHEAD ? MAX_WAITING : waiting.length - 1;
    for (const next of waiting.splice(0, waiting.length - hold)) {
      if (next.whole !== undefined) reading -= 1;
      yield await readable(next);
    }
  }
  for (const next of waiting) yield await readable(next);
}

async function readable({
  piece,
  whole,
}: {
  piece: ImagePiece;
  whole: Promise<Uint8Array> | undefined;
}): Promise<ReadPiece> {
  if (piece.kind === 'bytes') return piece;
  const { extents } = piece;
  return { kind: 'content', extents, chunks: whole ? [await whole] : contentOf(piece) };
}

/** Reading the contents of files for an image: exactly as many bytes as planned, early where it pays. */

import { UsageError } from '../../core/errors.ts';
import { alignUp } from '../../core/math.ts';
import type { ContentExtent, ImagePiece } from '../../io/image-pieces.ts';

type BytesPiece = Extract<ImagePiece, { kind: 'bytes' }>;
type CopyPiece = Extract<ImagePiece, { kind: 'copy' }>;
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
  | BytesPiece
  | CopyPiece
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
  if (piece.kind !== 'content') return piece;
  const { extents } = piece;
  return { kind: 'content', extents, chunks: whole ? [await whole] : contentOf(piece) };
}

/** Blocks of this many bytes are handed on at a time. */
const STREAM_SIZE = 1 << 18;

/**
 * A content as pieces of bytes, for those who do not read files themselves. Each is valid until the
 * next one is asked for.
 */
export async function* streamPiece(
  piece: ContentPiece,
  blockSize: number,
): AsyncGenerator<BytesPiece> {
  const buffer = new Uint8Array(alignUp(Math.min(piece.content.size, STREAM_SIZE), blockSize));
  for await (const { extent, at, bytes } of partsOf(piece.extents, contentOf(piece))) {
    if (extent.shared) {
      yield { kind: 'bytes', to: extent.to + at, shared: true, bytes };
      continue;
    }
    for (let done = 0; done < bytes.length;) {
      const used = (at + done) % buffer.length;
      const part = bytes.subarray(done, done + buffer.length - used);
      buffer.set(part, used);
      done += part.length;
      const end = used + part.length;
      if (end === buffer.length || at + done === extent.size) {
        const to = extent.to + at + done - end;
        yield { kind: 'bytes', to, shared: false, bytes: buffer.subarray(0, end) };
      }
    }
  }
}

/** Part of a content that an extent wants. */
interface ContentPart {
  readonly extent: ContentExtent;
  /** Offset in the extent. */
  readonly at: number;
  readonly bytes: Uint8Array;
}

/** The parts of a content that its extents want. Reads all of it, so that its size is checked. */
export async function* partsOf(
  extents: readonly ContentExtent[],
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<ContentPart> {
  let from = 0;
  let index = 0;
  for await (const chunk of chunks) {
    const end = from + chunk.length;
    for (let extent = extents[index]; extent !== undefined; extent = extents[index]) {
      const start = Math.max(extent.from, from);
      const stop = Math.min(extent.from + extent.size, end);
      if (start < stop) {
        yield { extent, at: start - extent.from, bytes: chunk.subarray(start - from, stop - from) };
      }
      if (extent.from + extent.size > end) break;
      index += 1;
    }
    from = end;
  }
}

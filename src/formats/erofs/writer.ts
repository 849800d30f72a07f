/**
 * Writes a planned image: one pass over the files, each block of the image once, memory for a few
 * pieces of metadata only.
 */

import type { ImagePieces } from '../../io/image-pieces.ts';
import type { ImageSink } from '../../io/image-sink.ts';
import { createRunWriter, createSegmentWriter } from './block-writers.ts';
import { readAhead, type ReadPiece } from './content.ts';
import { erofsPieces } from './pieces.ts';
import type { ErofsPlan } from './plan.ts';

/**
 * Writes the image, all of its `plan.size` bytes, in whole blocks. Contents are read while it is
 * written.
 *
 * @throws {UsageError} `input` when a file's content has not the planned size.
 * @throws the signal's reason when it is aborted; what was written is not an image then.
 */
export async function writeErofs(
  plan: ErofsPlan,
  sink: ImageSink,
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<void> {
  await sink.truncate(plan.size);
  await writePieces(erofsPieces(plan), sink, options);
}

/** Puts an image together: what the native library does faster. */
async function writePieces(
  image: ImagePieces,
  sink: ImageSink,
  { signal }: { readonly signal?: AbortSignal | undefined },
): Promise<void> {
  const { blockSize } = image;
  const shared = createSegmentWriter(
    sink,
    { size: image.sharedSize, blockSize },
    image.sharedRanges(),
    (first) => image.seal(first.subarray(0, blockSize)),
  );
  const own = createRunWriter(sink, blockSize);
  for await (const piece of readAhead(image.pieces())) {
    signal?.throwIfAborted();
    if (piece.kind === 'bytes') {
      if (piece.shared) await shared.put(piece.to, piece.bytes);
      else await own.put(piece.to, piece.bytes, true);
    } else {
      await writeContent(piece, signal, async (extent, at, bytes) => {
        const to = extent.to + at;
        if (extent.shared) await shared.put(to, bytes);
        else await own.put(to, bytes, at + bytes.length === extent.size);
      });
    }
  }
  await own.flush();
}

type Extent = Extract<ReadPiece, { kind: 'content' }>['extents'][number];

/** Calls `put` for each part of a chunk that an extent wants. */
async function writeContent(
  { chunks, extents }: Extract<ReadPiece, { kind: 'content' }>,
  signal: AbortSignal | undefined,
  put: (extent: Extent, at: number, bytes: Uint8Array) => Promise<void>,
): Promise<void> {
  let from = 0;
  let index = 0;
  for await (const chunk of chunks) {
    signal?.throwIfAborted();
    const end = from + chunk.length;
    for (let extent = extents[index]; extent !== undefined; extent = extents[index]) {
      const start = Math.max(extent.from, from);
      const stop = Math.min(extent.from + extent.size, end);
      if (start < stop) {
        await put(extent, start - extent.from, chunk.subarray(start - from, stop - from));
      }
      if (extent.from + extent.size > end) break;
      index += 1;
    }
    from = end;
  }
}

/**
 * Writes a planned image: one pass over the files, each block of the image once, memory for a few
 * pieces of metadata only.
 */

import { streamOf } from '../../io/byte-source.ts';
import type { ImagePieces } from '../../io/image-pieces.ts';
import type { ImageSink } from '../../io/image-sink.ts';
import { createRunWriter, createSegmentWriter } from './block-writers.ts';
import { partsOf, readAhead } from './content.ts';
import { erofsPieces } from './pieces.ts';
import type { ErofsPlan } from './plan.ts';
import type { Reuse } from './reuse.ts';

export interface WriteErofsOptions {
  readonly signal?: AbortSignal | undefined;
  /** Called with how much is done, in bytes of `total`. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  /** An image of which files are taken; the bytes are the same as without. */
  readonly reuse?: Reuse | undefined;
}

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
  options: WriteErofsOptions = {},
): Promise<void> {
  await sink.truncate(plan.size);
  await writePieces(erofsPieces(plan, options.reuse), sink, options);
}

/** Puts an image together: what the native library does faster. */
async function writePieces(
  image: ImagePieces,
  sink: ImageSink,
  { signal, onProgress }: WriteErofsOptions,
): Promise<void> {
  const { blockSize } = image;
  const shared = createSegmentWriter(
    sink,
    { size: image.sharedSize, blockSize },
    image.sharedRanges(),
    (first) => image.seal(first.subarray(0, blockSize)),
  );
  const own = createRunWriter(sink, blockSize);
  let done = 0;
  const count = (bytes: number): void => {
    done += bytes;
    onProgress?.(Math.min(done, image.pieceSize), image.pieceSize);
  };
  for await (const piece of readAhead(image.pieces())) {
    signal?.throwIfAborted();
    if (piece.kind === 'bytes') {
      if (piece.shared) await shared.put(piece.to, piece.bytes);
      else await own.put(piece.to, piece.bytes, true);
      count(piece.bytes.length);
      continue;
    }
    if (piece.kind === 'copy') {
      const { from, to, size } = piece;
      if (image.previous === undefined) throw new TypeError('There is nothing to copy from');
      let at = to;
      for await (const chunk of streamOf(image.previous.source, from, size)) {
        signal?.throwIfAborted();
        await own.put(at, chunk, true);
        at += chunk.length;
        count(chunk.length);
      }
      continue;
    }
    for await (const { extent, at, bytes } of partsOf(piece.extents, piece.chunks)) {
      signal?.throwIfAborted();
      const to = extent.to + at;
      if (extent.shared) await shared.put(to, bytes);
      else await own.put(to, bytes, at + bytes.length === extent.size);
      count(bytes.length);
    }
  }
  await own.flush();
}

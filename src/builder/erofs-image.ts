/** Writing a planned EROFS image: with the native library where it is loaded, the same bytes without. */

import { erofsPieces } from '../formats/erofs/pieces.ts';
import type { ErofsPlan } from '../formats/erofs/plan.ts';
import type { Reuse } from '../formats/erofs/reuse.ts';
import { writeErofs } from '../formats/erofs/writer.ts';
import type { ImageSink } from '../io/image-sink.ts';
import { createNativeAssembler } from '../native/assemble.ts';
import { createNativeBlockHasher } from '../native/block-hasher.ts';
import type { NativeLibrary } from '../native/library.ts';
import { nodeBlockHasher, type BlockHasher } from '../verity/block-hasher.ts';
import { writeAssembled, type WriteImageOptions } from './assembled-image.ts';

/**
 * Writes the image, all of its `plan.size` bytes.
 *
 * @param sink Zeros where the image goes.
 * @returns a hasher for the image's blocks: asked for those of the sink's file, it knows them already
 *   where they were hashed on the way.
 * @throws {UsageError} `input` when a file's content has not the planned size.
 */
export async function writeErofsImage(
  plan: ErofsPlan,
  sink: ImageSink,
  options: WriteImageOptions & {
    /** Absent: do without. */
    readonly library?: NativeLibrary | undefined;
    /** An image of which files are taken; with blocks that are hashed alike, or not at all. */
    readonly reuse?: Reuse | undefined;
  } = {},
): Promise<BlockHasher> {
  const { library, reuse } = options;
  const { file } = sink;
  if (library === undefined || file === undefined) {
    await writeErofs(plan, sink, options);
    return library === undefined ? nodeBlockHasher : createNativeBlockHasher(library);
  }
  const pieces = erofsPieces(plan, reuse);
  const assembler = createNativeAssembler(library);
  const image = {
    size: pieces.size,
    blockSize: pieces.blockSize,
    pieceSize: pieces.pieceSize,
    assemble: assembler.assemble.bind(assembler, pieces),
  };
  return writeAssembled(library, image, sink, file, options);
}

/** Writing a planned EROFS image: with the native library where it is loaded, the same bytes without. */

import { erofsPieces } from '../formats/erofs/pieces.ts';
import type { ErofsPlan } from '../formats/erofs/plan.ts';
import { writeErofs } from '../formats/erofs/writer.ts';
import type { ImageSink } from '../io/image-sink.ts';
import { createNativeAssembler } from '../native/assemble.ts';
import { createNativeBlockHasher } from '../native/block-hasher.ts';
import type { NativeLibrary } from '../native/library.ts';
import {
  nodeBlockHasher,
  type BlockHasher,
  type BlockHashParameters,
} from '../verity/block-hasher.ts';

export interface WriteImageOptions {
  /** Absent: do without. */
  readonly library?: NativeLibrary | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called now and then with how much is done, in bytes of `total`. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  /** What the image's blocks will be hashed with next; they are hashed on the way if that can be. */
  readonly hashing?: BlockHashParameters | undefined;
}

const DIGEST_SIZE = 32;

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
  options: WriteImageOptions = {},
): Promise<BlockHasher> {
  const { library, signal, onProgress, hashing } = options;
  const { file } = sink;
  if (library === undefined || file === undefined) {
    await writeErofs(plan, sink, { signal, onProgress });
    return library === undefined ? nodeBlockHasher : createNativeBlockHasher(library);
  }
  await sink.truncate(plan.size);
  const pieces = erofsPieces(plan);
  const canHash = hashing?.algorithm === 'sha256' && hashing.blockSize <= plan.blockSize;
  const known = canHash && {
    ...hashing,
    digests: new Uint8Array((plan.size / hashing.blockSize) * DIGEST_SIZE),
  };
  await createNativeAssembler(library).assemble(pieces, file, {
    signal,
    onProgress: onProgress && ((done) => onProgress(done, pieces.pieceSize)),
    ...(known && { hashing: known }),
  });
  const hasher = createNativeBlockHasher(library);
  return known ? knowingHasher(hasher, known, file.offset) : hasher;
}

/** Gives out the digests that are known already, for ranges of the image's file. */
function knowingHasher(
  hasher: BlockHasher,
  known: BlockHashParameters & { readonly digests: Uint8Array },
  imageOffset: number,
): BlockHasher {
  return {
    hashBlocks: (parameters, data, digests) => hasher.hashBlocks(parameters, data, digests),
    hashFile(parameters, range, digests) {
      const { algorithm, blockSize, salt } = parameters;
      const isSame =
        algorithm === known.algorithm &&
        blockSize === known.blockSize &&
        Buffer.compare(salt, known.salt) === 0;
      const first = (range.offset - imageOffset) / blockSize;
      const end = first + range.length / blockSize;
      if (!isSame || first < 0 || end * DIGEST_SIZE > known.digests.length) {
        return hasher.hashFile?.(parameters, range, digests);
      }
      digests.set(known.digests.subarray(first * DIGEST_SIZE, end * DIGEST_SIZE));
      return Promise.resolve();
    },
  };
}

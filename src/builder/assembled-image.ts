/** Images that the native library puts together, and what it learns of their blocks on the way. */

import type { AssembleOptions, BlockDigests, ImageTarget } from '../io/image-pieces.ts';
import type { ImageSink } from '../io/image-sink.ts';
import { createNativeBlockHasher } from '../native/block-hasher.ts';
import type { NativeLibrary } from '../native/library.ts';
import type { BlockHasher, BlockHashParameters } from '../verity/block-hasher.ts';

export interface WriteImageOptions {
  readonly signal?: AbortSignal | undefined;
  /** Called now and then with how much is done, in bytes of `total`. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  /** What the image's blocks will be hashed with next; they are hashed on the way if that can be. */
  readonly hashing?: BlockHashParameters | undefined;
}

/** An image that the library can put together. Sizes are in bytes. */
interface AssembledImage {
  readonly size: number;
  readonly blockSize: number;
  /** Of what is reported as progress. */
  readonly pieceSize: number;
  assemble(
    target: ImageTarget,
    options: AssembleOptions & { readonly hashing?: BlockDigests | undefined },
  ): Promise<void>;
}

const DIGEST_SIZE = 32;

/**
 * Puts the image together in the file of a sink.
 *
 * @returns a hasher for the image's blocks: asked for those of the file, it knows them already where
 *   they were hashed on the way.
 * @throws as `ImageAssembler.assemble` does.
 */
export async function writeAssembled(
  library: NativeLibrary,
  image: AssembledImage,
  sink: ImageSink,
  file: ImageTarget,
  { signal, onProgress, hashing }: WriteImageOptions,
): Promise<BlockHasher> {
  await sink.truncate(image.size);
  const canHash = hashing?.algorithm === 'sha256' && hashing.blockSize <= image.blockSize;
  const known = canHash && {
    ...hashing,
    digests: new Uint8Array((image.size / hashing.blockSize) * DIGEST_SIZE),
  };
  await image.assemble(file, {
    signal,
    onProgress: onProgress && ((done) => onProgress(done, image.pieceSize)),
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

/**
 * Putting images together with the native library: its threads open, read, hash and write while this
 * one encodes. The twin is `src/formats/erofs/writer.ts`; both make the same bytes.
 */

import { divCeil } from '../core/math.ts';
import { streamPiece } from '../formats/erofs/content.ts';
import type { ImageAssembler, ImagePiece, ImagePieces } from '../io/image-pieces.ts';
import { createBatch, type Batch } from './assembly-batch.ts';
import { assemblyThreads, runAssembly } from './assembly-run.ts';
import { callAsync, type NativeFunction, type NativeLibrary } from './library.ts';

/** `SEGMENT_SIZE` of the library. */
const SEGMENT_SIZE = 1 << 20;

type NativeFile = Extract<ImagePiece, { kind: 'content' }>;

/** @param threads How many of the library's; default one for each processor. */
export function createNativeAssembler(
  library: NativeLibrary,
  threads: number = assemblyThreads(),
): ImageAssembler {
  const startAssembly = library.func(
    'int64_t mb_assembly_start(int fd, uint64_t base, uint64_t size, uint64_t shared_size, uint32_t block_size, const uint32_t *missing, size_t segments, uint32_t hash_block_size, const uint8_t *salt, size_t salt_len, int previous_fd, uint64_t previous_base, uint64_t previous_size, uint64_t previous_leaves, uint32_t threads)',
  );
  const add = library.func(
    'int mb_assembly_add(uint64_t handle, const uint8_t *blob, size_t blob_len, const uint32_t *records, size_t record_words)',
  );
  return {
    async assemble(image, target, options = {}) {
      const files: NativeFile[] = [];
      const { size, blockSize, sharedSize } = image;
      await runAssembly(library, image, target, options, {
        start(hashBlockSize, salt) {
          const missing = bytesPerSegment(image);
          const previous = previousBlocks(image, hashBlockSize > 0);
          return startAssembly(
            target.fd,
            target.offset,
            size,
            sharedSize,
            blockSize,
            missing,
            missing.length,
            hashBlockSize,
            salt,
            salt.length,
            previous.fd,
            previous.offset,
            previous.size,
            previous.digests,
            threads,
          );
        },
        feed: (handle) => addPieces(add, handle, image, files, options.signal),
        file(number) {
          const { path = '', content } = files[number] ?? {};
          const diskPath = content?.slice?.path ?? content?.file?.path;
          return { path, diskPath, size: content?.size ?? 0 };
        },
      });
    },
  };
}

/** How many bytes the pieces put into each segment of the shared blocks. */
function bytesPerSegment(image: ImagePieces): Uint32Array {
  const missing = new Uint32Array(divCeil(image.sharedSize, SEGMENT_SIZE));
  for (const { offset, size } of image.sharedRanges()) {
    for (let from = offset; from < offset + size;) {
      const segment = Math.floor(from / SEGMENT_SIZE);
      const to = Math.min((segment + 1) * SEGMENT_SIZE, offset + size);
      missing[segment] = (missing[segment] ?? 0) + to - from;
      from = to;
    }
  }
  return missing;
}

/** The previous image as the library takes it: without bytes when there is none. */
function previousBlocks(
  { previous }: ImagePieces,
  isHashed: boolean,
): {
  readonly fd: number;
  readonly offset: number;
  readonly size: number;
  readonly digests: number;
} {
  if (previous === undefined) return { fd: -1, offset: 0, size: 0, digests: 0 };
  const { source, digests } = previous;
  if (source.file === undefined || (isHashed && digests === undefined)) {
    throw new RangeError('Blocks are copied from a file, together with their digests');
  }
  return { ...source.file, size: source.size, digests: digests ?? 0 };
}

/** @param files Gets each file, by the number it has for the library. */
async function addPieces(
  add: NativeFunction,
  handle: number,
  image: ImagePieces,
  files: NativeFile[],
  signal: AbortSignal | undefined,
): Promise<void> {
  // One batch is filled while the library takes the other.
  let batch = createBatch();
  let spare = createBatch();
  let sending: Promise<void> = Promise.resolve();
  const send = async (full: Batch): Promise<void> => {
    const { blob, words } = full.contents();
    const result = await callAsync(add, handle, blob, blob.length, words, words.length);
    if (result !== 0) throw new RangeError(`The native library refused pieces: ${String(result)}`);
    full.clear();
  };
  const next = async (): Promise<void> => {
    await sending;
    signal?.throwIfAborted();
    sending = send(batch);
    // It is awaited before the next one; until then a failure must not count as unhandled.
    sending.catch(() => undefined);
    [batch, spare] = [spare, batch];
  };
  const put = async (piece: ImagePiece): Promise<void> => {
    if (!batch.put(piece, files.length)) {
      await next();
      if (!batch.put(piece, files.length)) throw new RangeError('A piece is larger than a batch');
    }
  };

  for (const piece of image.pieces()) {
    if (piece.kind !== 'content') {
      await put(piece);
    } else if (piece.content.file === undefined && piece.content.slice === undefined) {
      for await (const part of streamPiece(piece, image.blockSize)) await put(part);
    } else {
      await put(piece);
      files.push(piece);
    }
  }
  await next();
  await sending;
}

/**
 * Putting images together with the native library: its threads open, read, hash and write while this
 * one encodes. The twin is `src/formats/erofs/writer.ts`; both make the same bytes.
 */

import { readSync, writeSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { divCeil } from '../core/math.ts';
import { sizeProblem, streamPiece } from '../formats/erofs/content.ts';
import type {
  BlockDigests,
  ImageAssembler,
  ImagePiece,
  ImagePieces,
  ImageTarget,
} from '../io/image-pieces.ts';
import { systemError } from '../io/system-error.ts';
import { nodeBlockHasher } from '../verity/block-hasher.ts';
import { createBatch, type Batch } from './assembly-batch.ts';
import { callAsync, type NativeFunction, type NativeLibrary } from './library.ts';

/** `SEGMENT_SIZE` of the library. */
const SEGMENT_SIZE = 1 << 20;
const MAX_THREADS = 16;
const DIGEST_SIZE = 32;
const PROGRESS_INTERVAL = 100;

/** `Failure` of the library. */
const FAILURE = { cancelled: 1, read: 2, size: 3, write: 4 } as const;

type NativeFile = Extract<ImagePiece, { kind: 'content' }>;

interface Functions {
  readonly start: NativeFunction;
  readonly add: NativeFunction;
  readonly progress: NativeFunction;
  readonly cancel: NativeFunction;
  readonly finish: NativeFunction;
}

const functionsOf = (library: NativeLibrary): Functions => ({
  start: library.func(
    'int64_t mb_assembly_start(int fd, uint64_t base, uint64_t size, uint64_t shared_size, uint32_t block_size, const uint32_t *missing, size_t segments, uint32_t hash_block_size, const uint8_t *salt, size_t salt_len, uint32_t threads)',
  ),
  add: library.func(
    'int mb_assembly_add(uint64_t handle, const uint8_t *blob, size_t blob_len, const uint32_t *records, size_t record_words)',
  ),
  progress: library.func('uint64_t mb_assembly_progress(uint64_t handle)'),
  cancel: library.func('void mb_assembly_cancel(uint64_t handle)'),
  finish: library.func(
    'int mb_assembly_finish(uint64_t handle, _Out_ uint8_t *leaves, size_t leaves_len, _Out_ uint64_t *failure)',
  ),
});

/** @param threads How many of the library's; default one for each processor. */
export function createNativeAssembler(
  library: NativeLibrary,
  threads: number = Math.min(availableParallelism(), MAX_THREADS),
): ImageAssembler {
  const functions = functionsOf(library);
  return {
    async assemble(image, target, options = {}) {
      const { hashing, signal, onProgress } = options;
      signal?.throwIfAborted();
      const handle = start(functions, image, target, hashing, threads);
      const files: NativeFile[] = [];
      const cancel = (): unknown => functions.cancel(handle);
      signal?.addEventListener('abort', cancel);
      const timer =
        onProgress &&
        setInterval(() => onProgress(Number(functions.progress(handle))), PROGRESS_INTERVAL);
      let thrown: unknown;
      try {
        await addPieces(functions.add, handle, image, files, signal);
      } catch (error) {
        thrown = error ?? new TypeError('Nothing was thrown');
        cancel();
      }
      const failure = new BigUint64Array(4);
      const digests = hashing?.digests ?? new Uint8Array(0);
      const result = await callAsync(functions.finish, handle, digests, digests.length, failure);
      clearInterval(timer);
      signal?.removeEventListener('abort', cancel);
      if (thrown !== undefined) throw thrown;
      signal?.throwIfAborted();
      if (result !== 0) throw failureError([...failure].map(Number), files, result);
      await sealFirstBlock(image, target, hashing);
      onProgress?.(image.pieceSize);
    },
  };
}

function start(
  functions: Functions,
  image: ImagePieces,
  target: ImageTarget,
  hashing: BlockDigests | undefined,
  threads: number,
): number {
  const { size, blockSize, sharedSize } = image;
  if (hashing !== undefined) {
    const blocks = size / hashing.blockSize;
    if (blockSize % hashing.blockSize !== 0 || hashing.digests.length !== blocks * DIGEST_SIZE) {
      throw new RangeError(
        `Cannot hash ${size} bytes in blocks of ${hashing.blockSize} into ${hashing.digests.length} bytes`,
      );
    }
  }
  const missing = bytesPerSegment(image);
  const salt = hashing?.salt ?? new Uint8Array(0);
  const handle = Number(
    functions.start(
      target.fd,
      target.offset,
      size,
      sharedSize,
      blockSize,
      missing,
      missing.length,
      hashing?.blockSize ?? 0,
      salt,
      salt.length,
      threads,
    ),
  );
  if (handle > 0) return handle;
  throw new RangeError(`The native library refused an image of ${size} bytes: ${handle}`);
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
    if (piece.kind === 'bytes') {
      await put(piece);
    } else if (piece.content.file === undefined) {
      for await (const part of streamPiece(piece, image.blockSize)) await put(part);
    } else {
      await put(piece);
      files.push(piece);
    }
  }
  await next();
  await sending;
}

/** The checksum of the first block needs all of it: it is read back, changed and hashed anew. */
async function sealFirstBlock(
  image: ImagePieces,
  { fd, offset }: ImageTarget,
  hashing: BlockDigests | undefined,
): Promise<void> {
  const block = new Uint8Array(image.blockSize);
  if (readSync(fd, block, 0, block.length, offset) !== block.length) {
    throw new RangeError('The image that was just written is shorter than one block');
  }
  image.seal(block);
  if (writeSync(fd, block, 0, block.length, offset) !== block.length) {
    throw new RangeError('The first block was written in part only');
  }
  if (hashing === undefined) return;
  const { blockSize, salt, digests } = hashing;
  await nodeBlockHasher.hashBlocks({ algorithm: 'sha256', blockSize, salt }, block, digests);
}

function failureError(
  [kind = 0, file = 0, errno = 0, found = 0]: readonly number[],
  files: readonly NativeFile[],
  result: unknown,
): Error {
  const { path = '', content } = files[file] ?? {};
  switch (result === 1 ? kind : 0) {
    case FAILURE.read:
      return systemError(errno, 'read', content?.file?.path);
    case FAILURE.size:
      return sizeProblem(path, content?.size ?? 0, found);
    case FAILURE.write:
      return systemError(errno, 'write');
    default:
      return new TypeError(`The native library could not put the image together (${kind})`);
  }
}

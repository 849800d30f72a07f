/** An assembly of the native library from its start to its end, whoever makes the pieces. */

import { readSync, writeSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { sizeProblem } from '../formats/erofs/content.ts';
import type {
  AssembleOptions,
  BlockDigests,
  ImagePieces,
  ImageTarget,
} from '../io/image-pieces.ts';
import { systemError } from '../io/system-error.ts';
import { nodeBlockHasher } from '../verity/block-hasher.ts';
import { callAsync, type NativeLibrary } from './library.ts';

const MAX_THREADS = 16;
const DIGEST_SIZE = 32;
const PROGRESS_INTERVAL = 100;

/** `Failure` of the library. */
const FAILURE = { cancelled: 1, read: 2, size: 3, write: 4, previous: 6 } as const;

/** How many of the library's threads put an image together if nobody says. */
export const assemblyThreads = (): number => Math.min(availableParallelism(), MAX_THREADS);

type AssemblyForm = Pick<ImagePieces, 'size' | 'blockSize' | 'pieceSize' | 'seal'>;

interface AssemblyWork {
  /** Starts the threads; what is not positive is a refusal. `hashBlockSize` 0 is for no hashing. */
  start(hashBlockSize: number, salt: Uint8Array): unknown;
  /** Hands over all pieces. */
  feed(handle: number): Promise<void>;
  /** A file by its number: how errors name it, where it is, its planned size in bytes. */
  readonly file: (number: number) => {
    readonly path: string;
    readonly diskPath: string | undefined;
    readonly size: number;
  };
}

/** @throws as `ImageAssembler.assemble` does. */
export async function runAssembly(
  library: NativeLibrary,
  image: AssemblyForm,
  target: ImageTarget,
  options: AssembleOptions & { readonly hashing?: BlockDigests | undefined },
  work: AssemblyWork,
): Promise<void> {
  const { hashing, signal, onProgress } = options;
  const progress = library.func('uint64_t mb_assembly_progress(uint64_t handle)');
  const cancelAssembly = library.func('void mb_assembly_cancel(uint64_t handle)');
  const finish = library.func(
    'int mb_assembly_finish(uint64_t handle, _Out_ uint8_t *leaves, size_t leaves_len, _Out_ uint64_t *failure)',
  );
  signal?.throwIfAborted();
  checkDigests(image, hashing);
  const handle = Number(work.start(hashing?.blockSize ?? 0, hashing?.salt ?? new Uint8Array(0)));
  if (!(handle > 0)) {
    throw new RangeError(`The native library refused an image of ${image.size} bytes: ${handle}`);
  }
  const cancel = (): unknown => cancelAssembly(handle);
  signal?.addEventListener('abort', cancel);
  const timer =
    onProgress &&
    setInterval(
      () => onProgress(Math.min(Number(progress(handle)), image.pieceSize)),
      PROGRESS_INTERVAL,
    );
  let thrown: unknown;
  try {
    await work.feed(handle);
  } catch (error) {
    thrown = error ?? new TypeError('Nothing was thrown');
    cancel();
  }
  const failure = new BigUint64Array(4);
  const digests = hashing?.digests ?? new Uint8Array(0);
  const result = await callAsync(finish, handle, digests, digests.length, failure);
  clearInterval(timer);
  signal?.removeEventListener('abort', cancel);
  if (thrown !== undefined) throw thrown;
  signal?.throwIfAborted();
  if (result !== 0) throw failureError([...failure].map(Number), work.file, result);
  await sealFirstBlock(image, target, hashing);
  onProgress?.(image.pieceSize);
}

function checkDigests({ size, blockSize }: AssemblyForm, hashing: BlockDigests | undefined): void {
  if (hashing === undefined) return;
  const blocks = size / hashing.blockSize;
  if (blockSize % hashing.blockSize !== 0 || hashing.digests.length !== blocks * DIGEST_SIZE) {
    throw new RangeError(
      `Cannot hash ${size} bytes in blocks of ${hashing.blockSize} into ${hashing.digests.length} bytes`,
    );
  }
}

/** The checksum of the first block needs all of it: it is read back, changed and hashed anew. */
async function sealFirstBlock(
  image: AssemblyForm,
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
  fileOf: AssemblyWork['file'],
  result: unknown,
): Error {
  switch (result === 1 ? kind : 0) {
    case FAILURE.read:
      return systemError(errno, 'read', fileOf(file).diskPath);
    case FAILURE.size: {
      const { path, size } = fileOf(file);
      return sizeProblem(path, size, found);
    }
    case FAILURE.write:
      return systemError(errno, 'write');
    case FAILURE.previous:
      return errno === 0
        ? new RangeError('The previous image ends before its last block')
        : systemError(errno, 'read');
    default:
      return new TypeError(`The native library could not put the image together (${kind})`);
  }
}

/** Whole sections of APKs with the native library: copied and hashed on all cores, from file to file. */

import { availableParallelism } from 'node:os';
import { getSystemErrorMap } from 'node:util';
import type { SectionHasher, SectionPass, SectionPiece } from '../formats/apk/section-hasher.ts';
import type { ImageTarget } from '../io/image-pieces.ts';
import type { BlockHasher } from '../verity/block-hasher.ts';
import { createNativeBlockHasher } from './block-hasher.ts';
import { checkFileRange, checkRead } from './file.ts';
import { callAsync, type NativeLibrary } from './library.ts';
import { sha256EngineNumber, type Sha256Engine } from './sha256-engine.ts';

const CHUNK_SIZE = 1 << 20;
const BLOCK_SIZE = 4096;
/** The library's own threads: more only wait for memory. */
const MAX_THREADS = 16;
/** The system's `errno` on writing is this less the result. */
const ERROR_WRITE = -100_000;
const NO_BYTES = new Uint8Array(0);

/** Bytes of digests for each unit of a section. */
const PLACES = [
  ['sha256', CHUNK_SIZE, 32],
  ['sha512', CHUNK_SIZE, 64],
  ['leaves', BLOCK_SIZE, 32],
  ['saltedLeaves', BLOCK_SIZE, 32],
] as const;

/**
 * Hashes APKs with the library; what it does is done without it by `runEntriesPass` over streams.
 *
 * @param threads How many at most. Default what the machine has, within reason.
 * @param engine For tests: the instructions to use instead of the best ones.
 * @throws {RangeError} when this processor has not the instructions asked for.
 */
export function createNativeApkHasher(
  library: NativeLibrary,
  threads: number = availableParallelism(),
  engine: Sha256Engine = 'best',
): BlockHasher & SectionHasher {
  const run = library.func(
    'int mb_apk_section(uint32_t engine, uint32_t threads, int input_fd, const uint64_t *pieces, size_t piece_count, const uint8_t *own, size_t own_len, uint64_t size, int output_fd, uint64_t output_offset, _Out_ uint8_t *sha256, size_t sha256_len, _Out_ uint8_t *sha512, size_t sha512_len, _Out_ uint8_t *leaves, size_t leaves_len, _Out_ uint8_t *salted_leaves, size_t salted_leaves_len)',
  );
  const instructions = sha256EngineNumber(library, engine);
  return {
    ...createNativeBlockHasher(library, threads, engine),
    async hashSection(pass) {
      checkSizes(pass);
      const { input, output, size } = pass;
      const { numbers, own } = encodePieces(pass.pieces, input);
      const places = PLACES.map(([name]) => pass[name] ?? NO_BYTES);
      const result = await callAsync(
        run,
        instructions,
        Math.min(threads, MAX_THREADS),
        input.fd,
        numbers,
        numbers.length / 3,
        own,
        own.length,
        size,
        output?.fd ?? -1,
        output?.offset ?? 0,
        ...places.flatMap((place) => [place, place.length]),
      );
      checkWritten(result);
      checkRead(result, { offset: input.offset, length: size });
    },
  };
}

/** Three numbers for each piece: where it is, its offset there, and its size. */
function encodePieces(
  pieces: readonly SectionPiece[],
  input: ImageTarget,
): { readonly numbers: BigUint64Array; readonly own: Uint8Array } {
  const numbers = new BigUint64Array(pieces.length * 3);
  const own: Uint8Array[] = [];
  let ownSize = 0;
  for (const [index, piece] of pieces.entries()) {
    if (piece.kind === 'input') {
      const offset = input.offset + piece.offset;
      checkFileRange({ fd: input.fd, offset, length: piece.size });
      numbers.set([0n, BigInt(offset), BigInt(piece.size)], index * 3);
    } else {
      numbers.set([1n, BigInt(ownSize), BigInt(piece.bytes.length)], index * 3);
      own.push(piece.bytes);
      ownSize += piece.bytes.length;
    }
  }
  return { numbers, own: Buffer.concat(own) };
}

function checkSizes(pass: SectionPass): void {
  const { input, output, size } = pass;
  checkFileRange({ ...input, length: size });
  if (output) checkFileRange({ ...output, length: size });
  for (const [name, unit, digest] of PLACES) {
    const place = pass[name];
    const expected = Math.ceil(size / unit) * digest;
    if (place !== undefined && place.length !== expected) {
      throw new RangeError(`${name} has ${place.length} bytes for ${expected} of digests`);
    }
  }
}

/** @throws an error like those of node:fs when the system could not write. */
function checkWritten(result: unknown): void {
  if (typeof result !== 'number' || result > ERROR_WRITE) return;
  const errno = result - ERROR_WRITE;
  const [code, message] = getSystemErrorMap().get(errno) ?? [`E${-errno}`, 'unknown error'];
  throw Object.assign(new Error(`${code}: ${message}, write`), { errno, code, syscall: 'write' });
}

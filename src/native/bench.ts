/** How fast this machine can be at best: what measurements are compared with. */

import { callAsync, type NativeLibrary } from './library.ts';
import { sha256EngineNumber, type Sha256Engine } from './sha256-engine.ts';

/**
 * Bytes per second of SHA-256 over blocks of 4096 in memory, on so many threads for so many
 * milliseconds (and a warm-up as long): the limit of whatever hashes.
 *
 * @throws {RangeError} when this processor has not the instructions asked for.
 */
export async function measureSha256(
  library: NativeLibrary,
  threads: number,
  milliseconds: number,
  engine: Sha256Engine = 'best',
): Promise<number> {
  const measure = library.func(
    'double mb_bench_sha256(uint32_t engine, uint32_t threads, uint32_t milliseconds)',
  );
  const instructions = sha256EngineNumber(library, engine);
  return Number(await callAsync(measure, instructions, threads, milliseconds));
}

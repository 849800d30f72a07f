/** The ways in which the native library hashes: which instructions of the processor it uses. */

import type { NativeLibrary } from './library.ts';

/** As the C interface numbers them. */
const engines = {
  best: 0,
  portable: 1,
  avx2: 2,
  'sha-ni': 3,
  armv8: 4,
  'sha-ni-without-avx': 5,
} as const;

export type Sha256Engine = keyof typeof engines;

/** The instructions that the library chose for this processor. */
export function bestSha256Engine(library: NativeLibrary): Sha256Engine {
  const number = sha256EngineNumber(library, 'best');
  const names = Object.keys(engines) as Sha256Engine[];
  return names.find((name) => engines[name] === number) ?? 'portable';
}

/**
 * The number of an engine, of the best one when asked so.
 *
 * @throws {RangeError} when this processor has not the instructions.
 */
export function sha256EngineNumber(library: NativeLibrary, engine: Sha256Engine): number {
  const find = library.func('uint32_t mb_sha256_engine(uint32_t engine)');
  const number = find(engines[engine]);
  if (typeof number !== 'number' || number === 0) {
    throw new RangeError(`Cannot hash with ${engine}: this processor has no such instructions`);
  }
  return number;
}

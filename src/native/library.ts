/**
 * The door to the library of `native/`: finding and loading it. What its functions are and which sizes
 * they take is said by the files beside this one, which check every size: the functions take pointers.
 *
 * Nothing needs the library: each of its functions has a twin in TypeScript, or can be done without.
 */

import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { EnvironmentError } from '../core/errors.ts';

/** Raised with the library's own `ABI_VERSION`: another one has other functions. */
const ABI_VERSION = 5;

/** A function of the library, called on this thread or on one of libuv's pool. */
export interface NativeFunction {
  (...args: unknown[]): unknown;
  async(...args: unknown[]): unknown;
}

export interface NativeLibrary {
  /** Where it was found. */
  readonly path: string;
  /** @param prototype Its declaration in C, as `native/src/abi` has it. */
  func(prototype: string): NativeFunction;
}

/** Where `cargo build --release` leaves the library. */
const builtLibrary = fileURLToPath(
  new URL('../../target/release/libmicrobuild_native.so', import.meta.url),
);

/**
 * Loads the library that was built with this package, or the one that the environment names.
 *
 * @param named The value of `MICROBUILD_NATIVE`: a path, or empty to do without.
 * @returns undefined where none was built, or where what was built is of another version.
 * @throws {EnvironmentError} when a library that was asked for by name cannot be used.
 */
export async function loadNativeLibrary(
  named: string | undefined = process.env['MICROBUILD_NATIVE'],
): Promise<NativeLibrary | undefined> {
  if (named === '') return undefined;
  if (named === undefined) {
    if (!existsSync(builtLibrary)) return undefined;
    try {
      return await open(builtLibrary);
    } catch {
      return undefined; // built for another machine or from other sources: the twins do its work
    }
  }
  try {
    return await open(named);
  } catch (cause) {
    throw new EnvironmentError('native', `Cannot load the native library ${named}`, {
      cause,
      hint: 'Build it with `cargo build --release -p microbuild-native`, or unset MICROBUILD_NATIVE',
    });
  }
}

async function open(path: string): Promise<NativeLibrary> {
  // Only here, as loading koffi costs more than most commands need it for.
  const koffi = await import('koffi');
  const library = koffi.load(path);
  const version: unknown = library.func('uint32_t mb_abi_version(void)')();
  if (version !== ABI_VERSION) {
    throw new RangeError(`The library has ABI version ${String(version)}, expected ${ABI_VERSION}`);
  }
  return { path, func: (prototype) => library.func(prototype) as NativeFunction };
}

/** Runs a function of the library on a thread of libuv's pool. Its buffers are the library's until then. */
export function callAsync(called: NativeFunction, ...args: unknown[]): Promise<unknown> {
  return new Promise((resolve, reject) => {
    called.async(...args, (error: unknown, result: unknown) => {
      if (error instanceof Error) reject(error);
      else resolve(result);
    });
  });
}

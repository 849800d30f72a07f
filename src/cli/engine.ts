/** `--engine`: who hashes trees and computes parity. */

import { availableParallelism } from 'node:os';
import { EnvironmentError } from '../core/errors.ts';
import { createNativeApkHasher } from '../native/apk-hasher.ts';
import { createNativeBlockHasher } from '../native/block-hasher.ts';
import { createNativeFecEncoder } from '../native/fec-encoder.ts';
import { loadNativeLibrary } from '../native/library.ts';
import type { BlockHasher } from '../verity/block-hasher.ts';
import type { FecEncoder } from '../verity/fec-encoder.ts';
import type { ApkHasher } from '../signing/apk/content-digests.ts';
import { createWorkerBlockHasher } from '../verity/worker-hasher.ts';

export const ENGINES = ['native', 'js', 'system'] as const;
export type EngineName = (typeof ENGINES)[number];

export const engineOption = {
  type: 'string',
  choices: ENGINES,
  describe:
    'Who hashes: the native library, JavaScript on all cores, or the system’s own library as an independent peer; default: native where it is built, else js',
} as const;

export interface Engine {
  readonly name: EngineName;
  /** Not used by `system`, whose library does everything itself. */
  readonly hasher: BlockHasher;
  /** Undefined for the one in JavaScript. */
  readonly fecEncoder: FecEncoder | undefined;
  close(): Promise<void>;
}

/**
 * @param name Undefined for the best there is.
 * @throws {EnvironmentError} when the native library was asked for and there is none.
 */
export async function openEngine(name: string | undefined): Promise<Engine> {
  const library = name === 'js' ? undefined : await loadNativeLibrary();
  if (library !== undefined) {
    return {
      name: name === 'system' ? 'system' : 'native',
      hasher: createNativeBlockHasher(library),
      fecEncoder: createNativeFecEncoder(library),
      close: () => Promise.resolve(),
    };
  }
  if (name === 'native') {
    throw new EnvironmentError('native', 'Cannot use the native engine: the library is not built', {
      hint: 'Build it with `cargo build --release -p microbuild-native`, or use --engine js',
    });
  }
  const hasher = createWorkerBlockHasher(availableParallelism());
  return {
    name: name === 'system' ? 'system' : 'js',
    hasher,
    fecEncoder: undefined,
    close: () => hasher.close(),
  };
}

/** What hashes images and APKs fastest here; undefined where the native library is not built. */
export async function bundleHasher(): Promise<ApkHasher | undefined> {
  const library = await loadNativeLibrary();
  return library && createNativeApkHasher(library);
}

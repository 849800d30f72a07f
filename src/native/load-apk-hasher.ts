/** The native hasher of APKs, where it pays. */

import type { SectionHasher } from '../formats/apk/section-hasher.ts';
import type { BlockHasher } from '../verity/block-hasher.ts';

/** Loading the library takes longer than hashing less than this in Node. */
const MIN_SIZE = 12 << 20;

/**
 * @param size Of the APK, in bytes.
 * @returns undefined for a small one, and where there is no library: node:crypto does it.
 */
export async function loadApkHasher(
  size: number,
): Promise<(BlockHasher & SectionHasher) | undefined> {
  if (size < MIN_SIZE) return undefined;
  const { loadNativeLibrary } = await import('./library.ts');
  const library = await loadNativeLibrary();
  if (library === undefined) return undefined;
  const { createNativeApkHasher } = await import('./apk-hasher.ts');
  return createNativeApkHasher(library);
}

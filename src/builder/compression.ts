/** The compressor for a file system: the native one where the library is there, else its twin. */

import type { ClusterCompressor } from '../compression/cluster-compressor.ts';
import type { NativeLibrary } from '../native/library.ts';

/**
 * @param level Of lz4hc, deflate and zstd; lz4 has none.
 * @throws {RangeError} when there is no such level.
 */
export async function createCompressor(
  algorithm: ClusterCompressor['algorithm'],
  level: number,
  library: NativeLibrary | undefined,
): Promise<ClusterCompressor> {
  // Loaded when wanted: most images are not compressed.
  if (library !== undefined) {
    const { createNativeClusterCompressor } = await import('../native/clusters.ts');
    return createNativeClusterCompressor(library, algorithm, algorithm === 'lz4' ? 0 : level);
  }
  switch (algorithm) {
    case 'lz4':
    case 'lz4hc': {
      const { createLz4Compressor } = await import('../compression/lz4/compressor.ts');
      return createLz4Compressor(algorithm === 'lz4' ? {} : { level });
    }
    case 'deflate': {
      const { createDeflateCompressor } = await import('../compression/deflate/compressor.ts');
      return createDeflateCompressor(level);
    }
    case 'zstd': {
      const { createZstdCompressor } = await import('../compression/zstd/compressor.ts');
      return createZstdCompressor(level);
    }
    default:
      return algorithm satisfies never;
  }
}

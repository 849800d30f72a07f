/**
 * The records of compressed data: the header that stands behind an inode, and its index.
 *
 * @see fs/erofs/erofs_fs.h of Linux, from `Z_EROFS_COMPRESSION_LZ4` on
 */

import { le, struct, u8 } from '../struct.ts';

/**
 * Its first four bytes are two numbers, `h_reserved1` and `h_idata_size`, or one, the place of the
 * file's tail in the packed inode; all eight are one when the whole file is there.
 */
export const MapHeader = struct('z_erofs_map_header', 8, {
  h_fragmentoff: le.u32,
  h_advise: le.u16,
  h_algorithmtype: u8,
  h_clusterbits: u8,
});
/** Of a full index; `di_u` is a block address or, of clusters where nothing starts, two distances. */
export const LclusterIndex = struct('z_erofs_lcluster_index', 8, {
  di_advise: le.u16,
  di_clusterofs: le.u16,
  di_u: le.u32,
});

/** Of compact indexes: most entries take two bytes. */
export const Z_EROFS_ADVISE_COMPACTED_2B = 0x1;
export const Z_EROFS_ADVISE_BIG_PCLUSTER_1 = 0x2;
export const Z_EROFS_ADVISE_BIG_PCLUSTER_2 = 0x4;
export const Z_EROFS_ADVISE_INLINE_PCLUSTER = 0x8;
/** Plain data starts in its block where it starts in the file's, and goes round. */
export const Z_EROFS_ADVISE_INTERLACED_PCLUSTER = 0x10;
export const Z_EROFS_ADVISE_FRAGMENT_PCLUSTER = 0x20;

/** In `h_clusterbits`: log2 of a logical cluster's blocks, and that the whole file is a fragment. */
export const Z_EROFS_CLUSTERBITS_MASK = 0x7;
export const Z_EROFS_FRAGMENT_INODE = 0x80;

export const Z_EROFS_LCLUSTER_TYPE_PLAIN = 0;
export const Z_EROFS_LCLUSTER_TYPE_HEAD1 = 1;
export const Z_EROFS_LCLUSTER_TYPE_NONHEAD = 2;
export const Z_EROFS_LCLUSTER_TYPE_HEAD2 = 3;
/** In `di_advise`: the data decompresses to more than is used here. */
export const Z_EROFS_LI_PARTIAL_REF = 1 << 15;

/** In a distance: what follows is how many blocks the data takes. */
export const Z_EROFS_LI_D0_CBLKCNT = 1 << 11;
/** The largest physical cluster of any kernel, stored and decompressed. */
export const Z_EROFS_PCLUSTER_MAX_SIZE = 1 << 20;
export const Z_EROFS_PCLUSTER_MAX_DSIZE = 12 << 20;

/** By the number in `h_algorithmtype` and in `available_compr_algs`. */
export const algorithmNames = ['lz4', 'lzma', 'deflate', 'zstd'] as const;
export type AlgorithmName = (typeof algorithmNames)[number];

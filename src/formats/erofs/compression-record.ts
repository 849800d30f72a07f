/**
 * What the superblock tells about a compression algorithm, right behind it: two bytes of length, then
 * that many bytes.
 *
 * @see the `z_erofs_*_cfgs` of fs/erofs/erofs_fs.h of Linux
 */

import type { ClusterCompressor } from '../../compression/cluster-compressor.ts';
import { bytes, le, struct, u8 } from '../struct.ts';

const Lz4Cfgs = struct('z_erofs_lz4_cfgs', 14, {
  max_distance: le.u16,
  max_pclusterblks: le.u16,
  reserved: bytes(10),
});
const DeflateCfgs = struct('z_erofs_deflate_cfgs', 6, { windowbits: u8, reserved: bytes(5) });
const ZstdCfgs = struct('z_erofs_zstd_cfgs', 6, {
  format: u8,
  windowlog: u8,
  reserved: bytes(4),
});

/** Bytes that the longest of them takes. */
export const RECORD_ROOM = 2 + Lz4Cfgs.size;

const LZ4_MAX_DISTANCE = 65535;
const DEFLATE_WINDOW_BITS = 15;
/** log2 of 1 MiB, the most a cluster decodes to, from log2 of the smallest window on. */
const ZSTD_WINDOW_LOG = 20 - 10;

export function compressionRecord(
  algorithm: ClusterCompressor['algorithm'],
  clusterBlocks: number,
): Uint8Array {
  const reserved = new Uint8Array(0);
  const settings = ((): Uint8Array => {
    switch (algorithm) {
      case 'lz4':
      case 'lz4hc':
        return Lz4Cfgs.encode({
          max_distance: LZ4_MAX_DISTANCE,
          max_pclusterblks: clusterBlocks,
          reserved,
        });
      case 'deflate':
        return DeflateCfgs.encode({ windowbits: DEFLATE_WINDOW_BITS, reserved });
      case 'zstd':
        return ZstdCfgs.encode({ format: 0, windowlog: ZSTD_WINDOW_LOG, reserved });
    }
  })();
  const record = new Uint8Array(2 + settings.length);
  record[0] = settings.length;
  record.set(settings, 2);
  return record;
}

/**
 * What the superblock tells about a compression algorithm, right behind it: two bytes of length, then
 * that many bytes.
 *
 * @see the `z_erofs_*_cfgs` of fs/erofs/erofs_fs.h of Linux
 */

import type { ClusterCompressor } from '../../compression/cluster-compressor.ts';
import { alignUp } from '../../core/math.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import { bytes, le, struct, u8 } from '../struct.ts';
import {
  algorithmNames,
  Z_EROFS_PCLUSTER_MAX_SIZE,
  type AlgorithmName,
} from './compressed-layout.ts';
import type { ImageExtent } from './data-extent.ts';
import {
  EROFS_FEATURE_INCOMPAT_COMPR_CFGS,
  EROFS_FEATURE_INCOMPAT_ZERO_PADDING,
  EROFS_FEATURE_INCOMPAT_ZTAILPACKING,
  EROFS_SB_EXTSLOT_SIZE,
  EROFS_SUPER_OFFSET,
  SuperBlock,
  type SuperBlockValues,
} from './layout.ts';
import { bad, type Geometry } from './superblock.ts';

const Lz4Cfgs = struct('z_erofs_lz4_cfgs', 14, {
  max_distance: le.u16,
  max_pclusterblks: le.u16,
  reserved: bytes(10),
});
const LzmaCfgs = struct('z_erofs_lzma_cfgs', 14, {
  dict_size: le.u32,
  format: le.u16,
  reserved: bytes(8),
});
const DeflateCfgs = struct('z_erofs_deflate_cfgs', 6, { windowbits: u8, reserved: bytes(5) });
const ZstdCfgs = struct('z_erofs_zstd_cfgs', 6, {
  format: u8,
  windowlog: u8,
  reserved: bytes(4),
});

const LENGTH_SIZE = 2;
/** Bytes that the longest that is written takes. */
export const RECORD_ROOM = LENGTH_SIZE + Lz4Cfgs.size;

const LZMA_MIN_DICT_SIZE = 4096;
const LZMA_MAX_DICT_SIZE = 8 << 20;
const LZ4_MAX_DISTANCE = 65535;
const DEFLATE_WINDOW_BITS = 15;
/** log2 of 1 MiB, the most a cluster decodes to, from log2 of the smallest window on. */
const ZSTD_WINDOW_LOG = 20 - 10;

function compressionRecord(
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
  const record = new Uint8Array(LENGTH_SIZE + settings.length);
  record[0] = settings.length;
  record.set(settings, LENGTH_SIZE);
  return record;
}

/** What an image of compressed files tells about them. */
export interface CompressionFacts {
  readonly featureIncompat: number;
  /** `available_compr_algs`. */
  readonly algorithms: number;
  /** What stands behind the superblock, if anything does. */
  readonly record: Uint8Array | undefined;
}

/**
 * @param image How many blocks its clusters have at most, whether it has compressed files at all, and
 *   whether data stands behind an index.
 */
export function compressionFacts(
  algorithm: ClusterCompressor['algorithm'],
  image: {
    readonly clusterBlocks: number;
    readonly isCompressed: boolean;
    readonly hasTails: boolean;
  },
): CompressionFacts {
  const { clusterBlocks, isCompressed, hasTails } = image;
  if (!isCompressed) return { featureIncompat: 0, algorithms: 0, record: undefined };
  const number = algorithmNumber(algorithm);
  // The first kernels had LZ4 in clusters of a block, and no record.
  const hasRecord = clusterBlocks > 1 || number > 0;
  return {
    featureIncompat:
      EROFS_FEATURE_INCOMPAT_ZERO_PADDING |
      (hasRecord ? EROFS_FEATURE_INCOMPAT_COMPR_CFGS : 0) |
      (hasTails ? EROFS_FEATURE_INCOMPAT_ZTAILPACKING : 0),
    algorithms: hasRecord ? 1 << number : 0,
    record: hasRecord ? compressionRecord(algorithm, clusterBlocks) : undefined,
  };
}

/** The number of the format for an algorithm. */
export const algorithmNumber = (algorithm: ClusterCompressor['algorithm']): number =>
  algorithmNames.indexOf(algorithm === 'lz4hc' ? 'lz4' : algorithm);

/**
 * Where an image has the records, in the order of the algorithms; none where it has no list of these.
 *
 * @throws {FormatError} when one leaves the image, or tells what no kernel takes; `unsupported` on
 *   algorithms that are not known.
 */
export async function* compressionRecords(
  source: ByteSource,
  superblock: SuperBlockValues,
  { blockSize, imageSize }: Geometry,
): AsyncGenerator<ImageExtent> {
  if ((superblock.feature_incompat & EROFS_FEATURE_INCOMPAT_COMPR_CFGS) === 0) return;
  const { available_compr_algs, sb_extslots } = superblock;
  const field = 'available_compr_algs';
  if (available_compr_algs >= 1 << algorithmNames.length) {
    const problem = `its compression algorithms are 0x${available_compr_algs.toString(16)}`;
    throw bad('unsupported', problem, { offset: EROFS_SUPER_OFFSET + 84, field });
  }
  let at = EROFS_SUPER_OFFSET + SuperBlock.size + sb_extslots * EROFS_SB_EXTSLOT_SIZE;
  for (const [number, name] of algorithmNames.entries()) {
    if ((available_compr_algs & (1 << number)) === 0) continue;
    const offset = alignUp(at, 4);
    const read = async (start: number, length: number): Promise<Uint8Array> => {
      if (start + length <= imageSize) return source.read(start, length);
      const problem = 'the settings of a compression algorithm leave the image';
      throw bad('out-of-range', problem, { offset, field });
    };
    const head = await read(offset, LENGTH_SIZE);
    const size = (head[0] ?? 0) | ((head[1] ?? 0) << 8);
    const settings = await read(offset + LENGTH_SIZE, size);
    const wrong = settingsProblem(name, settings, blockSize);
    if (wrong !== undefined) {
      throw bad('bad-value', `the settings of ${name} have ${wrong}`, {
        offset: offset + LENGTH_SIZE,
        field: `z_erofs_${name}_cfgs`,
      });
    }
    at = offset + LENGTH_SIZE + size;
    yield { offset, size: at - offset };
  }
}

/** Why a kernel would not take settings. */
function settingsProblem(
  name: AlgorithmName,
  settings: Uint8Array,
  blockSize: number,
): string | undefined {
  const { size } = { lz4: Lz4Cfgs, lzma: LzmaCfgs, deflate: DeflateCfgs, zstd: ZstdCfgs }[name];
  if (settings.length < size) return `${settings.length} bytes, not ${size}`;
  switch (name) {
    case 'lz4': {
      const { max_pclusterblks } = Lz4Cfgs.decode(settings);
      return max_pclusterblks * blockSize > Z_EROFS_PCLUSTER_MAX_SIZE
        ? `clusters of ${max_pclusterblks} blocks`
        : undefined;
    }
    case 'lzma': {
      const { dict_size, format } = LzmaCfgs.decode(settings);
      if (format !== 0) return `format ${format}`;
      return dict_size < LZMA_MIN_DICT_SIZE || dict_size > LZMA_MAX_DICT_SIZE
        ? `a dictionary of ${dict_size} bytes`
        : undefined;
    }
    case 'deflate': {
      const { windowbits } = DeflateCfgs.decode(settings);
      return windowbits > DEFLATE_WINDOW_BITS ? `windows of 2^${windowbits} bytes` : undefined;
    }
    case 'zstd': {
      const { format, windowlog } = ZstdCfgs.decode(settings);
      if (format !== 0) return `format ${format}`;
      return windowlog > ZSTD_WINDOW_LOG ? `windows of 2^${windowlog + 10} bytes` : undefined;
    }
    default:
      return name satisfies never;
  }
}

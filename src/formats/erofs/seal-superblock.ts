/** The superblock, which sums up an image: it is written last. */

import { crc32c } from './crc32c.ts';
import {
  checksummedSize,
  EROFS_FEATURE_COMPAT_MTIME,
  EROFS_FEATURE_COMPAT_SB_CHKSUM,
  EROFS_SUPER_MAGIC_V1,
  EROFS_SUPER_OFFSET,
  SuperBlock,
} from './layout.ts';

/** What the superblock tells. */
export interface SuperblockFacts {
  /** Seconds since 1970. */
  readonly buildTime: number;
  readonly uuid: Uint8Array;
  readonly volumeName: Uint8Array;
  readonly blockSize: number;
  /** Size of the image, in blocks. */
  readonly blocks: number;
  readonly featureIncompat: number;
  /** `available_compr_algs`. */
  readonly algorithms?: number;
  readonly inodeCount: number;
  readonly rootNid: number;
  readonly packedNid?: number | undefined;
}

/** Puts the superblock into the otherwise finished start of the image and seals it by its checksum. */
export function sealSuperblock(facts: SuperblockFacts, start: Uint8Array): void {
  const view = new DataView(start.buffer, start.byteOffset, start.length);
  const encode = (checksum: number): void => {
    SuperBlock.encodeInto(view, EROFS_SUPER_OFFSET, {
      magic: EROFS_SUPER_MAGIC_V1,
      checksum,
      feature_compat: EROFS_FEATURE_COMPAT_SB_CHKSUM | EROFS_FEATURE_COMPAT_MTIME,
      blkszbits: Math.log2(facts.blockSize),
      sb_extslots: 0,
      root_nid: facts.rootNid,
      inos: BigInt(facts.inodeCount),
      build_time: BigInt.asUintN(64, BigInt(facts.buildTime)),
      build_time_nsec: 0,
      blocks: facts.blocks,
      meta_blkaddr: 0,
      xattr_blkaddr: 0,
      uuid: facts.uuid,
      volume_name: facts.volumeName,
      feature_incompat: facts.featureIncompat,
      available_compr_algs: facts.algorithms ?? 0,
      extra_devices: 0,
      devt_slotoff: 0,
      dirblkbits: 0,
      xattr_prefix_count: 0,
      xattr_prefix_start: 0,
      packed_nid: BigInt(facts.packedNid ?? 0),
      xattr_filter_reserved: 0,
      reserved2: new Uint8Array(23),
    });
  };
  encode(0);
  const covered = checksummedSize(facts.blockSize);
  encode(crc32c(start.subarray(EROFS_SUPER_OFFSET, EROFS_SUPER_OFFSET + covered)));
}

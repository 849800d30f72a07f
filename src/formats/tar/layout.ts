/**
 * The header of a tar entry, and how numbers stand in it.
 *
 * @see POSIX.1-2017, pax, "ustar Interchange Format"
 */

import { bytes, struct } from '../struct.ts';

/** Headers stand at, and data is padded to, multiples of this. In bytes. */
export const TAR_BLOCK = 512;

/** `struct posix_header`. */
export const posixHeader = struct('posix_header', 512, {
  name: bytes(100),
  mode: bytes(8),
  uid: bytes(8),
  gid: bytes(8),
  size: bytes(12),
  mtime: bytes(12),
  chksum: bytes(8),
  typeflag: bytes(1),
  linkname: bytes(100),
  magic_version: bytes(8),
  uname: bytes(32),
  gname: bytes(32),
  devmajor: bytes(8),
  devminor: bytes(8),
  prefix: bytes(155),
  pad: bytes(12),
});

const CHECKSUM_OFFSET = 148;
const CHECKSUM_END = 156;

/** The sum of all bytes of a header, those of its checksum taken for spaces. */
export function headerChecksum(block: Uint8Array): number {
  let sum = 0;
  for (let at = 0; at < block.length; at++) {
    sum += at >= CHECKSUM_OFFSET && at < CHECKSUM_END ? 0x20 : (block[at] ?? 0);
  }
  return sum;
}

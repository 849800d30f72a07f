/** What a bootconfig pins, read by the rules of the guest's init (docs/guest-interface.md, "Bootconfig"). */

import { fromHex } from '../core/digest.ts';
import { FormatError } from '../core/errors.ts';
import { AVB_VBMETA_MAX_SIZE, vbmetaHeader } from '../formats/avb/layout.ts';
import type { BootconfigEntry } from '../formats/boot-image/bootconfig.ts';

/** In front of a partition's name. */
const MOUNT_KEY = 'microbuild.mount.';
const CERTIFICATES_KEY = 'microbuild.payload.certificates';

export interface BootconfigPins {
  /** SHA-256 of the first `vbmetaSize` bytes of `vbmeta_a`. */
  readonly vbmetaDigest: Uint8Array;
  readonly vbmetaSize: number;
  /** Where partitions beside the system are mounted, by name. */
  readonly mounts: ReadonlyMap<string, string>;
  /** SHA-512 of the certificates that payloads may be signed by, in hex. */
  readonly certificates: readonly string[];
}

/** @throws {FormatError} with the key as its field. */
export function readBootconfigPins(bootconfig: readonly BootconfigEntry[]): BootconfigPins {
  const value = (key: string): string => {
    const values = bootconfig.find((entry) => entry.key === key)?.values;
    const [only] = values ?? [];
    return values?.length === 1 && only !== undefined ? only : refuse(key, 'is missing');
  };
  const matching = (key: string, pattern: RegExp): string => {
    const text = value(key);
    return pattern.test(text) ? text : refuse(key, 'has an impossible value');
  };
  matching('androidboot.vbmeta.hash_alg', /^sha256$/);
  // Says how the disks are mapped; a guest has no other way.
  matching('androidboot.veritymode', /^enforcing$/);
  const size = 'androidboot.vbmeta.size';
  const vbmetaSize = Number(matching(size, /^[0-9]{1,9}$/));
  if (vbmetaSize < vbmetaHeader.size || vbmetaSize > AVB_VBMETA_MAX_SIZE) {
    refuse(size, 'has an impossible value');
  }
  const mounts = bootconfig.map(({ key }) => key).filter((key) => key.startsWith(MOUNT_KEY));
  return {
    vbmetaDigest: fromHex(matching('androidboot.vbmeta.digest', /^[0-9a-f]{64}$/)),
    vbmetaSize,
    mounts: new Map(mounts.map((key) => [key.slice(MOUNT_KEY.length), value(key)])),
    certificates: bootconfig.find(({ key }) => key === CERTIFICATES_KEY)?.values ?? [],
  };
}

function refuse(field: string, why: string): never {
  const message = `Cannot use bootconfig: ${field} ${why}`;
  throw new FormatError('bootconfig', 'bad-value', message, { field });
}

/** The vbmeta image that a verified initrd pins: what the guest will hold the system against. */

import { fromHex } from '../core/digest.ts';
import { FormatError } from '../core/errors.ts';
import { decodeInitrd } from '../formats/boot-image/initrd.ts';
import type { ByteSource } from '../io/byte-source.ts';

/** @returns its SHA-256. @throws {FormatError} when the bootconfig names none. */
export async function pinnedVbmetaDigest(initrd: ByteSource): Promise<Uint8Array> {
  const { bootconfig } = await decodeInitrd(initrd);
  const entry = bootconfig.find(({ key }) => key === 'androidboot.vbmeta.digest');
  const [digest = ''] = entry?.values ?? [];
  if (/^[0-9a-f]{64}$/.test(digest)) return fromHex(digest);
  throw new FormatError('bootconfig', 'bad-value', 'Cannot use bootconfig: no SHA-256 of vbmeta', {
    field: 'androidboot.vbmeta.digest',
  });
}

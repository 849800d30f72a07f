/** Salts that come from what they salt: the same image gets the same one. */

import { createHash } from 'node:crypto';
import type { ByteSource } from '../../io/byte-source.ts';

/** So much of the start and of the end of an image decides its salt, in bytes. */
const ENDS = 1 << 20;

/**
 * A salt must be another one for another image, not secret: name, size and both ends of the image make
 * it, so that it costs no second pass over the data.
 *
 * @param size In bytes, at most 64.
 */
export async function contentSalt(
  image: ByteSource,
  partitionName: string,
  size: number,
): Promise<Uint8Array> {
  const length = Math.min(image.size, ENDS);
  const salt = createHash('sha512')
    .update(`microbuild avb salt\0${partitionName}\0${image.size}\0`)
    .update(await image.read(0, length))
    .update(await image.read(image.size - length, length))
    .digest();
  return new Uint8Array(salt.subarray(0, size));
}

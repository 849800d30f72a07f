/**
 * The footer of a partition image, which says where its vbmeta stands.
 *
 * @see avb_footer.h
 */

import { FormatError } from '../../core/errors.ts';
import { toSafeNumber } from '../../core/math.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import {
  AVB_FOOTER_MAGIC,
  AVB_FOOTER_VERSION_MAJOR,
  AVB_VBMETA_MAX_SIZE,
  avbFooter,
} from './layout.ts';
import { requireZero } from './text.ts';

/** Sizes and offsets are bytes from the start of the partition. */
export interface AvbFooter {
  readonly originalImageSize: number;
  readonly vbmetaOffset: number;
  readonly vbmetaSize: number;
  /** Of the footer's version 1.x, where it is not 0. */
  readonly versionMinor?: number;
}

export const AVB_FOOTER_SIZE: number = avbFooter.size;

const ascii = new TextEncoder();

/** Encodes the 64 bytes that end a partition image. */
export function encodeFooter(footer: AvbFooter): Uint8Array {
  return avbFooter.encode({
    magic: ascii.encode(AVB_FOOTER_MAGIC),
    version_major: AVB_FOOTER_VERSION_MAJOR,
    version_minor: footer.versionMinor ?? 0,
    original_image_size: BigInt(footer.originalImageSize),
    vbmeta_offset: BigInt(footer.vbmetaOffset),
    vbmeta_size: BigInt(footer.vbmetaSize),
    reserved: new Uint8Array(28),
  });
}

/** Whether these 64 bytes begin as a footer does; nothing else is checked. */
export function hasFooter(data: Uint8Array): boolean {
  return Buffer.from(data.subarray(0, 4)).equals(Buffer.from(AVB_FOOTER_MAGIC));
}

/**
 * Decodes a footer and checks it against the size of the image that it ends.
 *
 * @param imageSize Of the whole image, footer included, in bytes.
 * @throws {FormatError} when there is none, or it points outside of the image.
 */
export function decodeFooter(data: Uint8Array, imageSize: number): AvbFooter {
  const base = imageSize - AVB_FOOTER_SIZE;
  if (data.length !== AVB_FOOTER_SIZE || base < 0) {
    throw new FormatError(
      'avb',
      'truncated',
      `Cannot read AVB footer: image has ${imageSize} bytes`,
    );
  }
  if (!hasFooter(data)) {
    throw new FormatError('avb', 'bad-magic', 'Cannot read AVB footer: the image has none', {
      offset: base,
      field: 'footer.magic',
    });
  }
  const raw = avbFooter.decode(data);
  if (raw.version_major !== AVB_FOOTER_VERSION_MAJOR) {
    throw new FormatError(
      'avb',
      'bad-version',
      `Cannot read AVB footer: its version is ${raw.version_major}.${raw.version_minor}`,
      { offset: base + 4, field: 'footer.version_major' },
    );
  }
  requireZero(raw.reserved, 'footer.reserved', base + 36);
  if (raw.vbmeta_size > AVB_VBMETA_MAX_SIZE) {
    throw new FormatError(
      'avb',
      'too-large',
      `Cannot read AVB footer: vbmeta has ${raw.vbmeta_size} bytes, at most ${AVB_VBMETA_MAX_SIZE} are allowed`,
      { offset: base + 28, field: 'footer.vbmeta_size' },
    );
  }
  if (raw.vbmeta_offset + raw.vbmeta_size > BigInt(base)) {
    throw new FormatError(
      'avb',
      'out-of-range',
      `Cannot read AVB footer: vbmeta at ${raw.vbmeta_offset} is outside of the image`,
      { offset: base + 20, field: 'footer.vbmeta_offset' },
    );
  }
  if (raw.original_image_size > raw.vbmeta_offset) {
    throw new FormatError(
      'avb',
      'out-of-range',
      `Cannot read AVB footer: the original image of ${raw.original_image_size} bytes overlaps the vbmeta`,
      { offset: base + 12, field: 'footer.original_image_size' },
    );
  }
  return {
    originalImageSize: toSafeNumber(raw.original_image_size, 'footer.original_image_size'),
    vbmetaOffset: toSafeNumber(raw.vbmeta_offset, 'footer.vbmeta_offset'),
    vbmetaSize: toSafeNumber(raw.vbmeta_size, 'footer.vbmeta_size'),
    ...(raw.version_minor !== 0 && { versionMinor: raw.version_minor }),
  };
}

/** The last 64 bytes of an image, or undefined when it is shorter. */
export async function readFooterBytes(image: ByteSource): Promise<Uint8Array | undefined> {
  if (image.size < AVB_FOOTER_SIZE) return undefined;
  return image.read(image.size - AVB_FOOTER_SIZE, AVB_FOOTER_SIZE);
}

export interface LocatedVbmeta {
  readonly bytes: Uint8Array;
  /** Of the vbmeta in the image. */
  readonly offset: number;
  /** Undefined for an image that is a vbmeta image itself. */
  readonly footer: AvbFooter | undefined;
}

/**
 * Finds the vbmeta of an image: through its footer, or at its start.
 *
 * @throws {FormatError} when it has neither.
 */
export async function readVbmeta(image: ByteSource): Promise<LocatedVbmeta> {
  const tail = await readFooterBytes(image);
  if (tail !== undefined && hasFooter(tail)) {
    const footer = decodeFooter(tail, image.size);
    return {
      bytes: await image.read(footer.vbmetaOffset, footer.vbmetaSize),
      offset: footer.vbmetaOffset,
      footer,
    };
  }
  const size = Math.min(image.size, AVB_VBMETA_MAX_SIZE);
  return { bytes: await image.read(0, size), offset: 0, footer: undefined };
}

/**
 * The vbmeta of an image as its detached signature: header, key, hash and signature in one, which any
 * tool for AVB reads. It goes onto every image that says the same.
 */

import { FormatError, VerificationError } from '../../core/errors.ts';
import { toHex } from '../../core/digest.ts';
import { encodeDescriptor, type Descriptor } from '../../formats/avb/descriptor.ts';
import { readVbmeta, type AvbFooter } from '../../formats/avb/footer.ts';
import { AVB_VBMETA_MAX_SIZE } from '../../formats/avb/layout.ts';
import { decodeVbmeta, type Vbmeta } from '../../formats/avb/vbmeta.ts';
import { streamOf, type ByteSource } from '../../io/byte-source.ts';
import { editImage, openImage } from '../avb/edit-image.ts';
import { appendFooter } from '../avb/image-footer.ts';
import { isZero } from '../avb/undoable-file.ts';
import { verifySignature } from '../avb/verify.ts';
import type { Comparison, ContentDifference } from './difference.ts';

export interface DetachedVbmeta {
  /** Without padding. */
  readonly bytes: Uint8Array;
  readonly vbmeta: Vbmeta;
  /** Undefined for a vbmeta image. */
  readonly footer: AvbFooter | undefined;
}

async function detach(source: ByteSource): Promise<DetachedVbmeta> {
  const { bytes, footer } = await readVbmeta(source);
  const vbmeta = decodeVbmeta(bytes);
  return { bytes: bytes.slice(0, vbmeta.size), vbmeta, footer };
}

/**
 * Reads the vbmeta of an image, signed or not.
 *
 * @throws {FormatError} when it has none.
 */
export async function readDetachedVbmeta(path: string): Promise<DetachedVbmeta> {
  const { source } = await openImage(path);
  try {
    return await detach(source);
  } finally {
    await source.close();
  }
}

/** @throws {VerificationError} when the vbmeta is not signed, or not by its key. */
export function requireSignedVbmeta({ vbmeta }: DetachedVbmeta, name: string): void {
  verifySignature(vbmeta, name);
}

/** How differences call a descriptor. */
function nameOf(descriptor: Descriptor): string {
  switch (descriptor.kind) {
    case 'property':
      return `property ${descriptor.key}`;
    case 'kernel-cmdline':
      return 'kernel command line';
    case 'hash':
    case 'hashtree':
    case 'chain-partition':
      return `${descriptor.kind} descriptor of ${descriptor.partitionName}`;
  }
}

const FIELDS = ['rollbackIndex', 'rollbackIndexLocation', 'flags', 'releaseString'] as const;

/** Compares what two vbmetas say, and who says it. */
export function compareVbmetas(a: Vbmeta, b: Vbmeta): Comparison {
  const differences: ContentDifference[] = FIELDS.filter((name) => a[name] !== b[name]).map(
    (name) => ({ path: name, what: `${a[name]} in one, ${b[name]} in the other` }),
  );
  const all = Math.max(a.descriptors.length, b.descriptors.length);
  for (let index = 0; index < all; index += 1) {
    const [one, other] = [a.descriptors[index], b.descriptors[index]];
    if (one === undefined && other !== undefined) {
      differences.push({ path: nameOf(other), what: 'it was added' });
    } else if (one !== undefined && other === undefined) {
      differences.push({ path: nameOf(one), what: 'it is missing' });
    } else if (one !== undefined && other !== undefined) {
      if (toHex(encodeDescriptor(one)) === toHex(encodeDescriptor(other))) continue;
      const same = nameOf(one) === nameOf(other);
      const what = same ? 'its content differs' : `${nameOf(other)} in the other`;
      differences.push({ path: nameOf(one), what });
    }
  }
  const signature: ContentDifference[] = [];
  if (a.algorithm !== b.algorithm) {
    const what = `${a.algorithm} in one, ${b.algorithm} in the other`;
    signature.push({ path: 'algorithm', what });
  }
  for (const name of ['publicKey', 'publicKeyMetadata', 'signature'] as const) {
    if (toHex(a[name]) === toHex(b[name])) continue;
    signature.push({ path: name, what: 'its bytes differ' });
  }
  return { differences, signatureDifferences: signature };
}

/** Compares two images: what stands before their vbmetas, and these. */
export async function compareImages(a: string, b: string): Promise<Comparison> {
  const one = await openImage(a);
  try {
    const other = await openImage(b);
    try {
      const [left, right] = [await detach(one.source), await detach(other.source)];
      const compared = compareVbmetas(left.vbmeta, right.vbmeta);
      const what = await compareData(one.source, left.footer, other.source, right.footer);
      return what === undefined
        ? compared
        : { ...compared, differences: [{ path: 'image', what }, ...compared.differences] };
    } finally {
      await other.source.close();
    }
  } finally {
    await one.source.close();
  }
}

/** A vbmeta alone has no image to compare. */
async function compareData(
  a: ByteSource,
  left: AvbFooter | undefined,
  b: ByteSource,
  right: AvbFooter | undefined,
): Promise<string | undefined> {
  if (left === undefined || right === undefined) return undefined;
  if (left.vbmetaOffset !== right.vbmetaOffset) {
    return `${left.vbmetaOffset} bytes in one, ${right.vbmetaOffset} in the other`;
  }
  let at = 0;
  const others = streamOf(b, 0, right.vbmetaOffset);
  for await (const chunk of streamOf(a, 0, left.vbmetaOffset)) {
    const { value } = await others.next();
    const other = value ?? new Uint8Array(0);
    if (Buffer.compare(chunk, other) !== 0) {
      const index = chunk.findIndex((byte, place) => byte !== other[place]);
      return `its bytes differ from offset ${at + index} on`;
    }
    at += chunk.length;
  }
  return undefined;
}

/**
 * Puts a signed vbmeta in the place of that of the image at `path`. A failure leaves the image as it was.
 *
 * @throws {VerificationError} `other-content` when the image says anything else.
 */
export async function putVbmeta(
  path: string,
  signature: DetachedVbmeta,
  signal?: AbortSignal,
): Promise<void> {
  await editImage(
    path,
    async (image) => {
      const found = await detach(image.source);
      const { differences } = compareVbmetas(signature.vbmeta, found.vbmeta);
      if (differences.length > 0) {
        const shown = differences.map(({ path: field, what }) => `${field}: ${what}`).join('; ');
        throw new VerificationError(
          'detached-signature',
          'other-content',
          `Cannot put the signature onto ${image.source.name}: it is over other content (${shown})`,
          { hint: 'Only an image that says the same takes the signature' },
        );
      }
      const { bytes } = signature;
      const size = image.size();
      if (found.footer !== undefined) {
        const { vbmetaOffset, originalImageSize } = found.footer;
        await image.truncate(vbmetaOffset);
        await appendFooter(image, bytes, originalImageSize, size);
        return;
      }
      if (image.isSparse) {
        throw new FormatError('avb', 'unsupported', `Cannot change ${path}: it is a sparse image`, {
          hint: 'Make it a plain one: simg2img',
        });
      }
      const rest = Math.min(size, AVB_VBMETA_MAX_SIZE) - found.bytes.length;
      if (!isZero(await image.source.read(found.bytes.length, rest))) {
        throw new FormatError(
          'avb',
          'trailing-data',
          `Cannot change ${path}: bytes follow its vbmeta`,
        );
      }
      const isPadded = size > found.bytes.length;
      const room = isPadded ? size : bytes.length;
      if (bytes.length > room) {
        throw new FormatError(
          'avb',
          'too-large',
          `Cannot put a vbmeta of ${bytes.length} bytes into an image of ${room}`,
        );
      }
      await image.truncate(0);
      await image.append(bytes);
      if (room > bytes.length) await image.appendZeros(room - bytes.length);
    },
    signal,
  );
}

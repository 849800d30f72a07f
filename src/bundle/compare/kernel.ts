/** Compares two kernels with AVB hash footers: the image, then what is signed of it. */

import { equalBytes } from '../../core/digest.ts';
import { FormatError } from '../../core/errors.ts';
import type { HashDescriptor } from '../../formats/avb/descriptor.ts';
import { readVbmeta } from '../../formats/avb/footer.ts';
import { decodeVbmeta } from '../../formats/avb/vbmeta.ts';
import { sliceSource, type ByteSource } from '../../io/byte-source.ts';
import { firstDifference } from './bytes.ts';
import { namedCause } from './causes.ts';
import type { Scope } from './recorder.ts';
import { compareVbmeta } from './vbmeta.ts';

interface Side {
  readonly image: ByteSource;
  readonly hasFooter: boolean;
  /** Of the image itself. */
  readonly digest: HashDescriptor | undefined;
}

async function sideOf(source: ByteSource): Promise<Side> {
  try {
    const { bytes, footer } = await readVbmeta(source);
    if (footer === undefined) return { image: source, hasFooter: false, digest: undefined };
    const digest = decodeVbmeta(bytes).descriptors.find(
      (each): each is HashDescriptor =>
        each.kind === 'hash' && each.imageSize === footer.originalImageSize,
    );
    const image = sliceSource(source, 0, footer.originalImageSize, source.name);
    return { image, hasFooter: true, digest };
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    return { image: source, hasFooter: false, digest: undefined };
  }
}

/** What a kernel says of itself, such as `Linux version 6.1.0`. */
const BANNER = /Linux version (\S+)[^\n]*/;
const CHUNK = 4 << 20;
const OVERLAP = 512;

async function bannerOf(image: ByteSource): Promise<RegExpExecArray | undefined> {
  for (let at = 0; at < image.size; at += CHUNK) {
    const bytes = await image.read(at, Math.min(CHUNK + OVERLAP, image.size - at));
    const start = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).indexOf(
      'Linux version ',
    );
    if (start < 0) continue;
    const text = Buffer.from(bytes.subarray(start, start + OVERLAP)).toString('latin1');
    const match = BANNER.exec(text.split('\0')[0] ?? '');
    if (match !== null && /\d/.test(match[1] ?? '')) return match;
  }
  return undefined;
}

/** @param isAlone The initrds are not compared, whose digests a kernel's vbmeta has. */
export async function compareKernels(
  scope: Scope,
  a: ByteSource,
  b: ByteSource,
  isAlone = true,
): Promise<void> {
  const [x, y] = [await sideOf(a), await sideOf(b)];
  const [p, q] = [x.digest, y.digest];
  const isStated =
    !scope.full &&
    p !== undefined &&
    q !== undefined &&
    p.hashAlgorithm === q.hashAlgorithm &&
    equalBytes(p.salt, q.salt) &&
    equalBytes(p.digest, q.digest);
  if (!isStated && (await firstDifference(x.image, y.image, scope.signal)) !== undefined) {
    const [left, right] = [await bannerOf(x.image), await bannerOf(y.image)];
    if (left?.[0] !== right?.[0]) {
      scope.found({
        level: 'content',
        field: 'version',
        ...(left && { a: left[0].trim() }),
        ...(right && { b: right[0].trim() }),
        cause: namedCause('kernel-version', `${left?.[1] ?? 'none'} and ${right?.[1] ?? 'none'}`),
      });
    }
    await scope.inside('image').content(x.image, y.image);
  }
  if (x.hasFooter && y.hasFooter) await compareVbmeta(scope.at('vbmeta'), a, b, isAlone);
}

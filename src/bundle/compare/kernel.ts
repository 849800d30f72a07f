/** Compares two kernels with AVB hash footers: the image, then what is signed of it. */

import { equalBytes } from '../../core/digest.ts';
import { FormatError } from '../../core/errors.ts';
import type { HashDescriptor } from '../../formats/avb/descriptor.ts';
import { readVbmeta } from '../../formats/avb/footer.ts';
import { decodeVbmeta } from '../../formats/avb/vbmeta.ts';
import { scanKernel, type KernelBanner } from '../../formats/boot-image/kernel-facts.ts';
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
    const bannerOf = async ({ image }: Side): Promise<KernelBanner | undefined> => {
      const read = (at: number, length: number): Promise<Uint8Array> => image.read(at, length);
      return (await scanKernel(read, image.size, { config: false }, scope.signal)).banner;
    };
    const [left, right] = [await bannerOf(x), await bannerOf(y)];
    if (left?.text !== right?.text) {
      scope.found({
        level: 'content',
        field: 'version',
        ...(left && { a: left.text }),
        ...(right && { b: right.text }),
        cause: namedCause(
          'kernel-version',
          `${left?.release ?? 'none'} and ${right?.release ?? 'none'}`,
        ),
      });
    }
    await scope.inside('image').content(x.image, y.image);
  }
  if (x.hasFooter !== y.hasFooter) {
    const text = ({ hasFooter }: Side): string => (hasFooter ? 'AVB footer' : 'none');
    scope.found({ level: 'member', field: 'footer', a: text(x), b: text(y) });
  } else if (x.hasFooter) await compareVbmeta(scope.at('vbmeta'), a, b, isAlone);
}

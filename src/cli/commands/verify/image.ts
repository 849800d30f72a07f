/** A vbmeta image, or an image with an AVB footer: its signature, and the images that it describes. */

import { access } from 'node:fs/promises';
import { sha256, toHex } from '../../../core/digest.ts';
import { FormatError, VerificationError } from '../../../core/errors.ts';
import type {
  ChainPartitionDescriptor,
  Descriptor,
  HashDescriptor,
  HashtreeDescriptor,
} from '../../../formats/avb/descriptor.ts';
import { readVbmeta } from '../../../formats/avb/footer.ts';
import { decodeVbmeta, type Vbmeta } from '../../../formats/avb/vbmeta.ts';
import type { ImageFinder } from '../../../signing/avb/loaded-vbmeta.ts';
import {
  verifyImage,
  type VerifiedPart,
  type VerifyImageOptions,
} from '../../../signing/avb/verify-image.ts';
import { trustsAvbKey, type TrustAnchor } from '../../../signing/keys/trust-anchor.ts';
import { openEngine } from '../../engine.ts';
import { EXIT } from '../../exit-code.ts';
import { errorToJson, renderError } from '../../render/error.ts';
import { renderTree, type TreeLink } from '../../render/tree.ts';
import { printable } from '../../terminal.ts';
import { describeAvbKey, trustAnchors, untrusted } from '../../trust-anchors.ts';
import { openForReading } from '../avb/images.ts';
import { chainJson, chainLinks, type VerifiedImage } from './image-report.ts';
import type { VerifyTarget } from './target.ts';
import { besideFinder } from './partition-finder.ts';

/** AVB_VBMETA_IMAGE_FLAGS. */
const HASHTREE_DISABLED = 1;
const VERIFICATION_DISABLED = 2;

async function readImage(path: string): Promise<{ vbmeta: Vbmeta; hasFooter: boolean }> {
  const image = await openForReading.open(path);
  try {
    const { bytes, footer } = await readVbmeta(image);
    return { vbmeta: decodeVbmeta(bytes), hasFooter: footer !== undefined };
  } finally {
    await image.close();
  }
}

/** An image and, one step further, those whose keys it names; what fails is kept beside what holds. */
async function verifyWithChains(
  path: string,
  finder: ImageFinder,
  options: VerifyImageOptions,
  isChained = false,
): Promise<VerifiedImage> {
  const parts: VerifiedPart[] = [];
  const chains: VerifiedImage[] = [];
  let missing: readonly string[] = [];
  let vbmeta: Vbmeta | undefined;
  try {
    const read = await readImage(path);
    ({ vbmeta } = read);
    const own = finderOf(finder, path, read);
    const descriptors = isChained
      ? [] // a chained vbmeta must not chain further: nobody said what to expect of it
      : vbmeta.descriptors.flatMap((each) => (each.kind === 'chain-partition' ? [each] : []));
    const expectedChains = new Map(descriptors.map((each) => [each.partitionName, each]));
    missing = await findMissing(vbmeta, own);
    const skip = new Set(missing);
    await verifyImage(path, own, { ...options, expectedChains, skip }, (part) => parts.push(part));
    for (const { partitionName, publicKey } of descriptors) {
      if (skip.has(partitionName)) continue;
      const chained = { ...options, key: publicKey, keyName: `the one that ${path} names` };
      chains.push(await verifyWithChains(own.pathOf(partitionName), finder, chained, true));
    }
    if (vbmeta.algorithm === 'NONE') throw unsigned(path);
    return { path, vbmeta, parts, missing, chains };
  } catch (error) {
    return { path, vbmeta, parts, missing, chains, error: asVerification(error) };
  }
}

/** Partitions whose images are elsewhere: what is said of them cannot be compared with anything. */
async function findMissing(vbmeta: Vbmeta, finder: ImageFinder): Promise<readonly string[]> {
  const missing: string[] = [];
  for (const { partitionName } of vbmeta.descriptors.filter(isOfPartition)) {
    // A descriptor without a name is about the image that holds it.
    if (partitionName === '' || missing.includes(partitionName)) continue;
    const exists = await access(finder.pathOf(partitionName)).then(
      () => true,
      () => false,
    );
    if (!exists) missing.push(partitionName);
  }
  return missing;
}

const isOfPartition = (
  each: Descriptor,
): each is HashDescriptor | HashtreeDescriptor | ChainPartitionDescriptor =>
  each.kind === 'hash' || each.kind === 'hashtree' || each.kind === 'chain-partition';

const unsigned = (path: string): VerificationError =>
  new VerificationError('vbmeta', 'Verification', `Cannot trust ${path}: it is not signed`);

function asVerification(error: unknown): VerificationError {
  if (error instanceof VerificationError) return error;
  if (!(error instanceof FormatError)) throw error;
  return new VerificationError('vbmeta', error.code, error.message, { cause: error });
}

/** The image whose footer describes it is the partition that it describes. */
function finderOf(
  finder: ImageFinder,
  path: string,
  { vbmeta, hasFooter }: { readonly vbmeta: Vbmeta; readonly hasFooter: boolean },
): ImageFinder {
  const [first] = vbmeta.descriptors;
  const own =
    hasFooter && (first?.kind === 'hash' || first?.kind === 'hashtree')
      ? first.partitionName
      : undefined;
  return { ...finder, pathOf: (name) => (name === own ? path : finder.pathOf(name)) };
}

function findError(image: VerifiedImage): VerificationError | undefined {
  return image.error ?? image.chains.map(findError).find((error) => error !== undefined);
}

/** Whose key it is, and whether anything is wrong with what the key vouches for itself. */
function judgeSigner(
  path: string,
  vbmeta: Vbmeta,
  anchors: readonly TrustAnchor[],
  minimum: bigint,
): { readonly anchor: TrustAnchor | undefined; readonly error: VerificationError | undefined } {
  const { publicKey, rollbackIndex } = vbmeta;
  const anchor = anchors.find((each) => trustsAvbKey(each, publicKey));
  if (anchor === undefined) {
    const trust = `sha256:${toHex(sha256(publicKey))}`;
    const signer = describeAvbKey(publicKey);
    const error =
      publicKey.length === 0
        ? unsigned(path)
        : untrusted(path, 'PublicKeyRejected', { signer, trust, anchors });
    return { anchor, error };
  }
  if (rollbackIndex >= minimum) return { anchor, error: undefined };
  const error = new VerificationError(
    'vbmeta',
    'RollbackIndex',
    `Cannot trust ${path}: its rollback index is ${rollbackIndex}, ${minimum} or more is needed`,
    { expected: `>= ${minimum}`, actual: `${rollbackIndex}` },
  );
  return { anchor, error };
}

/** What the flags turn off on a device; here everything is verified all the same. */
function flagsText(flags: number): string {
  if ((flags & VERIFICATION_DISABLED) !== 0) return `flags ${flags}: devices verify nothing of it`;
  if ((flags & HASHTREE_DISABLED) !== 0) return `flags ${flags}: devices use no hash tree of it`;
  return `flags ${flags}`;
}

export const verifyImageTarget: VerifyTarget = async (path, args, { env, terminal, signal }) => {
  const anchors = await trustAnchors(args.list('trust'), path, env);
  const minimum = BigInt(args.optionalNumber('minimum-rollback-index') ?? 0);
  const engine = await openEngine(undefined);
  let image: VerifiedImage;
  try {
    const options = { hasher: engine.hasher, signal };
    image = await verifyWithChains(path, besideFinder(path), options);
  } finally {
    await engine.close();
  }
  const { vbmeta } = image;
  const signer = vbmeta && judgeSigner(path, vbmeta, anchors, minimum);
  const inside = findError(image);
  const error = inside ?? signer?.error;
  const root: TreeLink = {
    title: `${signer?.anchor?.name ?? 'no trusted key'} → ${path}`,
    state: signer?.error === undefined && image.error === undefined ? 'ok' : 'broken',
    details: [
      ...(vbmeta === undefined
        ? []
        : [
            `signed by ${describeAvbKey(vbmeta.publicKey)}, ${vbmeta.algorithm}`,
            `rollback index ${vbmeta.rollbackIndex}, ${flagsText(vbmeta.flags)}`,
          ]),
      ...(signer?.error === undefined ? [] : [signer.error.message]),
    ],
    children: chainLinks(image),
  };
  if (error !== undefined) terminal.err(renderError(error, terminal, false));
  const missing = [image, ...image.chains].flatMap((each) => each.missing);
  const without =
    missing.length === 0 ? '' : `; not looked at: ${missing.join(', ')}, whose images are not here`;
  const verdict =
    error === undefined
      ? `verified: rollback index ${vbmeta?.rollbackIndex}, flags ${vbmeta?.flags}${without}`
      : 'NOT VERIFIED';
  const key = vbmeta?.publicKey ?? new Uint8Array(0);
  return {
    text: `${renderTree([root], terminal)}\n${printable(verdict)}`,
    json: {
      verified: error === undefined,
      complete: error === undefined && missing.length === 0,
      trusted: signer?.anchor !== undefined,
      trustedBy: signer?.anchor?.name ?? null,
      key: key.length === 0 ? null : `sha256:${toHex(sha256(key))}`,
      algorithm: vbmeta?.algorithm ?? null,
      rollbackIndex: vbmeta?.rollbackIndex ?? null,
      flags: vbmeta?.flags ?? null,
      parts: image.parts,
      missing: image.missing,
      chains: image.chains.map(chainJson),
      ...(error !== undefined && { error: errorToJson(error, EXIT.verification) }),
    },
    exitCode: error === undefined ? EXIT.ok : EXIT.verification,
  };
};

/** What is proved and asked around signing a bundle anew: before anything is signed, and before it appears. */

import { readVbmeta } from '../formats/avb/footer.ts';
import { decodeVbmeta } from '../formats/avb/vbmeta.ts';
import { publicKeyOfAvb } from '../signing/avb/public-key.ts';
import { readCertificateKey } from '../signing/x509.ts';
import { BUNDLE_FILES } from './layout.ts';
import { openBundle, type Bundle } from './open.ts';
import { planImages, type ImageResigning } from './resign-image.ts';
import type { ResignBundleOptions } from './resign-options.ts';
import type { PayloadDisk } from './resign-payload.ts';
import { verifyBundle } from './verify.ts';

/** AVB's encoding of the key that the kernel's vbmeta holds. */
export const kernelKey = async (bundle: Bundle): Promise<Uint8Array> =>
  decodeVbmeta((await readVbmeta(bundle.kernel)).bytes).publicKey;

/**
 * Verifies what was made, with the key that it was made with: somebody may have changed the old bundle while
 * it was read.
 */
export async function requireTrusted(
  folder: string,
  key: Uint8Array,
  { hasher, signal }: Pick<ResignBundleOptions, 'hasher' | 'signal'>,
): Promise<void> {
  const made = await openBundle(folder);
  try {
    await verifyBundle(made, { trustedKey: key, level: 'full', hasher, signal });
  } finally {
    await made.close();
  }
}

/** Verifies what is to be signed. @throws {VerificationError} naming the broken link. */
export async function requireWhole(
  bundle: Bundle,
  options: Pick<ResignBundleOptions, 'trustedKey' | 'hasher' | 'signal'>,
): Promise<void> {
  await verifyBundle(bundle, {
    trustedKey: options.trustedKey ?? (await kernelKey(bundle)),
    level: 'full',
    hasher: options.hasher,
    signal: options.signal,
  });
}

/** A payload disk without what its file name ends with. */
const nameOf = (bundle: string, file: string): string => `${bundle}/${file.replace(/\.img$/, '')}`;

/** Tells of everything that will be signed. A payload that stays is part of what is signed, too. */
export async function reviewAll(
  bundle: Bundle,
  { review, payload }: Pick<ResignBundleOptions, 'review' | 'payload'>,
  image: ImageResigning | undefined,
  disks: readonly PayloadDisk[],
): Promise<void> {
  if (review === undefined) return;
  const { name } = bundle.manifest;
  const plans = image === undefined ? [] : await planImages(bundle, image);
  for (const [partition, plan] of plans) {
    await review({ kind: 'vbmeta', ...plan, name: `${name}/${partition}` });
  }
  for (const { file, facts } of disks) {
    await review({ kind: 'apk', name: nameOf(name, file), debuggable: facts.debuggable });
  }
  // Keys that sign now were reviewed when they were opened; what stays was signed by somebody, too.
  const { keys } = bundle.manifest;
  for (const { file, facts } of payload === undefined ? disks : []) {
    await review({
      kind: 'key',
      name: `the key of ${nameOf(name, file)}`,
      publicKey: readCertificateKey(facts.certificate),
      development: keys.payload.development,
    });
  }
  if (image === undefined) {
    await review({
      kind: 'key',
      name: `the key of ${name}/${BUNDLE_FILES.kernel}`,
      publicKey: publicKeyOfAvb(await kernelKey(bundle)),
      development: keys.image.development,
    });
  }
}

/**
 * A whole bundle signed by other keys, as Android's sign_virt_apex does it: each digest that depends on another
 * is made anew, in the order of the chain of trust. What is protected is not measured again: no file system is
 * written, no hash tree computed. The result is that of building the recipe with those keys.
 *
 * A bundle is only signed when its own chain of trust holds: a new signature says nothing good about what
 * was broken before.
 */

import { createHash } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { sha256, toHex } from '../core/digest.ts';
import { UsageError } from '../core/errors.ts';
import type { AvbAlgorithmName } from '../formats/avb/algorithm.ts';
import { readVbmeta } from '../formats/avb/footer.ts';
import { decodeVbmeta } from '../formats/avb/vbmeta.ts';
import { decodeInitrd } from '../formats/boot-image/initrd.ts';
import { writeFileSynced } from '../io/atomic-output.ts';
import { streamOf, type ByteSource } from '../io/byte-source.ts';
import { copySparse } from '../io/copy-sparse.ts';
import { createFileSink } from '../io/image-sink.ts';
import { avbPublicKey } from '../signing/avb/public-key.ts';
import type { SignApkOptions } from '../signing/apk/sign.ts';
import { settleBoth } from './settle.ts';
import type { ReviewSubject } from '../signing/policy/release.ts';
import type { Signer } from '../signing/signer.ts';
import { certificateDigest, createSelfSignedCertificate } from '../signing/x509.ts';
import { openBundleFiles } from './files.ts';
import { BUNDLE_FILES } from './layout.ts';
import { formatManifest, type Manifest, type ManifestFile } from './manifest.ts';
import { signManifest } from './manifest-signature.ts';
import type { Bundle } from './open.ts';
import {
  planImages,
  resignImages,
  type ImageResigning,
  type ResignedImages,
} from './resign-image.ts';
import { readPayload, resignPayload, type PayloadFacts } from './resign-payload.ts';
import { verifyBundle } from './verify.ts';
import { checkBundleOutput, writeBundle } from './write.ts';

export interface ResignBundleOptions {
  /** Becomes the bundle: a folder, or a file `NAME.mbundle`. */
  readonly output: string;
  /** Left out, the images stay; then the bootconfig must accept the payload's signer already. */
  readonly image?:
    | { readonly signer: Signer; readonly algorithm?: AvbAlgorithmName | undefined }
    | undefined;
  /** Left out, the payload stays. */
  readonly payload?:
    | {
        readonly signer: Signer;
        /** X.509 DER, the signer's own first; none for a self-signed one, as the builder makes it. */
        readonly certificates: readonly Uint8Array[];
      }
    | undefined;
  /** Default: as it is. */
  readonly rollbackIndex?: bigint | undefined;
  /** The certificates that the guest shall accept, as `sha256:HEX`; default: the new one instead of the old. */
  readonly payloadCertificates?: readonly string[] | undefined;
  /** AVB's encoding of the key that must have signed the bundle until now; default: any. */
  readonly trustedKey?: Uint8Array | undefined;
  /** Whether the key of the images signs the manifest, too. */
  readonly manifestSignature?: boolean | undefined;
  /** Told of everything that will be signed, before it is. */
  readonly review?: ((subject: ReviewSubject) => Promise<void>) | undefined;
  readonly hasher?: SignApkOptions['hasher'];
  readonly signal?: AbortSignal | undefined;
}

/** Asks once for what is signed twice: a signature may cost a second of a token, or a person. */
function askOnce(signer: Signer): Signer {
  const asked = new Map<string, Promise<Uint8Array>>();
  return {
    publicKey: signer.publicKey,
    sign(data, options) {
      const digest = createHash('sha256').update(data).digest('hex');
      const key = `${options.scheme} ${options.hash} ${digest}`;
      const known = asked.get(key) ?? signer.sign(data, options);
      asked.set(key, known);
      return known;
    },
  };
}

const digestsOf = (certificate: Uint8Array): readonly [sha256: string, sha512: string] => [
  `sha256:${toHex(certificateDigest(certificate, 'sha256'))}`,
  `sha512:${toHex(certificateDigest(certificate, 'sha512'))}`,
];

/** The accepted certificates with the old signer's replaced by the new one's, in the same place and form. */
function acceptedCertificates(
  present: readonly string[],
  old: Uint8Array,
  signer: Uint8Array,
): readonly string[] {
  const before = digestsOf(old);
  const after = digestsOf(signer);
  const renewed = present.map((each) => after[before.indexOf(each)] ?? each);
  return [...new Set(renewed)];
}

async function hashOf(source: ByteSource): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of streamOf(source)) hash.update(chunk);
  return hash.digest('hex');
}

/** Verifies what is to be signed. @throws {VerificationError} naming the broken link. */
async function requireWhole(bundle: Bundle, options: ResignBundleOptions): Promise<void> {
  const { publicKey } = decodeVbmeta((await readVbmeta(bundle.kernel)).bytes);
  await verifyBundle(bundle, {
    trustedKey: options.trustedKey ?? publicKey,
    level: 'full',
    signal: options.signal,
  });
}

/** Tells of everything that will be signed. A payload that stays is part of what is signed, too. */
async function reviewAll(
  bundle: Bundle,
  { review, payload }: ResignBundleOptions,
  image: ImageResigning | undefined,
  { debuggable }: PayloadFacts,
): Promise<void> {
  if (review === undefined) return;
  const { name } = bundle.manifest;
  const plans = image === undefined ? [] : await planImages(bundle, image);
  for (const [partition, plan] of plans) {
    await review({ kind: 'vbmeta', ...plan, name: `${name}/${partition}` });
  }
  if (image !== undefined || payload !== undefined) {
    await review({ kind: 'apk', name: `${name}/payload`, debuggable });
  }
}

interface NewPayload {
  readonly facts: PayloadFacts;
  readonly certificates: readonly Uint8Array[];
  /** The one that signs. */
  readonly certificate: Uint8Array;
}

async function newPayload(facts: PayloadFacts, options: ResignBundleOptions): Promise<NewPayload> {
  const { payload } = options;
  if (payload === undefined) {
    return { facts, certificates: [facts.certificate], certificate: facts.certificate };
  }
  const certificates =
    payload.certificates.length > 0
      ? payload.certificates
      : [
          await createSelfSignedCertificate(payload.signer, {
            subject: [{ name: 'CN', value: facts.package }],
          }),
        ];
  const [certificate = facts.certificate] = certificates;
  return { facts, certificates, certificate };
}

/** @throws {UsageError} when the guest would refuse the payload. */
function checkAccepted(accepted: readonly string[], { certificate }: NewPayload, kept: boolean) {
  const own = digestsOf(certificate);
  if (own.some((each) => accepted.includes(each))) return;
  throw new UsageError(
    'usage',
    `Cannot sign bundle: its guest would refuse the payload, whose certificate is ${own[0]}`,
    {
      hint: kept
        ? 'The images name the certificates that are accepted: sign them, too, with --image-key'
        : 'Name that certificate with --trust-payload, too',
    },
  );
}

/** Copies a file of the bundle as it is. */
async function copyFile(source: ByteSource, path: string, signal?: AbortSignal): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const sink = await createFileSink(path);
  try {
    await sink.truncate(source.size);
    await copySparse(source, sink, 0, signal);
  } finally {
    await sink.close();
  }
}

async function listFiles(folder: string, names: readonly string[]): Promise<ManifestFile[]> {
  const files = await openBundleFiles(folder);
  try {
    const listed: ManifestFile[] = [];
    for (const path of names) {
      const source = await files.open(path);
      listed.push({ path, size: source.size, sha256: await hashOf(source) });
    }
    return listed;
  } finally {
    await files.close();
  }
}

/** The manifest with what the new signatures change. */
function renewManifest(
  manifest: Manifest,
  options: ResignBundleOptions,
  made: {
    readonly images: ResignedImages | undefined;
    readonly apkRoot: Uint8Array | undefined;
    readonly payload: NewPayload;
    readonly certificates: readonly string[];
    readonly files: readonly ManifestFile[];
  },
): Manifest {
  const { image, payload } = options;
  const keys: Manifest['keys'] = {
    image:
      image === undefined
        ? manifest.keys.image
        : { sha256: toHex(sha256(avbPublicKey(image.signer.publicKey))), development: false },
    payload:
      payload === undefined
        ? manifest.keys.payload
        : {
            sha256: toHex(certificateDigest(made.payload.certificate, 'sha256')),
            development: false,
          },
  };
  const { images, apkRoot, certificates, files } = made;
  return {
    ...manifest,
    release: keys.image.development || keys.payload.development ? 'development' : 'release',
    keys,
    chain: {
      ...manifest.chain,
      ...(images !== undefined && {
        initrdNormalDigest: toHex(images.initrdNormal.digest),
        initrdDebuggableDigest: toHex(images.initrdDebuggable.digest),
        vbmetaDigest: toHex(images.vbmetaDigest),
        payloadCertificates: certificates,
        rollbackIndex: Number(images.rollbackIndex),
      }),
      ...(apkRoot !== undefined && { apkRootDigest: toHex(apkRoot) }),
    },
    files,
  };
}

/**
 * Signs a bundle anew.
 *
 * @returns the new manifest.
 * @throws {VerificationError} when the bundle is broken, or not signed by the key it must be signed by.
 * @throws {UsageError} when a key cannot sign it, or the guest would refuse the result.
 */
export async function resignBundle(
  bundle: Bundle,
  options: ResignBundleOptions,
): Promise<Manifest> {
  const { image, payload, signal } = options;
  const { manifest, config } = bundle;
  if ((options.rollbackIndex ?? 0n) > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new UsageError('usage', `Cannot use rollback index ${options.rollbackIndex}: too large`);
  }
  await checkBundleOutput(resolve(options.output));
  await requireWhole(bundle, options);
  const imageSigning = image && {
    signer: askOnce(image.signer),
    algorithm: image.algorithm,
    rollbackIndex: options.rollbackIndex,
    signal,
  };
  const facts = await readPayload(bundle);
  await reviewAll(bundle, options, imageSigning, facts);
  const { bootconfig } = await decodeInitrd(bundle.initrd);
  const present =
    bootconfig.find(({ key }) => key === 'microbuild.payload.certificates')?.values ?? [];

  const fill = async (folder: string): Promise<Manifest> => {
    const pathOf = (file: string): string => join(folder, file);
    // A certificate may have to be signed, too; what does not need it is signed at the same time.
    const renewing = newPayload(facts, options).then((renewed) => {
      const accepted =
        image === undefined
          ? present
          : (options.payloadCertificates ??
            acceptedCertificates(present, facts.certificate, renewed.certificate));
      checkAccepted(accepted, renewed, image === undefined);
      return { renewed, certificates: accepted };
    });
    const [images, apkRoot] = await settleBoth(
      imageSigning === undefined
        ? Promise.resolve(undefined)
        : resignImages(
            bundle,
            pathOf,
            renewing.then((each) => each.certificates),
            imageSigning,
          ),
      renewing.then(({ renewed }) =>
        payload === undefined
          ? undefined
          : resignPayload(
              bundle,
              facts,
              pathOf(config.disks[1]?.image ?? BUNDLE_FILES.payload),
              { signer: payload.signer, certificates: renewed.certificates },
              { hasher: options.hasher, signal },
            ),
      ),
    );
    const { renewed, certificates } = await renewing;
    const [os, disk] = config.disks.map(({ image: file }) => file);
    const written = new Set<string | undefined>([
      ...(images === undefined
        ? []
        : [config.kernel, BUNDLE_FILES.initrdNormal, BUNDLE_FILES.initrdDebuggable, os]),
      ...(apkRoot === undefined ? [] : [disk]),
    ]);
    const names = manifest.files.map(({ path }) => path);
    for (const file of names) {
      if (!written.has(file)) await copyFile(await bundle.open(file), pathOf(file), signal);
    }
    const made = renewManifest(manifest, options, {
      images,
      apkRoot,
      payload: renewed,
      certificates,
      files: await listFiles(folder, names),
    });
    const text = formatManifest(made);
    await writeFileSynced(pathOf(BUNDLE_FILES.manifest), text);
    if (options.manifestSignature === true && image !== undefined) {
      const envelope = await signManifest(text, image.signer);
      await writeFileSynced(pathOf(BUNDLE_FILES.manifestSignature), envelope);
    }
    return made;
  };
  return writeBundle(resolve(options.output), fill, signal);
}

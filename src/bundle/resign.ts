/**
 * A whole bundle signed by other keys, as Android's sign_virt_apex does it: each digest that depends on another
 * is made anew, in the order of the chain of trust. What is protected is not measured again: no file system is
 * written, no hash tree computed. The result is that of building the recipe with those keys.
 *
 * A bundle is only signed when its own chain of trust holds, as a new signature says nothing good about what
 * was broken before; and what comes out is verified before it appears.
 */

import { createHash } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { sha256, toHex } from '../core/digest.ts';
import { UsageError } from '../core/errors.ts';
import { decodeInitrd } from '../formats/boot-image/initrd.ts';
import { writeFileSynced } from '../io/atomic-output.ts';
import { digestOfSource, type ByteSource } from '../io/byte-source.ts';
import { copySparse } from '../io/copy-sparse.ts';
import { createFileSink } from '../io/image-sink.ts';
import { avbPublicKey } from '../signing/avb/public-key.ts';
import type { Signer } from '../signing/signer.ts';
import { certificateDigest } from '../signing/x509.ts';
import { readBootconfigPins } from './bootconfig-pins.ts';
import { openBundleFiles } from './files.ts';
import { BUNDLE_FILES } from './layout.ts';
import { formatManifest, type Manifest, type ManifestFile } from './manifest.ts';
import { signManifest } from './manifest-signature.ts';
import type { Bundle } from './open.ts';
import {
  acceptedCertificates,
  checkAccepted,
  newPayload,
  type NewPayload,
} from './resign-certificates.ts';
import { kernelKey, requireTrusted, requireWhole, reviewAll } from './resign-checks.ts';
import { resignImages, type ResignedImages } from './resign-image.ts';
import type { ResignBundleOptions } from './resign-options.ts';
import { readPayloadDisks, resignPayload, type PayloadDisk } from './resign-payload.ts';
import { settleAll } from './settle.ts';
import { checkBundleOutput, writeBundle } from './write.ts';

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
      listed.push({ path, size: source.size, sha256: await digestOfSource(source) });
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
    /** Root digests of the payloads that were signed anew; the default one's has no name. */
    readonly apkRoots: ReadonlyMap<string | undefined, Uint8Array>;
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
        : {
            sha256: toHex(sha256(avbPublicKey(image.signer.publicKey))),
            development: image.development ?? false,
          },
    payload:
      payload === undefined
        ? manifest.keys.payload
        : {
            sha256: toHex(certificateDigest(made.payload.certificate, 'sha256')),
            development: payload.development ?? false,
          },
  };
  const { images, apkRoots, certificates, files } = made;
  const ownRoot = apkRoots.get(undefined);
  const further = Object.entries(manifest.payloads ?? {}).map(([name, each]) => {
    const root = apkRoots.get(name);
    return [name, root === undefined ? each : { ...each, apkRootDigest: toHex(root) }] as const;
  });
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
      ...(ownRoot !== undefined && { apkRootDigest: toHex(ownRoot) }),
    },
    ...(manifest.payloads !== undefined && { payloads: Object.fromEntries(further) }),
    files,
  };
}

/** Writes the disks of all payloads, one after the other. */
async function resignPayloads(
  disks: readonly PayloadDisk[],
  pathOf: (name: string) => string,
  signer: Parameters<typeof resignPayload>[2],
  options: Parameters<typeof resignPayload>[3],
): Promise<ReadonlyMap<string | undefined, Uint8Array>> {
  const roots = new Map<string | undefined, Uint8Array>();
  for (const each of disks) {
    roots.set(each.name, await resignPayload(each, pathOf(each.file), signer, options));
  }
  return roots;
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
  const disks = await readPayloadDisks(bundle);
  const [{ facts }] = disks;
  await reviewAll(bundle, options, imageSigning, disks);
  const { bootconfig } = await decodeInitrd(bundle.initrd);
  const { certificates: present } = readBootconfigPins(bootconfig);

  const fill = async (folder: string): Promise<Manifest> => {
    const pathOf = (file: string): string => join(folder, file);
    // A certificate may have to be signed, too; what does not need it is signed at the same time.
    const renewing = newPayload(facts, payload).then((renewed) => {
      const accepted =
        image === undefined
          ? present
          : (options.payloadCertificates ??
            (payload === undefined
              ? present
              : acceptedCertificates(
                  present,
                  disks.map((each) => each.facts.certificate),
                  renewed.certificate,
                )));
      const signer = payload === undefined ? undefined : renewed.certificate;
      checkAccepted(accepted, disks, signer, image === undefined);
      return { renewed, certificates: accepted };
    });
    const [images, apkRoots] = await settleAll([
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
          ? new Map<string | undefined, Uint8Array>()
          : resignPayloads(
              disks,
              pathOf,
              { signer: payload.signer, certificates: renewed.certificates },
              { hasher: options.hasher, signal },
            ),
      ),
    ]);
    const { renewed, certificates } = await renewing;
    const [os] = config.disks.map(({ image: file }) => file);
    const written = new Set<string | undefined>([
      ...(images === undefined
        ? []
        : [config.kernel, BUNDLE_FILES.initrdNormal, BUNDLE_FILES.initrdDebuggable, os]),
      ...(payload === undefined ? [] : disks.map(({ file }) => file)),
    ]);
    const names = manifest.files.map(({ path }) => path);
    for (const file of names) {
      if (!written.has(file)) await copyFile(await bundle.open(file), pathOf(file), signal);
    }
    const made = renewManifest(manifest, options, {
      images,
      apkRoots,
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
    const key =
      image === undefined ? await kernelKey(bundle) : avbPublicKey(image.signer.publicKey);
    await requireTrusted(folder, key, options);
    return made;
  };
  return writeBundle(resolve(options.output), fill, signal);
}

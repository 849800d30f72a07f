/**
 * Every link of a bundle's chain of trust, checked in the order in which the guest depends on them.
 *
 * Nothing here believes the manifest: each digest is computed from the bytes, from the trusted key
 * down. `boot` is what Android's pvmfw checks before a VM runs; `full` adds what the guest will
 * check by itself, so that a broken bundle is refused before it starts.
 */

import { toHex } from '../core/digest.ts';
import { FormatError, VerificationError } from '../core/errors.ts';
import { decodeInitrd } from '../formats/boot-image/initrd.ts';
import type { HashtreeDescriptor } from '../formats/avb/descriptor.ts';
import { digestOfSource } from '../io/byte-source.ts';
import { verifyKernelAndInitrd, type VerifiedBoot } from '../signing/avb/policy.ts';
import {
  verifyOwnVbmeta,
  verifyPinnedPartition,
  verifyPinnedVbmeta,
  type PinnedPartition,
} from '../signing/avb/verify-pinned.ts';
import type { ApkHasher } from '../signing/apk/content-digests.ts';
import { readBootconfigPins } from './bootconfig-pins.ts';
import {
  attestedDigests,
  presentAttestations,
  verifyAttestation,
  type AttestationTrust,
} from './attest/verify.ts';
import { BUNDLE_FILES, LABELS, partitionLabel } from './layout.ts';
import { verifyManifestSignature } from './manifest-signature.ts';
import type { Bundle, Disk } from './open.ts';
import { verifyPayloads, type Prove } from './verify-payload.ts';

/** One link that holds. */
export interface ChainLink {
  /** Stable name: `kernel`, `initrd`, `vbmeta`, `system`, `partition`, `payload-signature`, ... */
  readonly link: string;
  /** What vouches for what, for people. */
  readonly title: string;
  /** The digest or name that was found. */
  readonly detail: string;
}

export interface VerifyBundleOptions {
  /** AVB's encoding of the one key that is trusted. */
  readonly trustedKey: Uint8Array;
  readonly minimumRollbackIndex?: bigint;
  readonly level: 'boot' | 'full';
  /** Hashes the blocks of system and payload. Default: node:crypto on this thread. */
  readonly hasher?: ApkHasher | undefined;
  /** Whose attestations are taken, for the level `full`; default: they are not looked at. */
  readonly attestations?: AttestationTrust | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called for each link that holds, as soon as it does. */
  readonly onLink?: (link: ChainLink) => void;
}

export interface VerifiedBundle {
  readonly links: readonly ChainLink[];
  /** What the initrd that matched allows. */
  readonly debugLevel: VerifiedBoot['debugLevel'];
  readonly rollbackIndex: bigint;
  /** SHA-256 of the kernel and of the initrd that is started, as the trusted key vouches for them. */
  readonly kernelDigest: Uint8Array;
  readonly initrdDigest: Uint8Array;
}

/**
 * @throws {VerificationError} with the broken link's name. Links that hold were reported before.
 */
export async function verifyBundle(
  bundle: Bundle,
  options: VerifyBundleOptions,
): Promise<VerifiedBundle> {
  const links: ChainLink[] = [];
  const prove = async <T>(
    link: string,
    title: string,
    work: () => Promise<readonly [detail: string, value: T]>,
  ): Promise<T> => {
    options.signal?.throwIfAborted();
    const [detail, value] = await asLink(link, work);
    links.push({ link, title, detail });
    options.onLink?.({ link, title, detail });
    return value;
  };

  const boot = await prove('kernel', 'trusted key → kernel', async () => {
    const verified = await verifyKernelAndInitrd({
      kernel: bundle.kernel,
      initrd: bundle.initrd,
      trustedKey: options.trustedKey,
      minimumRollbackIndex: options.minimumRollbackIndex ?? 0n,
    });
    const digest = toHex(verified.kernelDigest);
    return [`sha256 ${digest}, rollback index ${verified.rollbackIndex}`, verified];
  });
  await prove('initrd', `kernel’s vbmeta → ${bundle.config.initrd}`, () =>
    Promise.resolve([
      `sha256 ${toHex(boot.initrdDigest ?? new Uint8Array(0))}, debug level ${boot.debugLevel}`,
      undefined,
    ]),
  );
  if (options.level === 'full') {
    const other = otherInitrd(bundle);
    await prove('initrd', `kernel’s vbmeta → ${other}`, async () => {
      const initrd = await bundle.open(other);
      const images = { kernel: bundle.kernel, initrd, trustedKey: options.trustedKey };
      const { debugLevel, initrdDigest } = await verifyKernelAndInitrd(images);
      const digest = toHex(initrdDigest ?? new Uint8Array(0));
      return [`sha256 ${digest}, debug level ${debugLevel}`, undefined];
    });
    await verifyGuestSide(bundle, prove, options);
    if (bundle.names.includes(BUNDLE_FILES.manifestSignature)) {
      await prove('manifest-signature', 'trusted key → manifest.json', async () => {
        const size = await verifyManifestSignature(bundle, options.trustedKey);
        return [`${size} bytes, in ${BUNDLE_FILES.manifestSignature}`, undefined];
      });
    }
    if (options.attestations) await proveAttestations(bundle, prove, options.attestations);
  }
  const { debugLevel, rollbackIndex, kernelDigest, initrdDigest = new Uint8Array(0) } = boot;
  return { links, debugLevel, rollbackIndex, kernelDigest, initrdDigest };
}

async function proveAttestations(
  bundle: Bundle,
  prove: Prove,
  trust: AttestationTrust,
): Promise<void> {
  const kinds = await presentAttestations(bundle, trust);
  if (kinds.length === 0) return;
  const digests = await attestedDigests(bundle);
  for (const kind of kinds) {
    await prove(kind, `trusted key → ${kind === 'sbom' ? 'bill of materials' : kind}`, async () => {
      const { detail } = await verifyAttestation(bundle, kind, digests, trust);
      return [detail, undefined];
    });
  }
}

/** The variant that `vm.json` does not start. */
const otherInitrd = ({ config }: Bundle): string =>
  config.initrd === BUNDLE_FILES.initrdNormal
    ? BUNDLE_FILES.initrdDebuggable
    : BUNDLE_FILES.initrdNormal;

async function verifyGuestSide(
  bundle: Bundle,
  prove: Prove,
  { hasher, signal }: VerifyBundleOptions,
): Promise<void> {
  const pins = await prove('bootconfig', 'initrd → bootconfig', async () => {
    const read = readBootconfigPins((await decodeInitrd(bundle.initrd)).bootconfig);
    const { mounts, certificates } = read;
    const places = mounts.size === 0 ? '' : `, the places of ${[...mounts.keys()].join(', ')}`;
    return [`pins vbmeta${places} and ${certificates.length} payload certificates`, read];
  });
  const title = 'bootconfig → vbmeta_a → every block of system_a';
  const { partitions } = await prove('system', title, async () => {
    const image = await bundle.os.partition(LABELS.vbmeta);
    const vbmeta = await image.read(0, image.size);
    const pinned = verifyPinnedVbmeta({ ...pins, vbmeta });
    const system = await bundle.os.partition(LABELS.system);
    await verifyPinnedPartition(system, pinned.system, 'system', { hasher, signal });
    await verifyOwnVbmeta(system, pinned.system, 'system');
    await requireDescribed(bundle.os, [LABELS.system, ...pinned.partitions.map(labelOf)]);
    return [describeTree(pinned.system), pinned];
  });
  for (const partition of partitions) {
    const label = labelOf(partition);
    const { mountPoint, descriptor } = partition;
    await prove('partition', `vbmeta_a → every block of ${label}`, async () => {
      const image = await bundle.os.partition(label);
      await verifyPinnedPartition(image, descriptor, 'partition', { hasher, signal });
      await verifyOwnVbmeta(image, descriptor, 'partition');
      return [`${describeTree(descriptor)}, mounted at ${mountPoint}`, undefined];
    });
  }
  const { certificates } = pins;
  await verifyPayloads(bundle, prove, { certificates, hasher });
  await prove('manifest', 'manifest.json → every file of the bundle', () => checkManifest(bundle));
}

const labelOf = ({ name }: PinnedPartition): string => partitionLabel(name);

/** Nothing is on the disk that the chain does not vouch for: who signs the bundle anew would sign that, too. */
async function requireDescribed(os: Disk, labels: readonly string[]): Promise<void> {
  const { partitions } = await os.table();
  const strange = partitions.find(({ label }) => ![LABELS.vbmeta, ...labels].includes(label));
  if (strange === undefined) return;
  throw new VerificationError(
    'partition',
    'InvalidDescriptors',
    `Cannot verify ${os.source.name}: vbmeta_a does not describe its partition "${strange.label}"`,
  );
}

const describeTree = (tree: HashtreeDescriptor): string => {
  const fec = tree.fecSize === 0 ? '' : `, error correction with ${tree.fecNumRoots} roots`;
  return `${tree.hashAlgorithm} root digest ${toHex(tree.rootDigest)}${fec}`;
};

/** The manifest vouches for nothing, but a bundle that contradicts its own manifest is not whole. */
async function checkManifest(bundle: Bundle): Promise<readonly [string, undefined]> {
  for (const file of bundle.manifest.files) {
    const source = await bundle.open(file.path);
    const actual = await digestOfSource(source);
    if (actual !== file.sha256) {
      throw new VerificationError(
        'manifest',
        'digest-mismatch',
        `Cannot trust ${file.path}: it is not the file that manifest.json lists`,
        { expected: file.sha256, actual },
      );
    }
  }
  return [`${bundle.manifest.files.length} files`, undefined];
}

/** Malformed bytes on the way down the chain are a broken link, too. */
async function asLink<T>(link: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    throw new VerificationError(link, cause.code, cause.message, { cause });
  }
}

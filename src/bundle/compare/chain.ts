/**
 * Whether a bundle is what it says: each link of its chain of trust holds under its own key, and the manifest states what is
 * there. Of two bundles that differ in signatures only, all else that differs follows from these.
 */

import { sha256, toHex } from '../../core/digest.ts';
import { FormatError, VerificationError } from '../../core/errors.ts';
import type { HashDescriptor, HashtreeDescriptor } from '../../formats/avb/descriptor.ts';
import { readVbmeta } from '../../formats/avb/footer.ts';
import { decodeVbmeta, type Vbmeta } from '../../formats/avb/vbmeta.ts';
import { readIdsig } from '../../formats/apk/idsig.ts';
import {
  APK_SIGNATURE_SCHEME_V3_BLOCK_ID,
  findApkSections,
  readSigningBlock,
} from '../../formats/apk/signing-block.ts';
import { decodeSignedData, decodeSigners } from '../../formats/apk/signer-block.ts';
import { decodeInitrd } from '../../formats/boot-image/initrd.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import {
  AVB_PARTITIONS,
  extraApkCount,
  extraApkLabel,
  extraIdsigLabel,
  LABELS,
} from '../layout.ts';
import type { Bundle, Disk } from '../open.ts';
import { verifyBundle } from '../verify.ts';
import type { Proof } from './recorder.ts';

const vbmetaOf = async (image: ByteSource): Promise<Vbmeta> =>
  decodeVbmeta((await readVbmeta(image)).bytes);

async function certificateOf(disk: Disk, label: string): Promise<Uint8Array> {
  const apk = await disk.partition(label);
  const pairs = await readSigningBlock(apk, await findApkSections(apk));
  const v3 = pairs.find(({ id }) => id === APK_SIGNATURE_SCHEME_V3_BLOCK_ID);
  const [signer] = v3 === undefined ? [] : decodeSigners(v3.value, 'v3', v3.offset);
  return (signer && decodeSignedData(signer.signedData, 'v3').certificates[0]) ?? new Uint8Array(0);
}

const rootOf = async (disk: Disk, label: string): Promise<string> =>
  toHex((await readIdsig(await disk.partition(label))).hashing.rawRootHash);

async function extraRootsOf(disk: Disk): Promise<string[]> {
  const labels = (await disk.table()).partitions.map(({ label }) => label);
  const roots: string[] = [];
  for (let index = 0; index < extraApkCount(labels); index += 1) {
    roots.push(await rootOf(disk, extraIdsigLabel(index)));
  }
  return roots;
}

const disksOf = ({ payload, payloads }: Bundle): Disk[] => [payload, ...payloads.values()];

/** Digests of the certificates that the APKs of a bundle are signed with, as bootconfigs write them. */
async function ownCertificates(bundle: Bundle): Promise<Set<string>> {
  const own = new Set<string>();
  for (const disk of disksOf(bundle)) {
    const labels = (await disk.table()).partitions.map(({ label }) => label);
    const apks = Array.from({ length: extraApkCount(labels) }, (_, index) => extraApkLabel(index));
    for (const label of [LABELS.apk, ...apks]) {
      own.add(`sha256:${toHex(sha256(await certificateOf(disk, label)))}`);
    }
  }
  return own;
}

/** What a manifest must say, by the names of its fields. */
async function factsOf(bundle: Bundle): Promise<Map<string, unknown>> {
  const facts = new Map<string, unknown>();
  const { manifest } = bundle;
  const kernel = await vbmetaOf(bundle.kernel);
  const partition = await bundle.os.partition(LABELS.vbmeta);
  const vbmeta = await vbmetaOf(partition);
  const { bootconfig } = await decodeInitrd(bundle.initrd);
  facts.set('keys.image.sha256', toHex(sha256(kernel.publicKey)));
  const certificate = await certificateOf(bundle.payload, LABELS.apk);
  facts.set('keys.payload.sha256', toHex(sha256(certificate)));
  const { image, payload } = manifest.keys;
  facts.set('release', image.development || payload.development ? 'development' : 'release');
  const digest = (name: string): string | undefined => {
    const found = kernel.descriptors.find(
      (each): each is HashDescriptor => each.kind === 'hash' && each.partitionName === name,
    );
    return found && toHex(found.digest);
  };
  facts.set('chain.kernelDigest', digest(AVB_PARTITIONS.kernel));
  facts.set('chain.initrdNormalDigest', digest(AVB_PARTITIONS.initrdNormal));
  facts.set('chain.initrdDebuggableDigest', digest(AVB_PARTITIONS.initrdDebuggable));
  facts.set('chain.vbmetaDigest', toHex(sha256(await partition.read(0, vbmeta.size))));
  const roots = new Map(
    vbmeta.descriptors
      .filter((each): each is HashtreeDescriptor => each.kind === 'hashtree')
      .map((each) => [each.partitionName, toHex(each.rootDigest)]),
  );
  facts.set('chain.systemRootDigest', roots.get(AVB_PARTITIONS.system));
  for (const name of Object.keys(manifest.chain.partitionRootDigests ?? {})) {
    facts.set(`chain.partitionRootDigests.${name}`, roots.get(name));
  }
  const certificates = bootconfig.find(({ key }) => key === 'microbuild.payload.certificates');
  facts.set('chain.payloadCertificates', certificates?.values ?? []);
  facts.set('chain.rollbackIndex', Number(vbmeta.rollbackIndex));
  facts.set('chain.apkRootDigest', await rootOf(bundle.payload, LABELS.idsig));
  const extra = await extraRootsOf(bundle.payload);
  facts.set('chain.extraApkRootDigests', extra.length === 0 ? undefined : extra);
  for (const [name, disk] of bundle.payloads) {
    const further = await extraRootsOf(disk);
    facts.set(`payloads.${name}.apkRootDigest`, await rootOf(disk, LABELS.idsig));
    facts.set(`payloads.${name}.extraApkRootDigests`, further.length === 0 ? undefined : further);
  }
  return facts;
}

const valueAt = (value: unknown, path: string): unknown =>
  path
    .split('.')
    .reduce<unknown>(
      (at, key) =>
        at !== null && typeof at === 'object' && Object.hasOwn(at, key)
          ? (at as Readonly<Record<string, unknown>>)[key]
          : undefined,
      value,
    );

/** Why a manifest is not that of its bundle. */
async function wrongManifest(bundle: Bundle): Promise<string | undefined> {
  const { manifest } = bundle;
  for (const [path, fact] of await factsOf(bundle)) {
    const stated = valueAt(manifest, path);
    if (JSON.stringify(stated) !== JSON.stringify(fact)) {
      return `manifest.json: ${path} is ${JSON.stringify(stated)}, the bundle has ${JSON.stringify(fact)}`;
    }
  }
  const plain = manifest.files.map(({ path, sha256: digest, size }) => ({
    path,
    sha256: digest,
    size,
  }));
  if (JSON.stringify(plain) !== JSON.stringify(manifest.files)) {
    return 'manifest.json: its list of files says more than their names, digests and sizes';
  }
  for (const { path, size } of manifest.files) {
    const actual = (await bundle.open(path)).size;
    if (actual !== size) return `manifest.json: ${path} has ${actual} bytes, not ${size}`;
  }
  return undefined;
}

async function wrongChain(bundle: Bundle, signal?: AbortSignal): Promise<string | undefined> {
  try {
    const { publicKey } = await vbmetaOf(bundle.kernel);
    await verifyBundle(bundle, { trustedKey: publicKey, level: 'full', signal });
    return await wrongManifest(bundle);
  } catch (error) {
    if (error instanceof VerificationError || error instanceof FormatError) return error.message;
    throw error;
  }
}

/** That each accepts the same signers as the other, but for the own one of each. */
async function strangers(bundle: Bundle, other: Bundle): Promise<string | undefined> {
  const accepted = async ({ initrd }: Bundle): Promise<readonly string[]> => {
    const { bootconfig } = await decodeInitrd(initrd);
    return bootconfig.find(({ key }) => key === 'microbuild.payload.certificates')?.values ?? [];
  };
  const listed = ({ manifest }: Bundle): string =>
    manifest.files.map(({ path }) => path).join('\n');
  if (listed(bundle) !== listed(other)) return 'manifest.json lists other files';
  const [mine, theirs] = [await accepted(bundle), await accepted(other)];
  const own = await ownCertificates(bundle);
  const strange = mine.find((each) => !theirs.includes(each) && !own.has(each));
  return strange && `its bootconfig accepts payloads of ${strange}, who signed none of it`;
}

/** That whatever keys change is as it must be in both bundles. */
export function chainProof(a: Bundle, b: Bundle, signal?: AbortSignal): Proof {
  const wrong = async (bundle: Bundle, other: Bundle): Promise<string | undefined> =>
    (await wrongChain(bundle, signal)) ?? (await strangers(bundle, other));
  return async () => {
    const [x, y] = [await wrong(a, b), await wrong(b, a)];
    return x === undefined && y === undefined
      ? undefined
      : { ...(x && { a: x }), ...(y && { b: y }) };
  };
}

/**
 * What a bundle measures, from its own bytes: the digests that stand for its parts, and what a machine that starts it will have
 * in the certificates of its DICE chain (docs/attestations.md tells which bytes that leaves out).
 */

import { sha256, toHex } from '../core/digest.ts';
import { FormatError } from '../core/errors.ts';
import { sha512, type DiceMode } from '../dice/derive.ts';
import {
  payloadStage,
  SYSTEM_STAGE,
  systemStage,
  type MeasuredApk,
  type MeasuredPayload,
  type MeasuredSystem,
} from '../dice/stages.ts';
import { readIdsig } from '../formats/apk/idsig.ts';
import { findApkSections } from '../formats/apk/signing-block.ts';
import type { Descriptor } from '../formats/avb/descriptor.ts';
import { readVbmeta } from '../formats/avb/footer.ts';
import { decodeVbmeta } from '../formats/avb/vbmeta.ts';
import { decodeManifest } from '../formats/axml/manifest.ts';
import { decodePayloadMetadata } from '../formats/payload-metadata/metadata.ts';
import { readEntry } from '../formats/zip/read-entry.ts';
import { sliceSource, type ByteSource } from '../io/byte-source.ts';
import { AVB_PARTITIONS, BUNDLE_FILES, extraIdsigLabel, LABELS } from './layout.ts';
import type { Measurements, PayloadMeasurements } from './measurements.ts';
import type { Bundle } from './open.ts';
import { pinnedVbmetaDigest } from './pinned-vbmeta.ts';
import { readPayloadDisks, type PayloadDisk } from './resign-payload.ts';

/** One certificate of the chain. Hashes are SHA-512, in hexadecimal. */
export interface StageMeasurement {
  readonly mode: DiceMode;
  readonly codeHash: string;
  readonly authorityHash: string;
  /** Of the configuration descriptor. That of the system's stage names the instance: it is told where the instance is. */
  readonly configHash?: string;
}

/** The stages of a machine: its system, and whichever payload it starts. */
export interface ChainMeasurements {
  readonly system: StageMeasurement & {
    /** What the descriptor says beside the instance. */
    readonly componentName: string;
    readonly securityVersion: string;
  };
  readonly payload: StageMeasurement;
  /** Further payloads by name. */
  readonly payloads: Readonly<Record<string, StageMeasurement>>;
}

export interface DiceMeasurements {
  /** Started with `initrd.img`. */
  readonly normal: ChainMeasurements;
  /** Started with `initrd_debuggable.img`. */
  readonly debuggable: ChainMeasurements;
}

export interface BundleMeasurements extends Measurements {
  /** SHA-256 of the AVB public key. */
  readonly imageKey: string;
  readonly rollbackIndex: string;
  readonly dice: DiceMeasurements;
}

const MAX_MANIFEST_SIZE = 1 << 20;

/**
 * Reads all of them. Nothing is verified: digests stand for bytes only where those were held against them, as `verifyBundle`
 * does.
 *
 * @param instanceHash SHA-512 of an instance's id, for the configuration of its system's stage.
 * @throws {FormatError} when a part cannot be read.
 */
export async function readMeasurements(
  bundle: Bundle,
  instanceHash?: Uint8Array,
): Promise<BundleMeasurements> {
  const { descriptors, publicKey, rollbackIndex } = decodeVbmeta(
    (await readVbmeta(bundle.kernel)).bytes,
  );
  const digestOf = (name: string): Uint8Array => hashDigest(descriptors, name);
  const kernelDigest = digestOf(AVB_PARTITIONS.kernel);
  const initrds = {
    normal: digestOf(AVB_PARTITIONS.initrdNormal),
    debuggable: digestOf(AVB_PARTITIONS.initrdDebuggable),
  };
  const vbmetaDigest = await pinnedVbmetaDigest(await bundle.open(BUNDLE_FILES.initrdNormal));
  const payloads = await Promise.all((await readPayloadDisks(bundle)).map(measuredPayload));
  const chain = (which: 'normal' | 'debuggable'): ChainMeasurements => {
    const initrdDigest = initrds[which];
    const system = { vbmetaDigest, kernelDigest, initrdDigest, publicKey, rollbackIndex };
    return chainOf(system, payloads, { debuggable: which === 'debuggable', instanceHash });
  };
  const own = payloads.find(({ name }) => name === undefined);
  if (own === undefined) throw new TypeError('The default payload is always there');
  return {
    vbmetaDigest: toHex(vbmetaDigest),
    kernelDigest: toHex(kernelDigest),
    initrdNormalDigest: toHex(initrds.normal),
    initrdDebuggableDigest: toHex(initrds.debuggable),
    partitions: await rootDigests(await bundle.os.partition(LABELS.vbmeta)),
    payload: payloadDigests(own),
    payloads: furtherOf(payloads, payloadDigests),
    imageKey: toHex(sha256(publicKey)),
    rollbackIndex: String(rollbackIndex),
    dice: { normal: chain('normal'), debuggable: chain('debuggable') },
  };
}

interface NamedPayload extends MeasuredPayload {
  readonly name: string | undefined;
}

const furtherOf = <T>(
  payloads: readonly NamedPayload[],
  tell: (payload: NamedPayload) => T,
): Readonly<Record<string, T>> =>
  Object.fromEntries(
    payloads.flatMap((each) => (each.name === undefined ? [] : [[each.name, tell(each)]])),
  );

function hashDigest(descriptors: readonly Descriptor[], name: string): Uint8Array {
  const found = descriptors.find((each) => each.kind === 'hash' && each.partitionName === name);
  if (found?.kind === 'hash') return found.digest;
  throw new FormatError('avb', 'bad-value', `Cannot measure kernel: no descriptor of ${name}`, {
    field: name,
  });
}

/** Of all partitions, the system first. */
async function rootDigests(vbmeta: ByteSource): Promise<Readonly<Record<string, string>>> {
  const { descriptors } = decodeVbmeta(await vbmeta.read(0, vbmeta.size));
  return Object.fromEntries(
    descriptors
      .flatMap((each) =>
        each.kind === 'hashtree' ? [[each.partitionName, toHex(each.rootDigest)] as const] : [],
      )
      .sort(
        ([a], [b]) => Number(b === AVB_PARTITIONS.system) - Number(a === AVB_PARTITIONS.system),
      ),
  );
}

/** What the guest measures of a disk. */
async function measuredPayload({ name, disk, facts, extra }: PayloadDisk): Promise<NamedPayload> {
  const metadata = await disk.partition(LABELS.metadata);
  const { payload } = decodePayloadMetadata(await metadata.read(0, metadata.size));
  if (payload === undefined) {
    throw new FormatError('payload-metadata', 'unsupported', 'Cannot measure: it names no payload');
  }
  const apks = [
    await measuredApk(facts.apk, await disk.partition(LABELS.idsig), facts.certificate),
  ];
  for (const [index, { label, certificate }] of extra.entries()) {
    const idsig = await disk.partition(extraIdsigLabel(index));
    apks.push(await measuredApk(await disk.partition(label), idsig, certificate));
  }
  const start =
    payload.kind === 'config'
      ? { binaryName: payload.payloadBinaryName }
      : { configPath: payload.path };
  return { name, apks, start };
}

async function measuredApk(
  partition: ByteSource,
  idsig: ByteSource,
  certificate: Uint8Array,
): Promise<MeasuredApk> {
  // Partitions are filled up to a whole block.
  const apk = sliceSource(partition, 0, (await findApkSections(partition)).size);
  const bytes = await readEntry(apk, 'AndroidManifest.xml', MAX_MANIFEST_SIZE);
  const manifest = decodeManifest(bytes ?? new Uint8Array(0));
  const { hashing } = await readIdsig(idsig);
  return {
    package: manifest.package,
    versionCode: BigInt(manifest.versionCode),
    rootHash: hashing.rawRootHash,
    certificateDigest: sha512(certificate),
  };
}

function payloadDigests({ apks: [apk, ...extra] }: NamedPayload): PayloadMeasurements {
  return {
    package: apk?.package ?? '',
    versionCode: Number(apk?.versionCode ?? 0n),
    apkRootDigest: toHex(apk?.rootHash ?? new Uint8Array(0)),
    extraApkRootDigests: extra.map(({ rootHash }) => toHex(rootHash)),
  };
}

function chainOf(
  system: MeasuredSystem,
  payloads: readonly NamedPayload[],
  {
    debuggable,
    instanceHash,
  }: { readonly debuggable: boolean; readonly instanceHash: Uint8Array | undefined },
): ChainMeasurements {
  const stage = systemStage(system, {
    debuggable,
    instanceHash: instanceHash ?? new Uint8Array(0),
  });
  const told = (each: typeof stage): StageMeasurement => ({
    mode: each.mode,
    codeHash: toHex(each.codeHash),
    authorityHash: toHex(each.authorityHash),
    configHash: toHex(sha512(each.config.descriptor)),
  });
  const { configHash = '', ...known } = told(stage);
  const ofPayload = (payload: NamedPayload): StageMeasurement =>
    told(payloadStage(payload, debuggable));
  const [own] = payloads;
  if (own === undefined) throw new TypeError('The default payload is always there');
  return {
    system: {
      ...known,
      ...(instanceHash && { configHash }),
      componentName: SYSTEM_STAGE,
      securityVersion: String(system.rollbackIndex),
    },
    payload: ofPayload(own),
    payloads: furtherOf(payloads, ofPayload),
  };
}

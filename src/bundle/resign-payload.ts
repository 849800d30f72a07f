/** The payload disks of a bundle, with their APKs signed anew. What an APK holds stays; so does what starts it. */

import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { alignUp } from '../core/math.ts';
import { FormatError } from '../core/errors.ts';
import {
  APK_SIGNATURE_SCHEME_V2_BLOCK_ID,
  APK_SIGNATURE_SCHEME_V3_BLOCK_ID,
  findApkSections,
  readSigningBlock,
} from '../formats/apk/signing-block.ts';
import { decodeSignedData, decodeSigners } from '../formats/apk/signer-block.ts';
import { decodeManifest } from '../formats/axml/manifest.ts';
import { layoutGpt, writeGpt } from '../formats/gpt/gpt.ts';
import { readEntry } from '../formats/zip/read-entry.ts';
import { openFileSource, sliceSource, type ByteSource } from '../io/byte-source.ts';
import { copySparse } from '../io/copy-sparse.ts';
import { createFileSink } from '../io/image-sink.ts';
import { signApk, type ApkSigner, type SignApkOptions } from '../signing/apk/sign.ts';
import { BUNDLE_FILES, extraApkCount, extraApkLabel, LABELS, payloadDiskFile } from './layout.ts';
import type { Bundle, Disk } from './open.ts';

/** Partitions end at a multiple of this: the guest maps them by dm-verity. */
const PARTITION_ALIGNMENT = 4096;
const MAX_MANIFEST_SIZE = 1 << 20;

/** What an APK of a bundle is, and who signed it. */
export interface PayloadFacts {
  /** The APK, without what fills its partition. */
  readonly apk: ByteSource;
  readonly package: string;
  readonly debuggable: boolean;
  /** X.509 DER, of the signer of v3. */
  readonly certificate: Uint8Array;
  readonly hasV2: boolean;
}

/** An APK on the payload disk, and who signed it. */
type SignedApkFacts = Pick<PayloadFacts, 'apk' | 'certificate' | 'hasV2'>;

async function readSigner(disk: Disk, label: string): Promise<SignedApkFacts> {
  const partition = await disk.partition(label);
  const sections = await findApkSections(partition);
  const pairs = await readSigningBlock(partition, sections);
  const v3 = pairs.find(({ id }) => id === APK_SIGNATURE_SCHEME_V3_BLOCK_ID);
  const [signer] = v3 === undefined ? [] : decodeSigners(v3.value, 'v3', v3.offset);
  const [certificate] =
    signer === undefined ? [] : decodeSignedData(signer.signedData, 'v3').certificates;
  if (certificate === undefined) {
    throw new FormatError('apk', 'bad-value', `Cannot sign payload: ${label} has no v3 signer`);
  }
  return {
    apk: sliceSource(partition, 0, sections.size),
    certificate,
    hasV2: pairs.some(({ id }) => id === APK_SIGNATURE_SCHEME_V2_BLOCK_ID),
  };
}

/** An extra APK's partition, and the certificate of its signer in X.509 DER. */
export interface ExtraSigner {
  readonly label: string;
  readonly certificate: Uint8Array;
}

/** Who signed the extra APKs, which stay as they are. Nothing is verified. */
async function readExtraSigners(disk: Disk): Promise<readonly ExtraSigner[]> {
  const labels = (await disk.table()).partitions.map(({ label }) => label);
  const signers: ExtraSigner[] = [];
  for (let index = 0; index < extraApkCount(labels); index++) {
    const label = extraApkLabel(index);
    signers.push({ label, certificate: (await readSigner(disk, label)).certificate });
  }
  return signers;
}

/** Reads what is needed to sign the payload again. Nothing is verified. */
async function readPayload(disk: Disk): Promise<PayloadFacts> {
  const signed = await readSigner(disk, LABELS.apk);
  const { apk } = signed;
  const bytes = await readEntry(apk, 'AndroidManifest.xml', MAX_MANIFEST_SIZE);
  if (bytes === undefined) {
    throw new FormatError('apk', 'bad-value', 'Cannot sign payload: its APK has no manifest');
  }
  const manifest = decodeManifest(bytes);
  return { ...signed, package: manifest.package, debuggable: manifest.debuggable };
}

/** A payload disk of a bundle, and who signed what is on it. */
export interface PayloadDisk {
  /** Of a further payload. */
  readonly name: string | undefined;
  /** In the bundle. */
  readonly file: string;
  readonly disk: Disk;
  readonly facts: PayloadFacts;
  readonly extra: readonly ExtraSigner[];
}

/** The disks of all payloads, the default one first. Nothing is verified. */
export async function readPayloadDisks(
  bundle: Bundle,
): Promise<readonly [PayloadDisk, ...PayloadDisk[]]> {
  const read = async (
    name: string | undefined,
    file: string,
    disk: Disk,
  ): Promise<PayloadDisk> => ({
    name,
    file,
    disk,
    facts: await readPayload(disk),
    extra: await readExtraSigners(disk),
  });
  const own = bundle.config.disks[1]?.image ?? BUNDLE_FILES.payload;
  const first = await read(undefined, own, bundle.payload);
  const further: PayloadDisk[] = [];
  for (const [name, disk] of bundle.payloads) {
    further.push(await read(name, payloadDiskFile(name), disk));
  }
  return [first, ...further];
}

/**
 * Writes a payload disk with its APK signed by somebody else.
 *
 * @param path Of the new disk. A folder beside it holds the APK meanwhile.
 * @returns the root digest of the new idsig.
 */
export async function resignPayload(
  { disk, facts }: PayloadDisk,
  path: string,
  signer: ApkSigner,
  options: Pick<SignApkOptions, 'hasher'> & { readonly signal?: AbortSignal | undefined },
): Promise<Uint8Array> {
  const scratch = `${path}.parts`;
  await mkdir(scratch);
  try {
    const files = { apk: join(scratch, 'apk'), idsig: join(scratch, 'idsig') };
    const output = await createFileSink(files.apk);
    const idsig = await createFileSink(files.idsig);
    let signed;
    try {
      signed = await signApk({
        input: facts.apk,
        output,
        idsig,
        signers: [signer],
        schemes: { v1: false, v2: facts.hasV2, v3: true },
        hasher: options.hasher,
      });
    } finally {
      await Promise.all([output.close(), idsig.close()]);
    }
    if (signed.idsig === undefined) throw new TypeError('The payload was signed without an idsig');
    await writeDisk(disk, path, files, options.signal);
    return signed.idsig.rootHash;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** The same partitions in the same order, two of them with other content. */
async function writeDisk(
  disk: Disk,
  path: string,
  files: { readonly apk: string; readonly idsig: string },
  signal: AbortSignal | undefined,
): Promise<void> {
  const { diskGuid, partitions } = await disk.table();
  const apk = await openFileSource(files.apk);
  const idsig = await openFileSource(files.idsig);
  const sink = await createFileSink(path);
  try {
    const sources = await Promise.all(
      partitions.map(async ({ label }) => {
        if (label === LABELS.apk) return apk;
        return label === LABELS.idsig ? idsig : await disk.partition(label);
      }),
    );
    const layout = layoutGpt({
      diskGuid,
      partitions: partitions.map(({ label, guid, typeGuid }, index) => ({
        label,
        guid,
        typeGuid,
        size: alignUp(sources[index]?.size ?? 0, PARTITION_ALIGNMENT),
      })),
    });
    await writeGpt(sink, layout);
    for (const [index, { offset }] of layout.partitions.entries()) {
      const source = sources[index];
      if (source !== undefined) await copySparse(source, sink, offset, signal);
    }
  } finally {
    await Promise.all([apk.close(), idsig.close(), sink.close()]);
  }
}

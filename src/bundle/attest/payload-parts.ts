/** What is on a payload disk, with digests: APKs, their idsigs, and the libraries inside. Nothing is verified. */

import { createHash } from 'node:crypto';
import { decodeManifest } from '../../formats/axml/manifest.ts';
import { readIdsig } from '../../formats/apk/idsig.ts';
import { findApkSections } from '../../formats/apk/signing-block.ts';
import { openEntry } from '../../formats/zip/entry.ts';
import { readEntry } from '../../formats/zip/read-entry.ts';
import { readZip } from '../../formats/zip/read.ts';
import { sliceSource, streamOf, type ByteSource } from '../../io/byte-source.ts';
import { extraApkCount, extraApkLabel, extraIdsigLabel, LABELS } from '../layout.ts';
import type { Disk } from '../open.ts';

/** Bytes with a name: `file#partition`, or the path of an entry. */
export interface DigestedPart {
  readonly name: string;
  readonly size: number;
  /** In hexadecimal. */
  readonly sha256: string;
}

export interface ApkParts {
  readonly package: string;
  readonly versionCode: number;
  readonly versionName: string | null;
  readonly apk: DigestedPart;
  readonly idsig: DigestedPart;
  /** Entries below `lib/`, in the order of the APK. */
  readonly libraries: readonly DigestedPart[];
}

export interface PayloadParts {
  /** Of a further payload; null for the default one. */
  readonly name: string | null;
  /** The payload first, extra APKs behind it. */
  readonly apks: readonly ApkParts[];
}

const MAX_MANIFEST_SIZE = 1 << 20;

async function digestChunks(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of chunks) hash.update(chunk);
  return hash.digest('hex');
}

const digestPart = async (name: string, source: ByteSource): Promise<DigestedPart> => ({
  name,
  size: source.size,
  sha256: await digestChunks(streamOf(source)),
});

async function librariesOf(apk: ByteSource): Promise<readonly DigestedPart[]> {
  const { entries } = await readZip(apk);
  const libraries: DigestedPart[] = [];
  for (const entry of entries) {
    if (!entry.name.startsWith('lib/') || entry.name.endsWith('/')) continue;
    const sha256 = await digestChunks((await openEntry(apk, entry)).stream());
    libraries.push({ name: entry.name, size: entry.size, sha256 });
  }
  return libraries;
}

/** The labels of an APK and of its idsig. */
interface ApkLabels {
  readonly apk: string;
  readonly idsig: string;
}

async function labelsOf(disk: Disk): Promise<readonly ApkLabels[]> {
  const count = extraApkCount((await disk.table()).partitions.map(({ label }) => label));
  const extra = Array.from({ length: count }, (_, index) => ({
    apk: extraApkLabel(index),
    idsig: extraIdsigLabel(index),
  }));
  return [{ apk: LABELS.apk, idsig: LABELS.idsig }, ...extra];
}

/** Both without what fills their partitions up to a whole block. */
async function openApk(
  disk: Disk,
  labels: ApkLabels,
): Promise<{ readonly apk: ByteSource; readonly idsig: ByteSource }> {
  const apk = await disk.partition(labels.apk);
  const idsig = await disk.partition(labels.idsig);
  const { treeOffset, treeSize } = await readIdsig(idsig);
  return {
    apk: sliceSource(apk, 0, (await findApkSections(apk)).size),
    idsig: sliceSource(idsig, 0, treeOffset + treeSize),
  };
}

async function readApk(disk: Disk, file: string, labels: ApkLabels): Promise<ApkParts> {
  const { apk, idsig } = await openApk(disk, labels);
  const axml = await readEntry(apk, 'AndroidManifest.xml', MAX_MANIFEST_SIZE);
  const manifest = decodeManifest(axml ?? new Uint8Array(0));
  return {
    package: manifest.package,
    versionCode: manifest.versionCode,
    versionName: manifest.versionName ?? null,
    apk: await digestPart(`${file}#${labels.apk}`, apk),
    idsig: await digestPart(`${file}#${labels.idsig}`, idsig),
    libraries: await librariesOf(apk),
  };
}

/**
 * Reads the disk of a payload.
 *
 * @param file The disk's name in the bundle.
 * @throws {FormatError} when it is none, or an APK or idsig cannot be read.
 */
export async function readPayloadParts(
  disk: Disk,
  { name, file }: { readonly name: string | null; readonly file: string },
): Promise<PayloadParts> {
  const apks: ApkParts[] = [];
  for (const labels of await labelsOf(disk)) apks.push(await readApk(disk, file, labels));
  return { name, apks };
}

/**
 * The digests of the APKs and idsigs of a disk only.
 *
 * @throws {FormatError} as `readPayloadParts` does.
 */
export async function readApkDigests(disk: Disk, file: string): Promise<readonly DigestedPart[]> {
  const parts: DigestedPart[] = [];
  for (const labels of await labelsOf(disk)) {
    const { apk, idsig } = await openApk(disk, labels);
    parts.push(await digestPart(`${file}#${labels.apk}`, apk));
    parts.push(await digestPart(`${file}#${labels.idsig}`, idsig));
  }
  return parts;
}

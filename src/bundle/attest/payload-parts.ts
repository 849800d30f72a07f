/** What is on a payload disk, with digests: APKs, their idsigs, and the libraries inside. Nothing is verified. */

import { createHash } from 'node:crypto';
import { decodeManifest } from '../../formats/axml/manifest.ts';
import { readIdsig } from '../../formats/apk/idsig.ts';
import { findApkSections } from '../../formats/apk/signing-block.ts';
import { openEntry, readLocalHeader } from '../../formats/zip/entry.ts';
import { METHOD_STORED } from '../../formats/zip/layout.ts';
import { readEntry } from '../../formats/zip/read-entry.ts';
import { readZip, type ZipEntry } from '../../formats/zip/read.ts';
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

/** The SHA-256 of each of these contents of one disk, in hexadecimal. */
export type PartDigester = (parts: readonly DigestedContent[]) => Promise<readonly string[]>;

/** Of some bytes of a disk: those of a file, where there is one, as they stand in it. */
export interface DigestedContent {
  readonly size: number;
  readonly file?: ByteSource['file'];
  stream(): AsyncIterable<Uint8Array>;
}

/** One after the other, with node:crypto. */
export const digestStreams: PartDigester = async (parts) => {
  const digests: string[] = [];
  for (const part of parts) {
    const hash = createHash('sha256');
    for await (const chunk of part.stream()) hash.update(chunk);
    digests.push(hash.digest('hex'));
  }
  return digests;
};

const contentOf = (source: ByteSource): DigestedContent => ({
  size: source.size,
  ...(source.file && { file: source.file }),
  stream: () => streamOf(source),
});

interface NamedContent {
  readonly name: string;
  readonly content: DigestedContent;
}

/** What is stored stands in the file as it is. */
async function entryContent(apk: ByteSource, entry: ZipEntry): Promise<DigestedContent> {
  if (entry.method !== METHOD_STORED) {
    const content = await openEntry(apk, entry);
    return { size: content.size, stream: () => content.stream() };
  }
  const { dataOffset } = await readLocalHeader(apk, entry);
  return contentOf(sliceSource(apk, dataOffset, entry.size));
}

async function librariesOf(apk: ByteSource): Promise<readonly NamedContent[]> {
  const { entries } = await readZip(apk);
  const libraries: NamedContent[] = [];
  for (const entry of entries) {
    if (!entry.name.startsWith('lib/') || entry.name.endsWith('/')) continue;
    libraries.push({ name: entry.name, content: await entryContent(apk, entry) });
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
  file: string,
  labels: ApkLabels,
): Promise<{
  readonly apk: ByteSource;
  readonly parts: readonly [apk: NamedContent, idsig: NamedContent];
}> {
  const partition = await disk.partition(labels.apk);
  const apk = sliceSource(partition, 0, (await findApkSections(partition)).size);
  const idsig = await disk.partition(labels.idsig);
  const { treeOffset, treeSize } = await readIdsig(idsig);
  return {
    apk,
    parts: [
      { name: `${file}#${labels.apk}`, content: contentOf(apk) },
      {
        name: `${file}#${labels.idsig}`,
        content: contentOf(sliceSource(idsig, 0, treeOffset + treeSize)),
      },
    ],
  };
}

/** Digests all at once, in their order. */
async function digestAll(
  parts: readonly NamedContent[],
  digester: PartDigester,
): Promise<readonly DigestedPart[]> {
  const digests = await digester(parts.map(({ content }) => content));
  return parts.map(({ name, content: { size } }, index) => ({
    name,
    size,
    sha256: digests[index] ?? '',
  }));
}

/**
 * Reads the disk of a payload.
 *
 * @param file The disk's name in the bundle.
 * @param digester Is asked once, for all that is to be digested.
 * @throws {FormatError} when it is none, or an APK or idsig cannot be read.
 */
export async function readPayloadParts(
  disk: Disk,
  { name, file }: { readonly name: string | null; readonly file: string },
  digester: PartDigester = digestStreams,
): Promise<PayloadParts> {
  const opened = [];
  for (const labels of await labelsOf(disk)) {
    const { apk, parts } = await openApk(disk, file, labels);
    const axml = await readEntry(apk, 'AndroidManifest.xml', MAX_MANIFEST_SIZE);
    const manifest = decodeManifest(axml ?? new Uint8Array(0));
    opened.push({ manifest, parts: [...parts, ...(await librariesOf(apk))] });
  }
  const digested = await digestAll(
    opened.flatMap(({ parts }) => parts),
    digester,
  );
  let at = 0;
  const apks = opened.map(({ manifest, parts }): ApkParts => {
    const [apk, idsig, ...libraries] = digested.slice(at, (at += parts.length));
    if (apk === undefined || idsig === undefined) throw new TypeError('Each APK has an idsig');
    return {
      package: manifest.package,
      versionCode: manifest.versionCode,
      versionName: manifest.versionName ?? null,
      apk,
      idsig,
      libraries,
    };
  });
  return { name, apks };
}

/**
 * The digests of the APKs and idsigs of a disk only.
 *
 * @throws {FormatError} as `readPayloadParts` does.
 */
export async function readApkDigests(disk: Disk, file: string): Promise<readonly DigestedPart[]> {
  const parts: NamedContent[] = [];
  for (const labels of await labelsOf(disk))
    parts.push(...(await openApk(disk, file, labels)).parts);
  return digestAll(parts, digestStreams);
}

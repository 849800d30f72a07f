/** Finds the parts of a bundle and changes one byte of them, as an attacker or a bad disk would. */

import { closeSync, cpSync, openSync, readFileSync, readSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { BUNDLE_FILES, LABELS } from '../../src/bundle/layout.ts';
import { findApkSections } from '../../src/formats/apk/signing-block.ts';
import { readIdsig } from '../../src/formats/apk/idsig.ts';
import { avbAlgorithm } from '../../src/formats/avb/algorithm.ts';
import { encodeFooter, readVbmeta } from '../../src/formats/avb/footer.ts';
import { decodeVbmeta, encodeUnsignedVbmeta, encodeVbmeta } from '../../src/formats/avb/vbmeta.ts';
import { layoutGpt, writeGpt } from '../../src/formats/gpt/gpt.ts';
import { readGpt, type Gpt } from '../../src/formats/gpt/reader.ts';
import { openFileSource, sliceSource } from '../../src/io/byte-source.ts';
import { createFileSink } from '../../src/io/image-sink.ts';

/** Copies a bundle; what is copied is cheap where the file system shares blocks. */
export function copyBundle(from: string, to: string): string {
  cpSync(from, to, { recursive: true });
  return to;
}

/** Inverts one bit of the byte at `offset`. */
export function flipByte(file: string, offset: number): void {
  const handle = openSync(file, 'r+');
  try {
    const byte = Buffer.alloc(1);
    if (readSync(handle, byte, 0, 1, offset) !== 1)
      throw new Error(`${file} ends before ${offset}`);
    byte[0] = (byte[0] ?? 0) ^ 0x10;
    writeSync(handle, byte, 0, 1, offset);
  } finally {
    closeSync(handle);
  }
}

/** Offset and size of a partition in a disk of a bundle. */
export async function partitionOf(
  file: string,
  label: string,
): Promise<{ offset: number; size: number }> {
  const source = await openFileSource(file);
  try {
    const found = (await readGpt(source)).partitions.find((each) => each.label === label);
    if (found === undefined) throw new Error(`${file} has no partition ${label}`);
    return found;
  } finally {
    await source.close();
  }
}

/** Where in `os.img` the hash tree begins, and the data it covers. */
export async function hashTreeOf(
  os: string,
): Promise<{ dataOffset: number; treeOffset: number; treeSize: number }> {
  const vbmetaPlace = await partitionOf(os, LABELS.vbmeta);
  const system = await partitionOf(os, LABELS.system);
  const source = await openFileSource(os);
  try {
    const { descriptors } = decodeVbmeta(await source.read(vbmetaPlace.offset, vbmetaPlace.size));
    const tree = descriptors.find((each) => each.kind === 'hashtree');
    if (tree === undefined) throw new Error('vbmeta_a has no hashtree descriptor');
    const { treeOffset, treeSize } = tree;
    return { dataOffset: system.offset, treeOffset: system.offset + treeOffset, treeSize };
  } finally {
    await source.close();
  }
}

/** Offsets in `payload.img`: inside an APK entry, its signing block, the idsig's root and its tree. */
export async function payloadPlaces(
  payload: string,
): Promise<{ entry: number; signingBlock: number; idsigRoot: number; idsigTree: number }> {
  const apkPlace = await partitionOf(payload, LABELS.apk);
  const idsigPlace = await partitionOf(payload, LABELS.idsig);
  const source = await openFileSource(payload);
  try {
    const apk = sliceSource(source, apkPlace.offset, apkPlace.size);
    const sections = await findApkSections(apk);
    const idsig = await readIdsig(sliceSource(source, idsigPlace.offset, idsigPlace.size));
    const root = Buffer.from(idsig.hashing.rawRootHash);
    const bytes = readFileSync(payload).subarray(idsigPlace.offset);
    return {
      // The library's code: the middle of the entries.
      entry: apkPlace.offset + Math.floor(sections.entriesEnd / 2),
      signingBlock: apkPlace.offset + sections.entriesEnd + 100,
      idsigRoot: idsigPlace.offset + bytes.indexOf(root),
      idsigTree: idsigPlace.offset + idsig.treeOffset + 40,
    };
  } finally {
    await source.close();
  }
}

export const bundleFile = (bundle: string, name: keyof typeof BUNDLE_FILES): string =>
  join(bundle, BUNDLE_FILES[name]);

/** Overwrites a partition with one byte. */
export async function fillPartition(file: string, label: string, value: number): Promise<void> {
  const { offset, size } = await partitionOf(file, label);
  const handle = openSync(file, 'r+');
  writeSync(handle, Buffer.alloc(size, value), 0, size, offset);
  closeSync(handle);
}

/** A partition of a disk that is written anew. */
type Part = Gpt['partitions'][number] & { readonly content: Uint8Array };

/** Writes the disk anew with other partitions: a valid table. */
async function rewriteDisk(file: string, change: (parts: Part[]) => Part[]): Promise<void> {
  const source = await openFileSource(file);
  const { diskGuid, partitions } = await readGpt(source);
  const parts = change(
    await Promise.all(
      partitions.map(async (each) => ({
        ...each,
        content: await source.read(each.offset, each.size),
      })),
    ),
  );
  await source.close();
  rmSync(file);
  const layout = layoutGpt({ diskGuid, partitions: parts });
  const sink = await createFileSink(file);
  await writeGpt(sink, layout);
  for (const [index, { offset }] of layout.partitions.entries()) {
    await sink.write(offset, parts[index]?.content ?? new Uint8Array(0));
  }
  await sink.close();
}

/** Another label for one partition: there is none of the old one. */
export const relabel = (file: string, from: string, to: string): Promise<void> =>
  rewriteDisk(file, (parts) =>
    parts.map((each) => ({ ...each, label: each.label === from ? to : each.label })),
  );

/** One more partition, with the bytes of another. */
export const duplicatePartition = (file: string, from: string, to: string): Promise<void> =>
  rewriteDisk(file, (parts) => [
    ...parts,
    ...parts
      .filter(({ label }) => label === from)
      .map((each) => ({ ...each, label: to, guid: each.guid.map((byte) => byte ^ 1) })),
  ]);

/** The vbmeta behind a partition, made to describe a foreign kernel beside what it describes. */
export async function describeForeignKernel(file: string, label: string): Promise<void> {
  const { offset, size } = await partitionOf(file, label);
  const source = await openFileSource(file);
  const { bytes, footer } = await readVbmeta(sliceSource(source, offset, size));
  await source.close();
  if (footer === undefined) throw new Error(`${label} has no footer`);
  const old = decodeVbmeta(bytes);
  const foreign = {
    kind: 'hash',
    imageSize: 4096,
    hashAlgorithm: 'sha256',
    partitionName: 'boot',
    salt: new Uint8Array(32),
    digest: new Uint8Array(32).fill(7),
    flags: 0,
  } as const;
  const changed = encodeVbmeta(
    encodeUnsignedVbmeta({ ...old, descriptors: [...old.descriptors, foreign] }),
    new Uint8Array(avbAlgorithm(old.algorithm).hashSize),
    new Uint8Array(avbAlgorithm(old.algorithm).signatureSize),
  );
  const handle = openSync(file, 'r+');
  writeSync(handle, changed, 0, changed.length, offset + footer.vbmetaOffset);
  const end = encodeFooter({ ...footer, vbmetaSize: changed.length });
  writeSync(handle, end, 0, end.length, offset + size - end.length);
  closeSync(handle);
}

/** Finds the parts of a bundle and changes one byte of them, as an attacker or a bad disk would. */

import { closeSync, cpSync, openSync, readFileSync, readSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { BUNDLE_FILES, LABELS } from '../../src/bundle/layout.ts';
import { findApkSections } from '../../src/formats/apk/signing-block.ts';
import { readIdsig } from '../../src/formats/apk/idsig.ts';
import { decodeVbmeta } from '../../src/formats/avb/vbmeta.ts';
import { layoutGpt, writeGpt } from '../../src/formats/gpt/gpt.ts';
import { readGpt } from '../../src/formats/gpt/reader.ts';
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

/** Writes the disk anew with another label for one partition: a valid table without the old one. */
export async function relabel(file: string, from: string, to: string): Promise<void> {
  const source = await openFileSource(file);
  const { diskGuid, partitions } = await readGpt(source);
  const contents = await Promise.all(
    partitions.map(({ offset, size }) => source.read(offset, size)),
  );
  await source.close();
  rmSync(file);
  const layout = layoutGpt({
    diskGuid,
    partitions: partitions.map((each) => ({
      ...each,
      label: each.label === from ? to : each.label,
    })),
  });
  const sink = await createFileSink(file);
  await writeGpt(sink, layout);
  for (const [index, { offset }] of layout.partitions.entries()) {
    await sink.write(offset, contents[index] ?? new Uint8Array(0));
  }
  await sink.close();
}

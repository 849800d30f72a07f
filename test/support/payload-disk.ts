/** The payload disk of a bundle taken apart and put together otherwise, as a host could. */

import { rmSync, writeFileSync } from 'node:fs';
import { LABELS } from '../../src/bundle/layout.ts';
import { findApkSections } from '../../src/formats/apk/signing-block.ts';
import { readIdsig } from '../../src/formats/apk/idsig.ts';
import { layoutGpt, writeGpt } from '../../src/formats/gpt/gpt.ts';
import { readGpt } from '../../src/formats/gpt/reader.ts';
import {
  encodePayloadMetadata,
  payloadMetadata,
  type PayloadMetadata,
  type PayloadStart,
} from '../../src/formats/payload-metadata/metadata.ts';
import { bytesSource, openFileSource } from '../../src/io/byte-source.ts';
import { createFileSink } from '../../src/io/image-sink.ts';

export interface Part {
  readonly label: string;
  readonly bytes: Uint8Array;
}

/** Writes the disk anew with other partitions; each is padded to whole blocks. */
export async function remakeDisk(
  file: string,
  change: (parts: readonly Part[]) => readonly Part[],
): Promise<void> {
  const { diskGuid, parts, guids } = await readDisk(file);
  const changed = change(parts);
  rmSync(file);
  const layout = layoutGpt({
    diskGuid,
    partitions: changed.map(({ label, bytes }, index) => ({
      label,
      size: Math.ceil(bytes.length / 4096) * 4096,
      guid: guids[index] ?? Uint8Array.from({ length: 16 }, (_, at) => at + index),
    })),
  });
  const sink = await createFileSink(file);
  await writeGpt(sink, layout);
  for (const [index, { offset }] of layout.partitions.entries()) {
    await sink.write(offset, changed[index]?.bytes ?? new Uint8Array(0));
  }
  await sink.close();
}

async function readDisk(
  file: string,
): Promise<{ diskGuid: Uint8Array; parts: readonly Part[]; guids: readonly Uint8Array[] }> {
  const source = await openFileSource(file);
  try {
    const { diskGuid, partitions } = await readGpt(source);
    const parts: Part[] = [];
    for (const { label, offset, size } of partitions) {
      parts.push({ label, bytes: await source.read(offset, size) });
    }
    return { diskGuid, parts, guids: partitions.map(({ guid }) => guid) };
  } finally {
    await source.close();
  }
}

/** Gives the disk other metadata. */
export const withMetadata =
  (start: PayloadStart, more: Partial<PayloadMetadata> = {}) =>
  (parts: readonly Part[]): readonly Part[] => {
    const bytes = encodePayloadMetadata({ ...payloadMetadata(start), ...more });
    return parts.map((part) => (part.label === LABELS.metadata ? { ...part, bytes } : part));
  };

/** Writes the APK and the idsig of a bundle's payload as files of their own. */
export async function extractApk(disk: string, apk: string, idsig: string): Promise<void> {
  const { parts } = await readDisk(disk);
  const bytesOf = (label: string): Uint8Array => {
    const part = parts.find((each) => each.label === label);
    if (part === undefined) throw new Error(`${disk} has no ${label}`);
    return part.bytes;
  };
  const whole = bytesOf(LABELS.apk);
  const { size } = await findApkSections(bytesSource(whole));
  writeFileSync(apk, whole.subarray(0, size));
  const signature = bytesOf(LABELS.idsig);
  const { treeOffset, treeSize } = await readIdsig(bytesSource(signature));
  writeFileSync(idsig, signature.subarray(0, treeOffset + treeSize));
}

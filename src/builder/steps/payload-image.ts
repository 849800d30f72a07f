/** Writes `payload.img`: what the manager is to run, the APK and its idsig, as GPT partitions. */

import { alignUp } from '../../core/math.ts';
import { sha256 } from '../../core/digest.ts';
import { guidFromDigest, layoutGpt, writeGpt } from '../../formats/gpt/gpt.ts';
import {
  encodePayloadMetadata,
  payloadMetadata,
  type PayloadStart,
} from '../../formats/payload-metadata/metadata.ts';
import { bytesSource, openFileSource, streamOf, type ByteSource } from '../../io/byte-source.ts';
import { createFileSink, offsetSink } from '../../io/image-sink.ts';
import { extraApkLabel, extraIdsigLabel, LABELS } from '../../bundle/layout.ts';
import type { ApkFiles } from '../payload-apks.ts';

/** Partitions end at a multiple of this: the guest maps them by dm-verity. */
const PARTITION_ALIGNMENT = 4096;

export interface PayloadImageOptions extends ApkFiles {
  /** Name of the recipe: seeds the GUIDs. */
  readonly name: string;
  /** What the guest starts. */
  readonly start: PayloadStart;
  readonly extraApks: readonly ApkFiles[];
}

/** Writes a new file at `path`. */
export async function writePayloadImage(path: string, options: PayloadImageOptions): Promise<void> {
  const { start, extraApks } = options;
  const metadata = encodePayloadMetadata(payloadMetadata(start));
  const opened: ByteSource[] = [];
  const open = async (file: string): Promise<ByteSource> => {
    const source = await openFileSource(file);
    opened.push(source);
    return source;
  };
  const file = await createFileSink(path);
  try {
    const parts: { label: string; source: ByteSource }[] = [
      { label: LABELS.metadata, source: bytesSource(metadata) },
      { label: LABELS.apk, source: await open(options.apk) },
      { label: LABELS.idsig, source: await open(options.idsig) },
    ];
    for (const [index, { apk, idsig }] of extraApks.entries()) {
      parts.push({ label: extraApkLabel(index), source: await open(apk) });
      parts.push({ label: extraIdsigLabel(index), source: await open(idsig) });
    }
    const guid = (name: string): Uint8Array =>
      guidFromDigest(sha256(Buffer.from(`microbuild ${options.name} ${name}`)));
    const layout = layoutGpt({
      diskGuid: guid('payload disk'),
      partitions: parts.map(({ label, source }) => ({
        label,
        size: alignUp(source.size, PARTITION_ALIGNMENT),
        guid: guid(label),
      })),
    });
    await writeGpt(file, layout);
    for (const [index, { source }] of parts.entries()) {
      const sink = offsetSink(file, layout.partitions[index]?.offset ?? 0);
      let at = 0;
      for await (const chunk of streamOf(source)) {
        await sink.write(at, chunk);
        at += chunk.length;
      }
    }
  } finally {
    await Promise.all([...opened.map((source) => source.close()), file.close()]);
  }
}

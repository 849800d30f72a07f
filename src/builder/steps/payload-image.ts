/** Writes `payload.img`: what the manager is to run, the APK and its idsig, as GPT partitions. */

import { alignUp } from '../../core/math.ts';
import { sha256 } from '../../core/digest.ts';
import { guidFromDigest, layoutGpt, writeGpt } from '../../formats/gpt/gpt.ts';
import { encodePayloadMetadata, payloadMetadata } from '../../formats/payload-metadata/metadata.ts';
import { bytesSource, openFileSource, streamOf, type ByteSource } from '../../io/byte-source.ts';
import { createFileSink, offsetSink } from '../../io/image-sink.ts';
import { LABELS } from '../../bundle/layout.ts';

/** Partitions end at a multiple of this: the guest maps them by dm-verity. */
const PARTITION_ALIGNMENT = 4096;

export interface PayloadImageOptions {
  /** Name of the recipe: seeds the GUIDs. */
  readonly name: string;
  /** File name of the library with AVmPayload_main. */
  readonly entry: string;
  /** Paths of the signed APK and its idsig. */
  readonly apk: string;
  readonly idsig: string;
}

/** Writes a new file at `path`. */
export async function writePayloadImage(path: string, options: PayloadImageOptions): Promise<void> {
  const metadata = encodePayloadMetadata(payloadMetadata(options.entry));
  const apk = await openFileSource(options.apk);
  const idsig = await openFileSource(options.idsig);
  const file = await createFileSink(path);
  try {
    const parts: { label: string; source: ByteSource }[] = [
      { label: LABELS.metadata, source: bytesSource(metadata) },
      { label: LABELS.apk, source: apk },
      { label: LABELS.idsig, source: idsig },
    ];
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
    await Promise.all([apk.close(), idsig.close(), file.close()]);
  }
}

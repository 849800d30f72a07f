/** Writes a payload's disk: what the manager is to run, the APK and its idsig, as GPT partitions. */

import { sha256 } from '../../core/digest.ts';
import { alignUp } from '../../core/math.ts';
import { extraApkLabel, extraIdsigLabel, LABELS } from '../../bundle/layout.ts';
import { guidFromDigest, layoutGpt, writeGpt, type GptLayout } from '../../formats/gpt/gpt.ts';
import {
  encodePayloadMetadata,
  payloadMetadata,
  type PayloadStart,
} from '../../formats/payload-metadata/metadata.ts';
import { createFileSink, offsetSink, type ImageSink } from '../../io/image-sink.ts';

/** Partitions end at a multiple of this: the guest maps them by dm-verity. */
const PARTITION_ALIGNMENT = 4096;

/** Where an APK and its idsig go. The idsig's place is known once the APK is written. */
export interface ApkPlace {
  readonly apk: ImageSink;
  readonly idsig: ImageSink;
}

export interface PayloadDisk {
  /**
   * The places of the payload's APK, then those of its extra APKs, one after the other.
   *
   * @param write Writes the APK, then the idsig: from their first bytes to their last.
   */
  addApk<T>(write: (place: ApkPlace) => Promise<T>): Promise<T>;
}

/** Writes of a partition, and how far they went. */
function measured(sink: ImageSink): { readonly sink: ImageSink; size(): number } {
  let end = 0;
  return {
    sink: {
      ...(sink.file && { file: sink.file }),
      write(offset, chunk) {
        end = Math.max(end, offset + chunk.length);
        return sink.write(offset, chunk);
      },
      truncate(size) {
        end = size;
        return sink.truncate(size);
      },
    },
    size: () => end,
  };
}

/**
 * Writes a new file at `path`, which is not flushed yet.
 *
 * @param name Seeds the GUIDs.
 */
export async function writePayloadDisk<T>(
  path: string,
  { name, start }: { readonly name: string; readonly start: PayloadStart },
  fill: (disk: PayloadDisk) => Promise<T>,
): Promise<T> {
  const guid = (text: string): Uint8Array =>
    guidFromDigest(sha256(Buffer.from(`microbuild ${name} ${text}`)));
  const parts: { label: string; size: number }[] = [];
  const layout = (more: readonly { label: string; size: number }[] = []): GptLayout =>
    layoutGpt({
      diskGuid: guid('payload disk'),
      partitions: [...parts, ...more].map(({ label, size }) => ({
        label,
        size: alignUp(size, PARTITION_ALIGNMENT),
        guid: guid(label),
      })),
    });
  const file = await createFileSink(path);
  // Where a partition starts does not depend on its own size.
  const next = (): ImageSink =>
    offsetSink(file, layout([{ label: 'next', size: 1 }]).partitions.at(-1)?.offset ?? 0);
  try {
    const metadata = encodePayloadMetadata(payloadMetadata(start));
    await next().write(0, metadata);
    parts.push({ label: LABELS.metadata, size: metadata.length });
    let count = 0;
    const result = await fill({
      async addApk(write) {
        const index = count++ - 1;
        const apk = measured(next());
        let idsig: ReturnType<typeof measured> | undefined;
        const behind = (): ImageSink => {
          if (idsig === undefined) {
            const label = index < 0 ? LABELS.apk : extraApkLabel(index);
            parts.push({ label, size: apk.size() });
            idsig = measured(next());
          }
          return idsig.sink;
        };
        const written = await write({
          apk: apk.sink,
          idsig: {
            write: (offset, chunk) => behind().write(offset, chunk),
            truncate: (size) => behind().truncate(size),
          },
        });
        const label = index < 0 ? LABELS.idsig : extraIdsigLabel(index);
        behind();
        parts.push({ label, size: idsig?.size() ?? 0 });
        return written;
      },
    });
    await writeGpt(file, layout());
    return result;
  } finally {
    await file.close({ flush: false });
  }
}

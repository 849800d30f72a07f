/** EROFS images that the native library plans and writes by itself. */

import type { FileSink } from '../io/image-sink.ts';
import type { NativeCompression } from '../native/erofs-compressed.ts';
import type { NativeLibrary } from '../native/library.ts';
import type { NativeScan } from '../native/scan-tree.ts';
import type { WriteImageOptions } from './assembled-image.ts';
import type { ErofsFolderOptions, PlannedImage, WrittenImage } from './plan-erofs-image.ts';

/** @returns undefined for what it cannot store: the scan can still be used then. */
export async function planImageNatively(
  options: ErofsFolderOptions,
  library: NativeLibrary,
  scan: NativeScan,
): Promise<PlannedImage | undefined> {
  const { compression } = options;
  if (compression === undefined) return planPlain(options, library, scan);
  const { tails, ...how } = compression;
  return tails === 'fragments'
    ? undefined
    : planCompressed(options, { ...how, tails }, library, scan);
}

async function planPlain(
  options: ErofsFolderOptions,
  library: NativeLibrary,
  scan: NativeScan,
): Promise<PlannedImage | undefined> {
  const [{ planErofsNatively }, { writeAssembled }] = await Promise.all([
    import('../native/erofs-plan.ts'),
    import('./assembled-image.ts'),
  ]);
  const named = { ...options, volumeName: options.label ?? '' };
  const plan = await planErofsNatively(library, scan, named);
  return (
    plan && {
      ...plan,
      async write(uuid, sink, writeOptions) {
        const image = { ...plan, assemble: plan.assemble.bind(plan, uuid) };
        try {
          const hasher = await writeAssembled(library, image, sink, sink.file, writeOptions);
          return { size: plan.size, hasher };
        } finally {
          plan.close();
        }
      },
    }
  );
}

async function planCompressed(
  options: ErofsFolderOptions,
  compression: NativeCompression,
  library: NativeLibrary,
  scan: NativeScan,
): Promise<PlannedImage | undefined> {
  const [{ planCompressedErofsNatively }, { createNativeBlockHasher }] = await Promise.all([
    import('../native/erofs-compressed.ts'),
    import('../native/block-hasher.ts'),
  ]);
  const named = { ...options, volumeName: options.label ?? '' };
  const plan = await planCompressedErofsNatively(library, scan, named, compression);
  if (plan === undefined) return undefined;
  const write = async (
    uuid: Uint8Array,
    sink: FileSink,
    { signal, onProgress }: WriteImageOptions,
  ): Promise<WrittenImage> => {
    try {
      const progress = onProgress && ((done: number) => onProgress(done, plan.contentSize));
      const { size } = await plan.write(uuid, sink.file, { signal, onProgress: progress });
      await sink.truncate(size);
      return { size, hasher: createNativeBlockHasher(library) };
    } finally {
      plan.close();
    }
  };
  return { ...plan, write };
}

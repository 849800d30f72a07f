/**
 * The signed images of a bundle, signed anew: `vbmeta_a` and the footers of the partitions, then the initrds that
 * pin it, then the kernel's footer that pins those. Of what is measured, only the initrds change.
 */

import { sha256, toHex } from '../core/digest.ts';
import { UsageError } from '../core/errors.ts';
import { alignUp } from '../core/math.ts';
import type { AvbAlgorithmName } from '../formats/avb/algorithm.ts';
import type { HashDescriptor } from '../formats/avb/descriptor.ts';
import { AVB_FOOTER_SIZE, encodeFooter, readVbmeta } from '../formats/avb/footer.ts';
import { AVB_IMAGE_BLOCK_SIZE } from '../formats/avb/layout.ts';
import { decodeVbmeta, type Vbmeta } from '../formats/avb/vbmeta.ts';
import type { BootconfigEntry } from '../formats/boot-image/bootconfig.ts';
import { decodeInitrd, replaceBootconfig } from '../formats/boot-image/initrd.ts';
import type { ByteSource } from '../io/byte-source.ts';
import { openFileSource, sliceSource } from '../io/byte-source.ts';
import { copySparse } from '../io/copy-sparse.ts';
import { createFileSink, type ImageSink } from '../io/image-sink.ts';
import { writeContent } from '../io/write-content.ts';
import { planResign, signPlan, type ResignPlan } from '../signing/avb/resign.ts';
import { computeHashDescriptor } from '../signing/avb/sign.ts';
import type { Signer } from '../signing/signer.ts';
import { BUNDLE_FILES, LABELS } from './layout.ts';
import type { Bundle } from './open.ts';
import { settleAll } from './settle.ts';

export interface ImageResigning {
  readonly signer: Signer;
  readonly algorithm?: AvbAlgorithmName | undefined;
  readonly rollbackIndex?: bigint | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What the manifest tells of the images. */
export interface ResignedImages {
  readonly vbmetaDigest: Uint8Array;
  readonly initrdNormal: HashDescriptor;
  readonly initrdDebuggable: HashDescriptor;
  readonly rollbackIndex: bigint;
}

/** Copies a file of the bundle into a new one and changes it there. */
async function copyAndChange(
  source: ByteSource,
  path: string,
  change: (sink: ImageSink) => Promise<void>,
  signal: AbortSignal | undefined,
): Promise<void> {
  const sink = await createFileSink(path);
  try {
    await sink.truncate(source.size);
    await copySparse(source, sink, 0, signal);
    await change(sink);
  } finally {
    await sink.close();
  }
}

interface SignedVbmeta {
  readonly old: Vbmeta;
  readonly bytes: Uint8Array;
}

/** Writes a vbmeta into the place of the old one, and the rest of what that took as zeros. */
async function putVbmeta(
  sink: ImageSink,
  offset: number,
  room: number,
  { old, bytes }: SignedVbmeta,
): Promise<void> {
  if (bytes.length > room) {
    throw new UsageError(
      'input',
      `Cannot put a vbmeta of ${bytes.length} bytes where there is room for ${room}`,
      { hint: 'Build the bundle anew with the new keys' },
    );
  }
  const all = new Uint8Array(Math.min(room, alignUp(Math.max(old.size, bytes.length), 512)));
  all.set(bytes);
  await sink.write(offset, all);
}

/** Puts a vbmeta and its footer behind an image whose vbmeta stays where it is. */
async function putFooter(
  sink: ImageSink,
  image: ByteSource,
  start: number,
  signed: SignedVbmeta,
): Promise<void> {
  const { footer } = await readVbmeta(image);
  if (footer === undefined) throw new TypeError(`${image.name} has a footer: it was verified`);
  const room = image.size - AVB_IMAGE_BLOCK_SIZE - footer.vbmetaOffset;
  await putVbmeta(sink, start + footer.vbmetaOffset, room, signed);
  await sink.write(
    start + image.size - AVB_FOOTER_SIZE,
    encodeFooter({ ...footer, vbmetaSize: signed.bytes.length }),
  );
}

async function resignOne(
  image: ByteSource,
  options: ImageResigning,
  hasFooter: boolean,
): Promise<SignedVbmeta> {
  const old = decodeVbmeta((await readVbmeta(image)).bytes);
  return { old, bytes: await signPlan(planResign(old, options, hasFooter)) };
}

/** What will be signed, by the names of files and partitions; made before anything is. */
export async function planImages(
  bundle: Bundle,
  options: ImageResigning,
): Promise<ReadonlyMap<string, ResignPlan>> {
  const planOf = async (image: ByteSource, hasFooter: boolean): Promise<ResignPlan> =>
    planResign(decodeVbmeta((await readVbmeta(image)).bytes), options, hasFooter);
  const plans = new Map<string, ResignPlan>();
  for (const { label } of (await bundle.os.table()).partitions) {
    plans.set(label, await planOf(await bundle.os.partition(label), label !== LABELS.vbmeta));
  }
  return plans.set(BUNDLE_FILES.kernel, await planOf(bundle.kernel, true));
}

/** `os.img`: `vbmeta_a`, and the vbmeta behind each partition that it describes. */
async function resignOs(
  bundle: Bundle,
  path: string,
  options: ImageResigning,
): Promise<{ readonly vbmeta: Uint8Array; readonly rollbackIndex: bigint }> {
  const { partitions } = await bundle.os.table();
  const { source } = bundle.os;
  const vbmetaPlace = partitions.find(({ label }) => label === LABELS.vbmeta);
  if (vbmetaPlace === undefined) throw new TypeError('There is a vbmeta_a: it was verified');
  const alone = sliceSource(source, vbmetaPlace.offset, vbmetaPlace.size, LABELS.vbmeta);
  const [top, behind] = await settleAll([
    resignOne(alone, options, false),
    settleAll(
      partitions
        .filter((place) => place !== vbmetaPlace)
        .map(async ({ label, offset, size }) => {
          const image = sliceSource(source, offset, size, label);
          return { image, offset, signed: await resignOne(image, options, true) };
        }),
    ),
  ]);
  await copyAndChange(
    source,
    path,
    async (sink) => {
      await putVbmeta(sink, vbmetaPlace.offset, vbmetaPlace.size, top);
      for (const { image, offset, signed } of behind) await putFooter(sink, image, offset, signed);
    },
    options.signal,
  );
  return { vbmeta: top.bytes, rollbackIndex: decodeVbmeta(top.bytes).rollbackIndex };
}

/** The bootconfig with what it pins made new; everything else as it is. */
function pinAnew(
  bootconfig: readonly BootconfigEntry[],
  vbmeta: Uint8Array,
  certificates: readonly string[],
): BootconfigEntry[] {
  const pins = new Map<string, readonly string[]>([
    ['androidboot.vbmeta.digest', [toHex(sha256(vbmeta))]],
    ['androidboot.vbmeta.size', [String(vbmeta.length)]],
    ['microbuild.payload.certificates', certificates],
  ]);
  return bootconfig.map(({ key, values }) => ({ key, values: pins.get(key) ?? values }));
}

/** Writes an initrd with new pins. @returns its descriptor, made as the old one was. */
async function resignInitrd(
  bundle: Bundle,
  name: string,
  path: string,
  old: HashDescriptor,
  pins: { readonly vbmeta: Uint8Array; readonly certificates: readonly string[] },
): Promise<HashDescriptor> {
  const source = await bundle.open(name);
  const decoded = await decodeInitrd(source);
  const bootconfig = pinAnew(decoded.bootconfig, pins.vbmeta, pins.certificates);
  const content = replaceBootconfig(source, decoded, bootconfig);
  await writeContent(path, content);
  const written = await openFileSource(path);
  try {
    const { hashAlgorithm, partitionName, salt, flags } = old;
    return await computeHashDescriptor(written, {
      hashAlgorithm: hashAlgorithm as 'sha256' | 'sha512',
      partitionName,
      salt,
      flags,
    });
  } finally {
    await written.close();
  }
}

/** The descriptor of an initrd in the kernel's vbmeta: the one that has its digest. */
async function descriptorOf(source: ByteSource, kernel: Vbmeta): Promise<HashDescriptor> {
  for (const descriptor of kernel.descriptors) {
    if (descriptor.kind !== 'hash' || descriptor.imageSize !== source.size) continue;
    const { digest } = await computeHashDescriptor(source, {
      ...descriptor,
      hashAlgorithm: descriptor.hashAlgorithm as 'sha256' | 'sha512',
    });
    if (Buffer.compare(digest, descriptor.digest) === 0) return descriptor;
  }
  throw new TypeError(`${source.name} is in the kernel's vbmeta: it was verified`);
}

/**
 * Writes `os.img`, both initrds and the kernel into `folder`.
 *
 * @param bundle Verified.
 * @param accepted What the bootconfig shall accept.
 */
export async function resignImages(
  bundle: Bundle,
  pathOf: (name: string) => string,
  accepted: Promise<readonly string[]>,
  options: ImageResigning,
): Promise<ResignedImages> {
  const os = bundle.config.disks[0]?.image ?? BUNDLE_FILES.os;
  const [{ vbmeta, rollbackIndex }, certificates] = await settleAll([
    resignOs(bundle, pathOf(os), options),
    accepted,
  ]);
  const kernel = decodeVbmeta((await readVbmeta(bundle.kernel)).bytes);
  const initrd = async (name: string): Promise<readonly [HashDescriptor, HashDescriptor]> => {
    const old = await descriptorOf(await bundle.open(name), kernel);
    return [old, await resignInitrd(bundle, name, pathOf(name), old, { vbmeta, certificates })];
  };
  const normal = await initrd(BUNDLE_FILES.initrdNormal);
  const debuggable = await initrd(BUNDLE_FILES.initrdDebuggable);
  const renewed = new Map([normal, debuggable]);
  const descriptors = kernel.descriptors.map((each) =>
    each.kind === 'hash' ? (renewed.get(each) ?? each) : each,
  );
  const plan = planResign({ ...kernel, descriptors }, options, true);
  const signed = { old: kernel, bytes: await signPlan(plan) };
  await copyAndChange(
    bundle.kernel,
    pathOf(bundle.config.kernel),
    (sink) => putFooter(sink, bundle.kernel, 0, signed),
    options.signal,
  );
  return {
    vbmetaDigest: sha256(vbmeta),
    initrdNormal: normal[1],
    initrdDebuggable: debuggable[1],
    rollbackIndex,
  };
}

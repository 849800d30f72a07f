/** Writes both initrds and the signed kernel of a bundle. */

import { createHash } from 'node:crypto';
import { constants, copyFile, stat } from 'node:fs/promises';
import { fromHex, sha256, toHex } from '../../core/digest.ts';
import { runAction } from '../../cache/action.ts';
import type { Cache } from '../../cache/store.ts';
import { encodeInitrd, type InitrdContent } from '../../formats/boot-image/initrd.ts';
import type { BootconfigEntry } from '../../formats/boot-image/bootconfig.ts';
import type { HashDescriptor } from '../../formats/avb/descriptor.ts';
import { openFileSource } from '../../io/byte-source.ts';
import { fileContent } from '../../io/disk-tree.ts';
import type { FileContent } from '../../io/file-tree.ts';
import { openFileSink } from '../../io/image-sink.ts';
import { writeContent } from '../../io/write-content.ts';
import { AVB_PARTITIONS } from '../../bundle/layout.ts';
import { settleAll } from '../../bundle/settle.ts';
import { addHashFooter, computeHashDescriptor, hashDescriptorOf } from '../../signing/avb/sign.ts';
import type { BuildKeys } from '../keys.ts';
import type { KernelFiles } from './kernel.ts';

/** Salts as Android chooses them: digests of names. */
const saltOf = (name: string): Uint8Array => sha256(Buffer.from(name));

export interface BootOptions {
  readonly name: string;
  /** The signed `vbmeta_a`, not padded. */
  readonly vbmeta: Uint8Array;
  /** Where the guest mounts partitions beside the system, by name. */
  readonly mounts: Readonly<Record<string, string>>;
  /** `sha256:HEX` or `sha512:HEX` of DER certificates. */
  readonly payloadCertificates: readonly string[];
  /** Path of the guest's init. */
  readonly init: string;
  readonly kernel: KernelFiles;
  readonly sourceDate: number;
  readonly rollbackIndex: number;
  readonly image: BuildKeys['image'];
  readonly cache: Cache;
}

export interface BootPaths {
  readonly kernel: string;
  readonly initrdNormal: string;
  readonly initrdDebuggable: string;
}

/** The bootconfig of a variant: docs/guest-interface.md lists the keys. */
export function bootconfigFor(
  options: Pick<BootOptions, 'name' | 'vbmeta' | 'mounts' | 'payloadCertificates'>,
  debuggable: boolean,
): BootconfigEntry[] {
  const one = (key: string, value: string): BootconfigEntry => ({ key, values: [value] });
  return [
    one('androidboot.microdroid.debuggable', debuggable ? '1' : '0'),
    one('androidboot.slot_suffix', '_a'),
    one('androidboot.vbmeta.avb_version', '1.3'),
    one('androidboot.vbmeta.device', '/dev/block/by-name/vbmeta_a'),
    one('androidboot.vbmeta.digest', toHex(sha256(options.vbmeta))),
    one('androidboot.vbmeta.hash_alg', 'sha256'),
    one('androidboot.vbmeta.size', String(options.vbmeta.length)),
    one('androidboot.veritymode', 'enforcing'),
    ...Object.entries(options.mounts).map(([name, path]) => one(`microbuild.mount.${name}`, path)),
    one('microbuild.name', options.name),
    { key: 'microbuild.payload.certificates', values: options.payloadCertificates },
  ];
}

/** Writes three new files, which are not flushed yet. @returns the hash descriptors, kernel first. */
export async function writeBootFiles(
  options: BootOptions,
  paths: BootPaths,
): Promise<{ kernel: HashDescriptor; normal: HashDescriptor; debuggable: HashDescriptor }> {
  const fileOf = async (path: string): Promise<FileContent> =>
    fileContent(path, (await stat(path)).size);
  const common: Omit<InitrdContent, 'bootconfig'> = {
    init: await fileOf(options.init),
    modules: await Promise.all(
      options.kernel.modules.map(async ({ name, path }) => ({
        name,
        content: await fileOf(path),
      })),
    ),
    mtime: options.sourceDate,
  };
  const variant = async (
    path: string,
    debuggable: boolean,
    partitionName: string,
  ): Promise<HashDescriptor> => {
    const bootconfig = bootconfigFor(options, debuggable);
    const content = encodeInitrd({ ...common, bootconfig });
    const salt = saltOf(partitionName);
    const hash = createHash('sha256').update(salt);
    await writeContent(path, content, { see: (chunk) => hash.update(chunk), flush: false });
    return hashDescriptorOf(content.size, hash.digest(), { partitionName, salt });
  };
  // The kernel is copied meanwhile; only its footer needs the others.
  const initrds = settleAll([
    variant(paths.initrdNormal, false, AVB_PARTITIONS.initrdNormal),
    variant(paths.initrdDebuggable, true, AVB_PARTITIONS.initrdDebuggable),
  ]);
  const [kernel, [normal, debuggable]] = await settleAll([
    writeKernel(options, paths.kernel, async () => {
      const [first, second] = await initrds;
      return [second, first];
    }),
    initrds,
  ]);
  return { kernel, normal, debuggable };
}

/**
 * Copies the kernel, whose digest is known as long as it is in the cache, and puts its footer behind it.
 *
 * @param descriptors Of the initrds.
 */
async function writeKernel(
  { kernel, image, rollbackIndex, cache }: BootOptions,
  path: string,
  descriptors: () => Promise<readonly HashDescriptor[]>,
): Promise<HashDescriptor> {
  const salt = saltOf('bootloader');
  const hash = { partitionName: AVB_PARTITIONS.kernel, salt };
  const vmlinux = await openFileSource(kernel.vmlinux);
  try {
    const { value } = await runAction<{ readonly digest: string }>(
      cache,
      {
        mnemonic: 'kernel-digest/1',
        parameters: { salt: toHex(salt) },
        inputs: { kernel: { sha256: kernel.sha256, size: vmlinux.size } },
        outputs: [],
      },
      async () => {
        const { digest } = await computeHashDescriptor(vmlinux, hash);
        return { value: { digest: toHex(digest) } };
      },
    );
    // The system copies without this process, or shares the blocks.
    await copyFile(kernel.vmlinux, path, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
    const further = await descriptors();
    const sink = await openFileSink(path);
    try {
      const { descriptor } = await addHashFooter(vmlinux, sink, {
        partitionSize: 'dynamic',
        hash,
        vbmeta: {
          algorithm: image.algorithm,
          signer: image.signer,
          rollbackIndex: BigInt(rollbackIndex),
        },
        descriptors: further,
        imageDigest: fromHex(value.digest),
      });
      if (descriptor.kind !== 'hash') throw new TypeError('A hash footer has a hash descriptor');
      return descriptor;
    } finally {
      await sink.close({ flush: false });
    }
  } finally {
    await vmlinux.close();
  }
}

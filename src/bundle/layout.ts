/** The files of a bundle and the labels inside its disks: docs/guest-interface.md as names. */

export const BUNDLE_FILES = {
  kernel: 'kernel',
  initrdNormal: 'initrd.img',
  initrdDebuggable: 'initrd_debuggable.img',
  os: 'os.img',
  payload: 'payload.img',
  vmConfig: 'vm.json',
  manifest: 'manifest.json',
  manifestSignature: 'manifest.dsse.json',
  interfaces: 'interfaces',
  buildRecord: 'build.json',
} as const;

/** Attestations are about a bundle: they stand in this folder of it, and its manifest does not list them. */
export const ATTESTATIONS_FOLDER = 'attestations';

/** The disk of a further payload; that of the default one is `payload.img`. */
export const payloadDiskFile = (name: string): string => `payload-${name}.img`;

/** The GPT label of a verified partition, which its slot ends. */
export const partitionLabel = (name: string): string => `${name}_a`;

/** GPT labels, as on Android. */
export const LABELS = {
  vbmeta: 'vbmeta_a',
  system: 'system_a',
  metadata: 'payload-metadata',
  apk: 'microdroid-apk',
  idsig: 'microdroid-apk-idsig',
} as const;

/** Of Android: further APKs of a payload, from 0 on. */
export const extraApkLabel = (index: number): string => `extra-apk-${index}`;
export const extraIdsigLabel = (index: number): string => `extra-idsig-${index}`;

/** How many extra APKs a payload disk with these labels has: the guest counts the same way. */
export const extraApkCount = (labels: readonly string[]): number =>
  labels.filter((label) => label.startsWith('extra-apk-')).length;

/** Partition names in AVB descriptors. */
export const AVB_PARTITIONS = {
  kernel: 'boot',
  initrdNormal: 'initrd_normal',
  initrdDebuggable: 'initrd_debug',
  system: 'system',
} as const;

/** The virtio serial by which the guest finds a disk. */
export const DISK_SERIALS = { os: 'os', payload: 'payload' } as const;

/** The largest vbmeta image that libavb reads, and the size of our `vbmeta_a` partition. */
export const VBMETA_PARTITION_SIZE = 64 * 1024;

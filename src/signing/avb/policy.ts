/**
 * Whether a kernel and its initrd may be started: the rules of Android's guest firmware (pvmfw), which
 * the runner plays here.
 *
 * The vbmeta in the kernel's footer must be signed by the one trusted key and hold nothing but hash
 * descriptors for `boot`, `initrd_normal`, `initrd_debug` and at most one property with capabilities.
 * Which initrd matches decides the debug level: nobody else can.
 */

import { FormatError, VerificationError } from '../../core/errors.ts';
import type { Descriptor, HashDescriptor } from '../../formats/avb/descriptor.ts';
import { readFooterBytes, decodeFooter, type AvbFooter } from '../../formats/avb/footer.ts';
import type { Vbmeta } from '../../formats/avb/vbmeta.ts';
import { sliceSource, type ByteSource } from '../../io/byte-source.ts';
import {
  verifyHashDescriptor,
  verifyVbmeta,
  type AvbErrorCode,
  type VbmetaTrust,
} from './verify.ts';

export type DebugLevel = 'none' | 'full';

/** What a kernel may ask of the host, in its signed property. */
const CAPABILITIES = [
  'remote_attest',
  'secretkeeper_protection',
  'supports_uefi_boot',
  'trusty_security_vm',
] as const;
export type Capability = (typeof CAPABILITIES)[number];

const CAPABILITIES_PROPERTY = 'com.android.virt.cap';

/** What was proved. */
export interface VerifiedBoot {
  readonly debugLevel: DebugLevel;
  readonly rollbackIndex: bigint;
  readonly capabilities: readonly Capability[];
  readonly kernelDigest: Uint8Array;
  readonly initrdDigest: Uint8Array | undefined;
  /** How many bytes of the kernel's file are covered: the rest is its vbmeta and footer. */
  readonly kernelSize: number;
}

export interface BootImages extends VbmetaTrust {
  /** With its AVB footer. */
  readonly kernel: ByteSource;
  readonly initrd?: ByteSource;
}

const refuse = (link: string, code: AvbErrorCode, message: string, cause?: unknown): never => {
  throw new VerificationError(link, code, message, { cause });
};

async function footerOf(kernel: ByteSource): Promise<AvbFooter> {
  const tail = await readFooterBytes(kernel);
  try {
    return decodeFooter(tail ?? new Uint8Array(0), kernel.size);
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    // As libavb has it: a footer that cannot be found or followed is an input error, one that
    // contradicts the rules is invalid metadata.
    const missing = ['truncated', 'bad-magic', 'bad-version', 'out-of-range'].includes(cause.code);
    return refuse(
      'kernel',
      missing ? 'Io' : 'InvalidMetadata',
      `Cannot verify kernel: ${cause.message}`,
      cause,
    );
  }
}

interface BootDescriptors {
  readonly boot: HashDescriptor;
  readonly initrdNormal: HashDescriptor | undefined;
  readonly initrdDebug: HashDescriptor | undefined;
  readonly capabilities: readonly Capability[];
}

function capabilitiesOf(value: Uint8Array): Capability[] {
  const found: Capability[] = [];
  for (const name of Buffer.from(value).toString('latin1').split('|')) {
    const known = CAPABILITIES.find((capability) => capability === name);
    if (known === undefined) {
      return refuse(
        'kernel',
        'UnknownVbmetaProperty',
        `Cannot verify kernel: its property ${CAPABILITIES_PROPERTY} holds ${JSON.stringify(name)}`,
      );
    }
    if (found.includes(known)) {
      return refuse(
        'kernel',
        'InvalidMetadata',
        `Cannot verify kernel: its property ${CAPABILITIES_PROPERTY} holds "${known}" twice`,
      );
    }
    found.push(known);
  }
  return found;
}

function sortDescriptors(descriptors: readonly Descriptor[]): BootDescriptors {
  const byPartition = new Map<string, HashDescriptor>();
  let capabilities: Capability[] | undefined;
  for (const descriptor of descriptors) {
    if (descriptor.kind === 'hash') {
      const { partitionName } = descriptor;
      if (!['boot', 'initrd_normal', 'initrd_debug'].includes(partitionName)) {
        refuse(
          'kernel',
          'InvalidDescriptors',
          `Cannot verify kernel: it has a hash descriptor for partition "${partitionName}"`,
        );
      }
      if (byPartition.has(partitionName)) {
        refuse(
          'kernel',
          'InvalidDescriptors',
          `Cannot verify kernel: it has two hash descriptors for partition "${partitionName}"`,
        );
      }
      byPartition.set(partitionName, descriptor);
    } else if (descriptor.kind === 'property') {
      if (descriptor.key !== CAPABILITIES_PROPERTY) {
        refuse(
          'kernel',
          'UnknownVbmetaProperty',
          `Cannot verify kernel: it has a property ${JSON.stringify(descriptor.key)}`,
        );
      }
      if (capabilities !== undefined) {
        refuse(
          'kernel',
          'InvalidDescriptors',
          `Cannot verify kernel: it has two properties ${CAPABILITIES_PROPERTY}`,
        );
      }
      capabilities = capabilitiesOf(descriptor.value);
    } else {
      refuse(
        'kernel',
        'InvalidDescriptors',
        `Cannot verify kernel: it has a ${descriptor.kind} descriptor`,
      );
    }
  }
  const boot =
    byPartition.get('boot') ??
    refuse(
      'kernel',
      'InvalidDescriptors',
      'Cannot verify kernel: it has no hash descriptor for partition "boot"',
    );
  return {
    boot,
    initrdNormal: byPartition.get('initrd_normal'),
    initrdDebug: byPartition.get('initrd_debug'),
    capabilities: capabilities ?? [],
  };
}

/** The digest when the initrd is the one of the descriptor, to its last byte. */
async function initrdMatches(
  initrd: ByteSource,
  descriptor: HashDescriptor | undefined,
): Promise<Uint8Array | undefined> {
  if (descriptor === undefined || descriptor.imageSize !== initrd.size) return undefined;
  try {
    return await verifyHashDescriptor(initrd, descriptor, 'initrd');
  } catch (error) {
    if (error instanceof VerificationError && error.code === 'Verification') return undefined;
    throw error;
  }
}

async function verifyInitrd(
  initrd: ByteSource | undefined,
  descriptors: BootDescriptors,
): Promise<{ debugLevel: DebugLevel; digest: Uint8Array | undefined }> {
  const { initrdNormal, initrdDebug } = descriptors;
  if (initrd === undefined) {
    if (initrdNormal !== undefined || initrdDebug !== undefined) {
      refuse(
        'initrd',
        'InvalidMetadata',
        'Cannot verify initrd: the kernel needs one, there is none',
      );
    }
    return { debugLevel: 'none', digest: undefined };
  }
  const normal = await initrdMatches(initrd, initrdNormal);
  if (normal !== undefined) return { debugLevel: 'none', digest: normal };
  const debug = await initrdMatches(initrd, initrdDebug);
  if (debug !== undefined) return { debugLevel: 'full', digest: debug };
  return refuse(
    'initrd',
    'Verification',
    'Cannot verify initrd: it is neither of those that the signed kernel names',
  );
}

function checkFlags(vbmeta: Vbmeta): void {
  if (vbmeta.flags === 0) return;
  refuse(
    'kernel',
    'Verification',
    `Cannot verify kernel: its vbmeta has flags ${vbmeta.flags}, which switch checks off`,
  );
}

/**
 * Proves that kernel and initrd are those that the trusted key signed, byte for byte.
 *
 * @throws {VerificationError} with link `kernel` or `initrd`.
 */
export async function verifyKernelAndInitrd(images: BootImages): Promise<VerifiedBoot> {
  const { kernel, initrd } = images;
  const footer = await footerOf(kernel);
  const bytes = await kernel.read(footer.vbmetaOffset, footer.vbmetaSize);
  const vbmeta = verifyVbmeta(bytes, images, 'kernel');
  if (vbmeta.size !== bytes.length) {
    refuse('kernel', 'InvalidMetadata', 'Cannot verify kernel: bytes follow its vbmeta');
  }
  checkFlags(vbmeta);
  const descriptors = sortDescriptors(vbmeta.descriptors);
  if (descriptors.boot.imageSize !== footer.originalImageSize) {
    refuse(
      'kernel',
      'Verification',
      `Cannot verify kernel: its footer says ${footer.originalImageSize} bytes, ` +
        `its signed descriptor ${descriptors.boot.imageSize}`,
    );
  }
  const kernelDigest = await verifyHashDescriptor(
    sliceSource(kernel, 0, footer.originalImageSize),
    descriptors.boot,
    'kernel',
  );
  const { debugLevel, digest } = await verifyInitrd(initrd, descriptors);
  return {
    debugLevel,
    rollbackIndex: vbmeta.rollbackIndex,
    capabilities: descriptors.capabilities,
    kernelDigest,
    initrdDigest: digest,
    kernelSize: footer.originalImageSize,
  };
}

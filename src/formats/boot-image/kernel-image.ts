/**
 * A kernel as people have it: vmlinux, bzImage, an arm64 Image, any of them compressed, or the kernel
 * part of an Android boot.img.
 *
 * @see Documentation/arch/x86/boot.rst and Documentation/arch/arm64/booting.rst of Linux
 */

import { gunzipSync } from 'node:zlib';
import { FormatError } from '../../core/errors.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import { bootPart, isAndroidBoot, readAndroidBoot } from './android-boot.ts';
import { extractVmlinux, type KernelDecompressors } from './bz-image.ts';
import { findPvhEntry } from './elf.ts';
import { decodeLz4LegacyUpTo } from './lz4-legacy.ts';

/** Kernels are taken into memory: Debian's largest has 66 MB unpacked, debug builds several times that. */
const MAX_KERNEL_SIZE = 512 << 20;
/** "ARM\x64" at its place in an arm64 Image. */
const ARM64_MAGIC_OFFSET = 56;
/** "HdrS" at its place in a bzImage. */
const HDRS_OFFSET = 0x202;

/** What the kernel was wrapped in, from the outside in. */
export type KernelWrapping = 'boot.img' | 'gzip' | 'lz4' | 'bzImage';

export interface KernelImage {
  /** `elf` for x86-64 with a PVH entry, `arm64` an Image as the VMM loads it. */
  readonly kind: 'elf' | 'arm64';
  readonly bytes: Uint8Array;
  readonly wrapping: readonly KernelWrapping[];
}

const refuse = (
  code: 'unsupported' | 'too-large' | 'bad-value',
  why: string,
  cause?: unknown,
): never => {
  throw new FormatError('kernel', code, `Cannot use kernel: ${why}`, { cause });
};

/**
 * Reads a kernel and unwraps it to what a VMM starts.
 *
 * @throws {FormatError} when it is none of these, is damaged or too large, or lacks a PVH entry.
 */
export async function readKernelImage(
  source: ByteSource,
  decompressors: KernelDecompressors = {},
): Promise<KernelImage> {
  const wrapping: KernelWrapping[] = [];
  let part = source;
  if (await isAndroidBoot(source)) {
    wrapping.push('boot.img');
    part = bootPart(source, await readAndroidBoot(source), 'kernel');
  }
  if (part.size > MAX_KERNEL_SIZE) refuse('too-large', `${part.name} has ${part.size} bytes`);
  let bytes = await part.read(0, part.size);
  const unpacked = unpack(bytes);
  if (unpacked !== undefined) {
    wrapping.push(unpacked.compression);
    ({ bytes } = unpacked);
  }
  if (textAt(bytes, 0, 4) === '\x7fELF') {
    if (findPvhEntry(bytes) === undefined) {
      refuse('unsupported', 'it has no PVH entry (CONFIG_PVH)');
    }
    return { kind: 'elf', bytes, wrapping };
  }
  if (textAt(bytes, HDRS_OFFSET, 4) === 'HdrS') {
    wrapping.push('bzImage');
    return { kind: 'elf', bytes: (await extractVmlinux(bytes, decompressors)).elf, wrapping };
  }
  if (textAt(bytes, ARM64_MAGIC_OFFSET, 4) === 'ARM\x64') {
    return { kind: 'arm64', bytes, wrapping };
  }
  const head = Buffer.from(bytes.subarray(0, 8)).toString('hex');
  return refuse('unsupported', `it begins with 0x${head}, which is no known kernel`);
}

const textAt = (bytes: Uint8Array, at: number, length: number): string =>
  Buffer.from(bytes.subarray(at, at + length)).toString('latin1');

/** The bytes behind gzip or LZ4, as kernels are delivered; undefined when they are not compressed. */
function unpack(
  bytes: Uint8Array,
): { readonly compression: 'gzip' | 'lz4'; readonly bytes: Uint8Array } | undefined {
  const head = textAt(bytes, 0, 4);
  if (head === '\x02\x21\x4c\x18') {
    return { compression: 'lz4', bytes: decodeLz4LegacyUpTo(bytes, MAX_KERNEL_SIZE) };
  }
  if (head === '\x04\x22\x4d\x18') {
    return refuse('unsupported', 'it is an LZ4 frame; Linux kernels are packed with `lz4 -l`');
  }
  if (!head.startsWith('\x1f\x8b')) return undefined;
  try {
    const unpacked = gunzipSync(bytes, { maxOutputLength: MAX_KERNEL_SIZE });
    return { compression: 'gzip', bytes: new Uint8Array(unpacked) };
  } catch (cause) {
    return refuse('bad-value', 'its gzip is damaged, or yields too much', cause);
  }
}

/**
 * What a kernel tells of itself without being unpacked.
 *
 * @see Documentation/arch/x86/boot.rst and Documentation/arch/arm64/booting.rst of Linux
 */

import { open } from 'node:fs/promises';
import type { Arch } from '../../core/arch.ts';
import { releaseAt, scanKernel } from '../../formats/boot-image/kernel-facts.ts';

export interface KernelFile {
  /** `packed` tells nothing more than that it is something packed. */
  readonly kind: 'elf' | 'bzImage' | 'arm64' | 'packed' | 'unknown';
  readonly arch?: Arch;
  readonly release?: string;
  /** Its options for EROFS that are set, where it has its configuration in it. */
  readonly erofs?: readonly string[];
}

/** Larger ones are left to the build: reading them takes longer than a check may. */
const MAX_SCANNED = 96 << 20;
const MAGICS = {
  boot: 'ANDROID!',
  gzip: '\x1f\x8b',
  lz4: '\x02\x21\x4c\x18',
  sparse: '\x3a\xff\x26\xed',
} as const;
const EM_X86_64 = 62;
const EM_AARCH64 = 183;

/** @param isThorough Whether to look through all of it for its version and configuration. */
export async function readKernelFile(path: string, isThorough: boolean): Promise<KernelFile> {
  const handle = await open(path, 'r');
  try {
    const { size } = await handle.stat();
    const read = async (at: number, length: number): Promise<Buffer> => {
      const bytes = Buffer.alloc(Math.max(0, Math.min(length, size - at)));
      const { bytesRead } = await handle.read(bytes, 0, bytes.length, at);
      return bytes.subarray(0, bytesRead);
    };
    const head = await read(0, 4096);
    const text = (at: number, length: number): string => head.toString('latin1', at, at + length);
    if (Object.values(MAGICS).some((magic) => text(0, magic.length) === magic)) {
      return { kind: 'packed' };
    }
    if (text(0, 4) === '\x7fELF' && head.length >= 64) {
      const arch = archOfMachine(head.readUInt16LE(18));
      return { kind: 'elf', ...(arch && { arch }), ...(isThorough && (await scan(read, size))) };
    }
    if (text(0x202, 4) === 'HdrS') {
      // Where the version is told, from the end of the boot sector.
      const at = head.readUInt16LE(0x20e) + 0x200;
      const release = releaseAt((await read(at, 200)).toString('latin1'));
      return { kind: 'bzImage', arch: 'x86_64', ...(release !== undefined && { release }) };
    }
    if (text(56, 4) === 'ARM\x64') {
      return { kind: 'arm64', arch: 'aarch64', ...(isThorough && (await scan(read, size))) };
    }
    return { kind: 'unknown' };
  } finally {
    await handle.close();
  }
}

const archOfMachine = (machine: number): Arch | undefined =>
  machine === EM_X86_64 ? 'x86_64' : machine === EM_AARCH64 ? 'aarch64' : undefined;

type Read = (at: number, length: number) => Promise<Buffer>;

async function scan(read: Read, size: number): Promise<Pick<KernelFile, 'release' | 'erofs'>> {
  if (size > MAX_SCANNED) return {};
  const { banner, erofs } = await scanKernel(read, size, { config: true });
  return { ...(banner && { release: banner.release }), ...(erofs && { erofs }) };
}

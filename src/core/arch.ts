/** Architectures of guests, and what others call them. */

export type Arch = 'x86_64' | 'aarch64';

interface ArchNames {
  /** Of packages. */
  readonly debian: string;
  /** Of libraries in an APK. */
  readonly abi: 'x86_64' | 'arm64-v8a';
  /** What a kernel for it is: an ELF file with a PVH entry, or an arm64 Image. */
  readonly kernel: 'elf' | 'arm64';
  /** Node's name, `process.arch`. */
  readonly node: string;
}

export const ARCHITECTURES: Readonly<Record<Arch, ArchNames>> = {
  x86_64: { debian: 'amd64', abi: 'x86_64', kernel: 'elf', node: 'x64' },
  aarch64: { debian: 'arm64', abi: 'arm64-v8a', kernel: 'arm64', node: 'arm64' },
};

export const isArch = (name: unknown): name is Arch =>
  typeof name === 'string' && Object.hasOwn(ARCHITECTURES, name);

/** The compiler of payloads for the musl of the guest: this machine's own, or one that crosses. */
export const muslCompiler = (arch: Arch, host: string = process.arch): string =>
  ARCHITECTURES[arch].node === host ? 'musl-gcc' : `${arch}-linux-musl-gcc`;

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

/** C libraries that payloads run with. */
export const RUNTIMES = ['musl', 'glibc', 'bionic'] as const;
export type Runtime = (typeof RUNTIMES)[number];

/**
 * The compiler of payloads: this machine's own, or one that crosses. There is none for bionic: who builds
 * for it has the NDK.
 */
export function payloadCompiler(
  arch: Arch,
  runtime: Runtime,
  host: string = process.arch,
): string | undefined {
  const isOwn = ARCHITECTURES[arch].node === host;
  switch (runtime) {
    case 'musl':
      return isOwn ? 'musl-gcc' : `${arch}-linux-musl-gcc`;
    case 'glibc':
      return isOwn ? 'gcc' : `${arch}-linux-gnu-gcc`;
    case 'bionic':
      return undefined;
  }
}

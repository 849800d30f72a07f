/** Files in memory that nobody can change once they are sealed: memfd_create(2), F_ADD_SEALS of fcntl(2). */

export interface SealableFile {
  readonly fd: number;
  /** From here on nobody can write to it, change its size or take the seals away. */
  seal(): void;
}

const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
const F_ADD_SEALS = 1033;
/** F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE. */
const ALL_SEALS = 0xf;

/** An empty file in memory; undefined where the system has none, or koffi has no build for it. */
export async function openSealableMemory(name: string): Promise<SealableFile | undefined> {
  if (process.platform !== 'linux') return undefined;
  try {
    // Only here, as loading koffi costs more than most commands need it for.
    const koffi = await import('koffi');
    // The C library of this process.
    const libc = koffi.load(null);
    const create = libc.func('int memfd_create(const char *name, unsigned int flags)');
    const control = libc.func('int fcntl(int fd, int command, ...)');
    const fd = Number(create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (fd < 0) return undefined;
    return {
      fd,
      seal() {
        if (control(fd, F_ADD_SEALS, 'int', ALL_SEALS) === 0) return;
        throw new Error('Cannot seal a file in memory');
      },
    };
  } catch {
    return undefined;
  }
}

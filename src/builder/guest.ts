/** The guest's own programs, as `scripts/build-guest` left them. */

import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ARCHITECTURES, type Arch, type Runtime } from '../core/arch.ts';
import { EnvironmentError } from '../core/errors.ts';
import { bytesContent, directory, regularFile, type Directory } from '../io/file-tree.ts';
import { addInode, ensureDirectory } from '../io/merge-tree.ts';

/** Where they are, and the headers and library that payloads are built against. */
export interface GuestFiles {
  readonly arch: Arch;
  readonly runtime: Runtime;
  readonly init: string;
  readonly launcher: string;
  readonly vmPayload: string;
  /** Folder of libvm_payload.so. */
  readonly libraryFolder: string;
  readonly includeFolder: string;
}

/**
 * Finds the programs for an architecture, and for the C library of its payloads.
 *
 * @param packageRoot Folder of microbuild's package.json.
 * @throws {EnvironmentError} when one was not built.
 */
export async function findGuest(
  packageRoot: string,
  { arch, runtime }: { readonly arch: Arch; readonly runtime: Runtime },
  env: NodeJS.ProcessEnv,
): Promise<GuestFiles> {
  const folder = env['MICROBUILD_GUEST'] ?? join(packageRoot, 'target', 'guest', arch);
  const libraryFolder = runtime === 'musl' ? folder : join(folder, runtime);
  const files = {
    init: join(folder, 'init'),
    launcher: join(libraryFolder, 'microdroid_launcher'),
    vmPayload: join(libraryFolder, 'libvm_payload.so'),
  };
  const isForThisMachine = ARCHITECTURES[arch].node === process.arch;
  for (const path of Object.values(files)) {
    if (!(await stat(path).catch(() => undefined))?.isFile()) {
      throw new EnvironmentError('guest', `Cannot find the guest's programs: ${path} is missing`, {
        hint: isForThisMachine
          ? 'Build them with npm run setup'
          : `Build them with sh scripts/setup --aarch64 && sh scripts/build-guest ${arch}`,
      });
    }
  }
  return {
    arch,
    runtime,
    ...files,
    libraryFolder,
    includeFolder: join(packageRoot, 'guest', 'vm-payload', 'include'),
  };
}

/** Folders that the guest mounts on, or that programs expect. */
const FOLDERS = [
  '/data',
  '/dev',
  '/etc',
  '/lib',
  '/mnt',
  '/proc',
  '/run',
  '/sys',
  '/system/etc',
  '/tmp',
];

/** Names by which payloads made for Android ask for what is in libvm_payload. */
const BINDER_LIBRARIES = ['libbinder_ndk.so', 'libbinder_rpc_unstable.so'];
/** Android's log, which comes with its C library. */
const LOG_LIBRARY = 'liblog.so';

/** The tree of the source `{ guest: runtime }`. */
export async function guestTree(guest: GuestFiles, mtime: number): Promise<Directory> {
  const root = directory({ mtime });
  for (const path of FOLDERS) ensureDirectory(root, path, { mtime });
  const add = async (to: string, from: string, mode: number): Promise<void> => {
    const content = bytesContent(new Uint8Array(await readFile(from)));
    addInode(root, to, regularFile(content, { mode, mtime }), { mtime });
  };
  await add('/system/bin/microdroid_launcher', guest.launcher, 0o755);
  await add('/system/lib64/libvm_payload.so', guest.vmPayload, 0o644);
  const libraries = [...BINDER_LIBRARIES, ...(guest.runtime === 'bionic' ? [] : [LOG_LIBRARY])];
  for (const name of libraries) {
    await add(`/system/lib64/${name}`, join(guest.libraryFolder, name), 0o644);
  }
  return root;
}

/** The guest's own programs, as `scripts/build-guest` left them. */

import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { isRecordedCrate, type RecordedCrate } from '../bundle/build-record.ts';
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
  /** Says which crates the programs are made of; a folder of programs may lack it. */
  readonly crateList: string;
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
    crateList: join(folder, 'crates.json'),
  };
}

/** All its files. */
export const guestPaths = (guest: GuestFiles): readonly string[] => [
  guest.init,
  ...systemFiles(guest).map(({ from }) => from),
];

/** SHA-256 over the names and bytes of all its files, in hexadecimal. */
export async function digestGuest(guest: GuestFiles): Promise<string> {
  const digest = createHash('sha256');
  for (const path of guestPaths(guest)) {
    const bytes = await readFile(path);
    digest.update(`${basename(path)}\0${bytes.length}\0`).update(bytes);
  }
  return digest.digest('hex');
}

/**
 * The crates that its programs are made of; undefined where there is no list.
 *
 * @throws {EnvironmentError} when the list is none.
 */
export async function readGuestCrates(
  guest: Pick<GuestFiles, 'crateList'>,
): Promise<readonly RecordedCrate[] | undefined> {
  const text = await readFile(guest.crateList, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  const refuse = (cause?: unknown): never => {
    throw new EnvironmentError('guest', `Cannot use ${guest.crateList}: it is no list of crates`, {
      cause,
      hint: 'Write it anew with sh scripts/build-guest',
    });
  };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    return refuse(cause);
  }
  return Array.isArray(value) && value.every(isRecordedCrate)
    ? (value as RecordedCrate[])
    : refuse();
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

/** What of the guest is part of its system. */
function systemFiles(guest: GuestFiles): { to: string; from: string; mode: number }[] {
  const libraries = [...BINDER_LIBRARIES, ...(guest.runtime === 'bionic' ? [] : [LOG_LIBRARY])];
  return [
    { to: '/system/bin/microdroid_launcher', from: guest.launcher, mode: 0o755 },
    { to: '/system/lib64/libvm_payload.so', from: guest.vmPayload, mode: 0o644 },
    ...libraries.map((name) => ({
      to: `/system/lib64/${name}`,
      from: join(guest.libraryFolder, name),
      mode: 0o644,
    })),
  ];
}

/** The tree of the source `{ guest: runtime }`. */
export async function guestTree(guest: GuestFiles, mtime: number): Promise<Directory> {
  const root = directory({ mtime });
  for (const path of FOLDERS) ensureDirectory(root, path, { mtime });
  for (const { to, from, mode } of systemFiles(guest)) {
    const content = bytesContent(new Uint8Array(await readFile(from)));
    addInode(root, to, regularFile(content, { mode, mtime }), { mtime });
  }
  return root;
}

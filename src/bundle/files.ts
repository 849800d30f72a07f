/**
 * The files of a bundle by their names, wherever they are: in a folder, or in one `.mbundle` file, which is a
 * tar archive whose members can be read, mapped and given to a virtual machine where they stand.
 */

import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { FormatError, UsageError } from '../core/errors.ts';
import { readAligned } from '../formats/tar/aligned.ts';
import { openFileSource, sliceSource, type ByteSource } from '../io/byte-source.ts';
import { ATTESTATIONS_FOLDER } from './layout.ts';

/** Where a file of a bundle is on disk. Sizes and offsets are bytes. */
export interface FilePlace {
  readonly path: string;
  readonly offset: number;
  readonly size: number;
}

export interface BundleFiles {
  readonly path: string;
  readonly isArchive: boolean;
  /** All files, sorted. */
  readonly names: readonly string[];
  /** Opens a file. Closed with the rest. */
  open(name: string): Promise<ByteSource>;
  place(name: string): Promise<FilePlace>;
  close(): Promise<void>;
}

/** The end of the name of a bundle in one file. */
export const ARCHIVE_EXTENSION = '.mbundle';

export const isArchiveName = (path: string): boolean => path.endsWith(ARCHIVE_EXTENSION);

/** An error of the system as what it means for a bundle. */
function rethrow(path: string, name: string, cause: unknown): never {
  const { code } = cause as NodeJS.ErrnoException;
  if (code === 'ENOENT' || code === 'ENOTDIR') {
    const what = name === '' ? 'nothing is there' : `it has no ${name}`;
    throw new UsageError('input', `Cannot open bundle ${path}: ${what}`, {
      cause,
      hint: 'Make one with microbuild image RECIPE',
    });
  }
  if (code === 'EACCES') {
    const on = name === '' ? '' : ` on ${name}`;
    throw new UsageError('input', `Cannot open bundle ${path}: permission denied${on}`, { cause });
  }
  throw cause;
}

/**
 * Opens the folder or the archive at `path`.
 *
 * @throws {UsageError} `input` when there is neither.
 * @throws {FormatError} when it is a file, but not such an archive.
 */
export async function openBundleFiles(path: string): Promise<BundleFiles> {
  const stats = await stat(path).catch((cause: unknown) => rethrow(path, '', cause));
  return stats.isDirectory() ? openFolder(path) : openArchive(path);
}

async function openFolder(path: string): Promise<BundleFiles> {
  const opened: ByteSource[] = [];
  const entries = await readdir(path, { recursive: true, withFileTypes: true }).catch(
    // A folder in it goes away while the bundle is being replaced.
    (cause: unknown) => rethrow(path, '', cause),
  );
  return {
    path,
    isArchive: false,
    names: entries
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(join(path, '/').length))
      // They are about the bundle, and no part of it.
      .filter((name) => !name.startsWith(`${ATTESTATIONS_FOLDER}/`))
      .sort((a, b) => (a < b ? -1 : 1)),
    async open(name) {
      const source = await openFileSource(join(path, name), name).catch((cause: unknown) =>
        rethrow(path, name, cause),
      );
      opened.push(source);
      return source;
    },
    async place(name) {
      const at = join(path, name);
      const { size } = await stat(at).catch((cause: unknown) => rethrow(path, name, cause));
      return { path: at, offset: 0, size };
    },
    async close() {
      await Promise.all(opened.map((source) => source.close()));
    },
  };
}

async function openArchive(path: string): Promise<BundleFiles> {
  const file = await openFileSource(path).catch((cause: unknown) => rethrow(path, '', cause));
  try {
    const members = await readAligned(file).catch((cause: unknown) => {
      if (!(cause instanceof FormatError)) throw cause;
      throw new FormatError(
        'mbundle',
        cause.code,
        `Cannot open bundle ${path}: it is neither a folder nor an archive that microbuild made: ${cause.message}`,
        {
          cause,
          hint: 'Unpack it with tar and use the folder, or make it anew with microbuild image -o NAME.mbundle',
        },
      );
    });
    const find = (name: string): FilePlace => {
      const found = members.find((member) => member.name === name);
      if (found !== undefined) return { path, offset: found.offset, size: found.size };
      throw new UsageError('input', `Cannot open bundle ${path}: it has no ${name}`);
    };
    return {
      path,
      isArchive: true,
      names: members.map(({ name }) => name),
      async open(name) {
        const { offset, size } = find(name);
        return Promise.resolve(sliceSource(file, offset, size, name));
      },
      async place(name) {
        return Promise.resolve(find(name));
      },
      close: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

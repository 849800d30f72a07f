/** AIDL files on disk, and the folders below which imported ones are sought. */

import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { UsageError } from '../../core/errors.ts';
import type { AidlSources, SourceFile } from './compile.ts';

/** No interface of Android is a hundredth of it. */
const MAX_FILE = 1 << 24;

/** @throws {UsageError} when a file cannot be read. */
export function readAidlFiles(paths: readonly string[]): readonly SourceFile[] {
  return paths.map((path) => {
    const file = readIfThere(path);
    if (file !== undefined) return file;
    throw new UsageError('input', `Cannot read ${path}: there is no such file`);
  });
}

/**
 * Looks below `folders`, and below the folders that the packages of `files` start in: of
 * `src/a/b/IFoo.aidl` with package `a.b` it is `src`.
 */
export function aidlSources(
  folders: readonly string[],
  files: readonly SourceFile[] = [],
): AidlSources {
  const roots: string[] = [];
  for (const folder of [...folders, ...files.flatMap((file) => rootOf(file))]) {
    if (!roots.some((each) => resolve(each) === resolve(folder))) roots.push(folder);
  }
  return { find: (path) => roots.flatMap((root) => readIfThere(join(root, path)) ?? []) };
}

/** All `.aidl` files below a folder, by path; none when there is no such folder. */
export function listAidlFiles(folder: string): readonly string[] {
  let names: string[];
  try {
    names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  } catch (error) {
    if (isAbsent(error)) return [];
    throw error;
  }
  return names
    .filter((name) => name.endsWith('.aidl'))
    .sort()
    .map((name) => join(folder, name));
}

function readIfThere(path: string): SourceFile | undefined {
  try {
    const { size } = statSync(path);
    if (size > MAX_FILE) throw new UsageError('input', `Cannot read ${path}: it is too large`);
    return { path, text: readFileSync(path, 'utf8') };
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

const isAbsent = (error: unknown): boolean =>
  error instanceof Error &&
  'code' in error &&
  (error.code === 'ENOENT' || error.code === 'ENOTDIR' || error.code === 'EISDIR');

/** The folder in which the package of a file starts; none when the file lies elsewhere. */
function rootOf({ path, text }: SourceFile): readonly string[] {
  const code = text.replaceAll(/\/\*[^]*?\*\/|\/\/[^\n]*/g, ' ');
  const name = /^\s*package\s+([\w.]+)\s*;/.exec(code)?.[1];
  const parts = name?.split('.') ?? [];
  const folders = path.split('/').slice(0, -1);
  const tail = folders.slice(Math.max(0, folders.length - parts.length));
  if (tail.join('.') !== parts.join('.')) return [];
  const root = folders.slice(0, folders.length - parts.length).join('/');
  return [root === '' ? (path.startsWith('/') ? '/' : '.') : root];
}

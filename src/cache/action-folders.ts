/** Inputs of an action as `Directory` messages, and folders of outputs as `Tree` messages. */

import { FormatError } from '../core/errors.ts';
import {
  byBytes,
  digestOfBytes,
  directoryMessage,
  isDigest,
  treeMessage,
  type Digest,
  type DirectoryValue,
} from './remote-execution.ts';

/** A file by its digest. */
interface Blob {
  readonly sha256: string;
  readonly size: number;
}

interface Folder {
  readonly files: Map<string, Blob>;
  readonly folders: Map<string, Folder>;
}

const isName = (name: string): boolean =>
  name !== '' && name !== '.' && name !== '..' && !/[/\0]/.test(name);

const newFolder = (): Folder => ({ files: new Map(), folders: new Map() });

/**
 * Refuses paths that an action cannot have.
 *
 * @throws {RangeError} when a path is not relative, or names a file and a folder.
 */
export function checkPaths(paths: readonly string[]): void {
  const nothing = { sha256: '', size: 0 };
  foldersOf(Object.fromEntries(paths.map((path) => [path, nothing])));
}

/** @throws {RangeError} as `checkPaths`. */
function foldersOf(files: Readonly<Record<string, Blob>>): Folder {
  const root = newFolder();
  for (const [path, blob] of Object.entries(files)) {
    const names = path.split('/');
    const last = names.pop() ?? '';
    let at = root;
    for (const name of names) {
      const next = at.folders.get(name) ?? newFolder();
      at.folders.set(name, next);
      at = next;
    }
    at.files.set(last, blob);
    if (![...names, last].every(isName)) throw new RangeError(`Cannot use path "${path}"`);
  }
  checkNames(root);
  return root;
}

function checkNames({ files, folders }: Folder): void {
  for (const [name, folder] of folders) {
    if (files.has(name)) throw new RangeError(`"${name}" is a file and a folder`);
    checkNames(folder);
  }
}

/** Encodes a folder behind those below it. */
function encode(
  folder: Folder,
  visit: (encoded: Uint8Array, value: DirectoryValue) => void,
): Digest {
  const directories = [...folder.folders]
    .sort(([a], [b]) => byBytes(a, b))
    .map(([name, child]) => ({ name, digest: encode(child, visit) }));
  const files = [...folder.files]
    .sort(([a], [b]) => byBytes(a, b))
    .map(([name, { sha256, size }]) => ({
      name,
      digest: { hash: sha256, sizeBytes: size },
      isExecutable: false,
    }));
  const value = { files, directories, symlinks: [] };
  const encoded = directoryMessage.encode(value);
  visit(encoded, value);
  return digestOfBytes(encoded);
}

/** The inputs of an action: the digest of their root folder, and the messages that make it. */
export function encodeInputs(inputs: Readonly<Record<string, Blob>>): {
  readonly root: Digest;
  readonly blobs: readonly Uint8Array[];
} {
  const blobs: Uint8Array[] = [];
  const root = encode(foldersOf(inputs), (encoded) => blobs.push(encoded));
  return { root, blobs };
}

/** A folder of outputs as an encoded `Tree`. */
export function encodeFolder(files: Readonly<Record<string, Blob>>): Uint8Array {
  const all = new Map<string, DirectoryValue>();
  const root = encode(foldersOf(files), (encoded, value) => {
    all.set(digestOfBytes(encoded).hash, value);
  });
  const rootValue = all.get(root.hash);
  all.delete(root.hash);
  return treeMessage.encode({ root: rootValue, children: [...all.values()] });
}

/** More files than any step makes. */
const MAX_FILES = 1 << 20;
const MAX_DEPTH = 64;
/** The same folder can be in many: few messages can mean more folders than there are atoms. */
const MAX_FOLDERS = 1 << 16;

/**
 * The files of an encoded `Tree`, by their paths.
 *
 * @throws {FormatError} when it is none, or has anything else than files and folders with usable names.
 */
export function decodeFolder(tree: Uint8Array): Map<string, Digest> {
  const { root, children } = treeMessage.decode(tree);
  const bad = (what: string): FormatError => new FormatError('cache', 'bad-value', what);
  if (root === undefined) throw bad('A folder of outputs has no root');
  const known = new Map(
    children.map((child) => [digestOfBytes(directoryMessage.encode(child)).hash, child]),
  );
  const found = new Map<string, Digest>();
  let folders = 0;
  const visit = (folder: DirectoryValue, prefix: string, depth: number): void => {
    folders += 1;
    if (depth > MAX_DEPTH) throw bad('A folder of outputs is too deep');
    if (folders > MAX_FOLDERS) throw bad('A folder of outputs has too many folders');
    if (folder.symlinks.length > 0) throw bad('A folder of outputs has symbolic links');
    const names = [...folder.files, ...folder.directories].map(({ name }) => name);
    if (!names.every(isName) || new Set(names).size !== names.length) {
      throw bad('A folder of outputs has a name that cannot be');
    }
    for (const { name, digest } of folder.files) {
      if (!isDigest(digest)) throw bad(`The file "${name}" of a folder has no digest`);
      if (found.size >= MAX_FILES) throw bad('A folder of outputs has too many files');
      found.set(`${prefix}${name}`, digest);
    }
    for (const { name, digest } of folder.directories) {
      const child = digest === undefined ? undefined : known.get(digest.hash);
      if (child === undefined) throw bad(`The folder "${name}" of outputs is not there`);
      visit(child, `${prefix}${name}/`, depth + 1);
    }
  };
  visit(root, '', 0);
  return found;
}

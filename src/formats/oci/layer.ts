/**
 * Puts the layers of a container image on top of each other.
 *
 * An entry `.wh.NAME` of a layer removes NAME of the layers below, `.wh..wh..opq` removes all that they have in its
 * folder; neither touches what the same layer brings, in whatever order its entries stand.
 *
 * @see the OCI image specification 1.1, "Image Layer Filesystem Changeset": "Applying Changesets", "Whiteouts"
 */

import { FormatError } from '../../core/errors.ts';
import type { ArchiveEntry, ArchiveFile } from '../../io/archive-entry.ts';
import { inodeOfEntry, setAttributes } from '../../io/entry-tree.ts';
import {
  directory,
  splitPath,
  type Directory,
  type FileContent,
  type Inode,
} from '../../io/file-tree.ts';

const WHITEOUT = '.wh.';
const OPAQUE = '.wh..wh..opq';
/** Links that lead to links; what the kernel follows. */
const MAX_LINKS = 40;

export interface Layer {
  /** For errors. */
  readonly name: string;
  readonly entries: readonly ArchiveEntry[];
  readonly content: (file: ArchiveFile) => FileContent;
}

/**
 * Applies a layer to what the layers below it made.
 *
 * A folder that the layer does not list is found through the links of the layers below, inside the image, as programs
 * that unpack layers find it. Through its own links no entry goes, and no path is there twice in one layer.
 *
 * @throws {FormatError} `oci`, naming layer and entry.
 */
export function applyLayer(root: Directory, layer: Layer): void {
  const refuse: Refuse = (entry, why) => {
    throw new FormatError(
      'oci',
      'bad-value',
      `Cannot read ${layer.name}: entry ${JSON.stringify(entry.path.slice(0, 300))} ${why}`,
      { field: entry.path },
    );
  };
  const additions: ArchiveEntry[] = [];
  // All whiteouts first: they are about the layers below only.
  for (const entry of layer.entries) {
    const name = baseName(entry.path);
    if (name.startsWith(WHITEOUT)) whiteOut(root, entry, name, refuse);
    else additions.push(entry);
  }
  const own: OwnNames = new Map();
  for (const entry of additions) addEntry(root, entry, layer, own, refuse);
}

/** The names that came with the layer at hand, by the folder they are in. */
type OwnNames = Map<Directory, Set<string>>;

type Refuse = (entry: ArchiveEntry, why: string) => never;

const baseName = (path: string): string => path.slice(path.lastIndexOf('/') + 1);

function whiteOut(root: Directory, entry: ArchiveEntry, name: string, refuse: Refuse): void {
  if (entry.kind !== 'file' && entry.kind !== 'hardlink') refuse(entry, 'is no file');
  const isOpaque = name === OPAQUE;
  const hidden = name.slice(WHITEOUT.length);
  if (!isOpaque && (hidden === '' || hidden === '.' || hidden === '..')) {
    refuse(entry, 'is a whiteout of nothing');
  }
  // Names of this form are kept for what is to come: what they mean is not known.
  if (!isOpaque && hidden.startsWith(WHITEOUT)) refuse(entry, 'is a whiteout of no known kind');
  const folder = existingFolder(root, splitPath(entry.path).slice(0, -1));
  if (isOpaque) folder?.children.clear();
  else folder?.children.delete(hidden);
}

/** The folder that the layers below have at a path, if any. */
function existingFolder(root: Directory, names: readonly string[]): Directory | undefined {
  const found = follow(root, names);
  return found?.kind === 'directory' ? found : undefined;
}

/** What is at a path, links of folders on the way followed inside the image. */
function follow(
  root: Directory,
  names: readonly string[],
  isLinkAllowed: (folder: Directory, name: string) => boolean = () => true,
): Inode | undefined {
  const left = [...names].reverse();
  const folders: Directory[] = [root];
  let links = 0;
  for (let name = left.pop(); name !== undefined; name = left.pop()) {
    const at = folders.at(-1) ?? root;
    if (name === '' || name === '.') continue;
    if (name === '..') {
      if (folders.length > 1) folders.pop();
      continue;
    }
    const next = at.children.get(name);
    if (next?.kind === 'directory') {
      folders.push(next);
    } else if (next?.kind === 'symlink') {
      links += 1;
      if (links > MAX_LINKS || !isLinkAllowed(at, name)) return undefined;
      if (next.target.startsWith('/')) folders.length = 1;
      left.push(...next.target.split('/').reverse());
    } else {
      return left.every((each) => each === '' || each === '.') ? next : undefined;
    }
  }
  return folders.at(-1);
}

function parentOf(
  root: Directory,
  entry: ArchiveEntry,
  names: readonly string[],
  own: OwnNames,
  refuse: Refuse,
): Directory {
  let at = root;
  for (const [index, name] of names.entries()) {
    let next = at.children.get(name);
    if (next === undefined) {
      next = directory();
      next.isImplied = true;
      at.children.set(name, next);
    }
    if (next.kind === 'symlink') {
      if (own.get(at)?.has(name) === true)
        refuse(entry, `goes through "${name}", a link of the same layer`);
      const target = follow(
        root,
        names.slice(0, index + 1),
        (folder, link) => own.get(folder)?.has(link) !== true,
      );
      if (target?.kind !== 'directory') {
        return refuse(entry, `goes through "${name}", a link that leads to no folder`);
      }
      next = target;
    }
    if (next.kind !== 'directory') return refuse(entry, `goes through "${name}", a ${next.kind}`);
    at = next;
  }
  return at;
}

function addEntry(
  root: Directory,
  entry: ArchiveEntry,
  { content }: Layer,
  own: OwnNames,
  refuse: Refuse,
): void {
  if (entry.path === '/') {
    if (entry.kind !== 'directory') refuse(entry, 'is the root but no directory');
    setAttributes(root, entry);
    return;
  }
  const names = splitPath(entry.path);
  const name = names.pop() ?? '';
  const parent = parentOf(root, entry, names, own, refuse);
  const known = parent.children.get(name);
  if (entry.kind === 'directory' && known?.kind === 'directory') {
    setAttributes(known, entry);
    return;
  }
  // Replacing what a layer below has is what layers are for; what the layer itself has is a contradiction.
  const siblings = own.get(parent);
  if (known !== undefined && (siblings?.has(name) === true || hasOwn(known, own))) {
    refuse(entry, 'is there already');
  }
  if (siblings === undefined) own.set(parent, new Set([name]));
  else siblings.add(name);
  if (entry.kind !== 'hardlink') {
    parent.children.set(name, inodeOfEntry(entry, content));
    return;
  }
  const target = follow(root, splitPath(entry.target));
  if (target?.kind !== 'file') {
    return refuse(entry, `is a hard link to "${entry.target}", no file before it`);
  }
  parent.children.set(name, target);
}

/** Whether anything in a folder of a layer below came with this layer. */
function hasOwn(inode: Inode, own: OwnNames): boolean {
  if (inode.kind !== 'directory') return false;
  if (own.has(inode)) return true;
  for (const child of inode.children.values()) if (hasOwn(child, own)) return true;
  return false;
}

/** The tree of an unpacked archive, with the front of its names cut off. */

import { FormatError } from '../../core/errors.ts';
import { entryContent, type ArchiveEntry } from '../../io/archive-entry.ts';
import { entryTree } from '../../io/entry-tree.ts';
import { splitPath, type Directory } from '../../io/file-tree.ts';

/**
 * Devices are taken along: whether an image may have them shows when files have been left out.
 *
 * @param strip How many folders to cut off. What is not below as many is left out, as tar does it.
 * @throws {FormatError} naming the entry that has no place in a tree, or when nothing is left.
 */
export function archiveTree(
  { path, entries }: { readonly path: string; readonly entries: readonly ArchiveEntry[] },
  name: string,
  { strip = 0 }: { readonly strip?: number },
): Directory {
  const tree = entryTree({ format: 'tar', archive: name, allowDevices: true });
  let count = 0;
  for (const entry of entries) {
    const stripped = strip === 0 ? entry : strippedEntry(entry, strip, name);
    if (stripped === undefined) continue;
    count += 1;
    tree.add(stripped, (file) => entryContent(path, file));
  }
  if (strip > 0 && count === 0 && entries.length > 0) {
    throw new FormatError(
      'tar',
      'bad-value',
      `Cannot read ${name}: nothing is ${strip} folders deep`,
    );
  }
  return tree.root;
}

function strippedEntry(entry: ArchiveEntry, strip: number, name: string): ArchiveEntry | undefined {
  const names = splitPath(entry.path);
  if (names.length < strip || (names.length === strip && entry.kind !== 'directory')) {
    return undefined;
  }
  const path = `/${names.slice(strip).join('/')}`;
  if (entry.kind !== 'hardlink') return { ...entry, path };
  const target = splitPath(entry.target);
  if (target.length <= strip) {
    throw new FormatError(
      'tar',
      'bad-value',
      `Cannot read ${name}: entry "${entry.path}" is a hard link to "${entry.target}", which strip cuts off`,
      { field: entry.path },
    );
  }
  return { ...entry, path, target: `/${target.slice(strip).join('/')}` };
}

/** Looking up one path of an image, as the kernel would but without following symbolic links. */

import { UsageError } from '../../core/errors.ts';
import { splitPath } from '../../io/file-tree.ts';
import type { ErofsInode } from './inode.ts';
import type { ErofsReader } from './reader.ts';

/**
 * @param path Absolute.
 * @throws {UsageError} `input` when there is no such path, or it is not one.
 * @throws {FormatError} when a directory on the way is not usable.
 */
export async function findErofsPath(reader: ErofsReader, path: string): Promise<ErofsInode> {
  let names: readonly string[];
  try {
    names = splitPath(path.length > 1 ? path.replace(/\/+$/, '') || '/' : path);
  } catch (cause) {
    throw new UsageError('input', (cause as Error).message, {
      cause,
      hint: 'Paths in an image start with a slash: /etc/passwd',
    });
  }
  let at = reader.root;
  for (const [index, name] of names.entries()) {
    const here = `/${names.slice(0, index).join('/')}`;
    if (at.kind !== 'directory') {
      throw new UsageError('input', `Cannot find ${path}: ${here} is a ${at.kind}`);
    }
    let found: bigint | undefined;
    for await (const entry of reader.listDirectory(at)) {
      if (entry.name === name) found = entry.nid;
    }
    if (found === undefined) {
      throw new UsageError('input', `Cannot find ${path}: ${here} has no "${name}"`);
    }
    at = await reader.readInode(found);
  }
  return at;
}

/**
 * The files of a commit: from the archive of it that the lock pins, which depends on the commit alone. Attributes of the
 * repository (`export-ignore`, `export-subst`, filters) change nothing of it.
 *
 * A submodule is an empty folder in a commit, and a file of Git LFS a pointer: neither is what the image is to have. The
 * first is refused, the second is warned of.
 *
 * @see gitmodules(5), the specification of Git LFS pointers
 */

import { RecipeError, UsageError } from '../../core/errors.ts';
import type { ArchiveEntry, ArchiveFile } from '../../io/archive-entry.ts';
import { openFileSource } from '../../io/byte-source.ts';
import { findInode, splitPath, type Directory } from '../../io/file-tree.ts';
import { gitKey } from '../../recipe/lockfile.ts';
import type { PartitionSource } from '../../recipe/source-schema.ts';
import { archiveTree } from './archive-tree.ts';
import type { SourceContext } from './source-tree.ts';
import { unpackTar } from './unpack.ts';

const LFS_START = Buffer.from('version https://git-lfs.github.com/spec/v1\n');
/** Pointers have less than that. */
const MAX_POINTER = 1024;
const MAX_MODULES = 1 << 20;

/** @returns the tree, and what to look at when files have been left out. */
export async function commitTree(
  source: Extract<PartitionSource, { git: string }>,
  context: SourceContext,
): Promise<{ readonly tree: Directory; readonly check: (placed: Directory) => void }> {
  const { recipe, lock, cache, at } = context;
  const { git: url, ref } = source;
  const locked = lock.git[gitKey(source)];
  if (locked === undefined) {
    throw new UsageError('lock', `microbuild.lock does not pin ${gitKey(source)}`, {
      hint: `Pin it: microbuild lock ${recipe.directory}`,
    });
  }
  const { commit, sha256, size } = locked;
  const update = `microbuild lock ${recipe.directory} --update ${gitKey(source)}`;
  const path = await context.blobs.fetch(
    { kind: 'git', git: url, ref, commit, sha256, size },
    update,
  );
  const name = `${url} ${commit.slice(0, 12)}`;
  const unpacked = await unpackTar(cache, { path, name, digest: { sha256, size } });
  const base = splitPath(
    `/${(source.path ?? '').replace(/^(?:\.\/)+|\/+$/g, '')}`.replace(/^\/\.$/, '/'),
  );
  const prefix = base.map((each) => `/${each}`).join('');
  const entries = unpacked.entries.filter(
    (each) => prefix === '' || each.path === prefix || each.path.startsWith(`${prefix}/`),
  );
  if (entries.length === 0) {
    const message = `${name} has no folder ${source.path ?? '/'}`;
    throw new RecipeError([recipe.diagnosticAt([...at, 'path'], message)]);
  }
  const tree = archiveTree({ path: unpacked.path, entries }, name, { strip: base.length });
  const inImage = (inCommit: string): string =>
    `${source.to === '/' ? '' : source.to}${inCommit.slice(prefix.length)}`;
  const special = await findSpecial(unpacked.path, unpacked.entries);
  return {
    tree,
    check(placed) {
      const stays = (inCommit: string): boolean =>
        inCommit.startsWith(`${prefix}/`) && findInode(placed, inImage(inCommit)) !== undefined;
      for (const module of special.modules.filter(stays)) {
        const inode = findInode(placed, inImage(module));
        if (inode?.kind !== 'directory' || inode.children.size > 0) continue;
        throw new RecipeError([
          recipe.diagnosticAt(
            at,
            `${name}: ${module} is a submodule, which a commit does not hold`,
            `Name it as a source of its own, and leave it out here: exclude: [${inImage(module)}]`,
          ),
        ]);
      }
      const pointers = special.pointers.filter(stays).map(inImage);
      if (pointers.length === 0) return;
      context.note?.(
        {
          kind: 'warning',
          message: `${name}: pointers of Git LFS, not the files themselves: ${pointers.slice(0, 5).join(', ')}${pointers.length > 5 ? ` and ${pointers.length - 5} more` : ''}`,
          hint: 'Take the files from an archive of the release, or leave them out with exclude',
        },
        at,
      );
    },
  };
}

/** Paths of the commit that are submodules by its own list, and those that are pointers of Git LFS. */
async function findSpecial(
  path: string,
  entries: readonly ArchiveEntry[],
): Promise<{ readonly modules: readonly string[]; readonly pointers: readonly string[] }> {
  const file = await openFileSource(path, path);
  const modules: string[] = [];
  const pointers: string[] = [];
  try {
    const read = ({ offset, size }: ArchiveFile): Promise<Uint8Array> => file.read(offset, size);
    for (const entry of entries) {
      if (entry.kind !== 'file') continue;
      if (entry.path === '/.gitmodules' && entry.size <= MAX_MODULES) {
        const text = Buffer.from(await read(entry)).toString();
        for (const [, quoted, plain] of text.matchAll(/^\s*path\s*=\s*(?:"(.*)"|(.*?))\s*$/gm)) {
          const module = `/${(quoted ?? plain ?? '').replace(/\/+$/, '')}`;
          if (!/\/(?:\/|\.{1,2}(?:\/|$)|$)|\0/.test(module)) modules.push(module);
        }
      } else if (entry.size >= LFS_START.length && entry.size <= MAX_POINTER) {
        const start = (await read(entry)).subarray(0, LFS_START.length);
        if (LFS_START.equals(start)) pointers.push(entry.path);
      }
    }
  } finally {
    await file.close();
  }
  return { modules, pointers };
}

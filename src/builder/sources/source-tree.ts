/**
 * What one source of a partition puts into its image: a tree with the paths, owners, modes and times that it has
 * there. Patterns and rules are applied; that two sources claim one path is not seen here.
 */

import { basename } from 'node:path';
import { stat } from 'node:fs/promises';
import { ARCHITECTURES } from '../../core/arch.ts';
import { FormatError, RecipeError, UsageError } from '../../core/errors.ts';
import type { Cache } from '../../cache/store.ts';
import { fileContent, readDiskTree, type DiskScanner } from '../../io/disk-tree.ts';
import {
  bytesContent,
  directory,
  regularFile,
  symlink,
  type Directory,
  type Inode,
} from '../../io/file-tree.ts';
import { addInode, copyAttributes, ensureDirectory } from '../../io/merge-tree.ts';
import { selectFiles } from '../../io/tree-rules.ts';
import { visitTree } from '../../io/visit-tree.ts';
import type { RecipePath } from '../../recipe/issues.ts';
import type { Lock } from '../../recipe/lockfile.ts';
import type { Recipe } from '../../recipe/parse.ts';
import { isAddress } from '../../recipe/schema-values.ts';
import type { PartitionSource } from '../../recipe/source-schema.ts';
import type { Blobs } from '../fetch.ts';
import { inputPath, isLocalDeb } from '../inputs.ts';
import { archiveTree } from './archive-tree.ts';
import { applyRules } from './rules.ts';
import { commitTree } from './git.ts';
import { imageTree } from './oci.ts';
import {
  localArchive,
  unpackDeb,
  unpackTar,
  type Archive,
  type DigestOf,
  type LocalArchive,
} from './unpack.ts';
import { unpackApk, unpackZip } from './unpack-zip.ts';
import { mergeOrThrow } from './clashes.ts';

/** What is worth telling of a source. */
export type SourceNote =
  | { readonly kind: 'warning'; readonly message: string; readonly hint?: string }
  | {
      readonly kind: 'package';
      readonly package: string;
      readonly version: string;
      readonly architecture: string;
      /** Kept as the package has them. */
      readonly conffiles: readonly string[];
      /** Not run. */
      readonly scripts: readonly string[];
      /** SPDX expression, where the package tells. */
      readonly license: string | null;
    };

/** What the sources of a recipe need. */
export interface SourcesContext {
  readonly recipe: Recipe;
  readonly lock: Lock;
  readonly cache: Cache;
  readonly blobs: Pick<Blobs, 'fetch'>;
  /** The tree of `{ guest: runtime }`. */
  guest(): Promise<Directory>;
  /** What finds the files of folders; default: Node's functions. */
  readonly scan?: DiskScanner | undefined;
  /** Seconds since 1970: no file is newer, and what has no time of its own has this one. */
  readonly sourceDate: number;
  readonly env: NodeJS.ProcessEnv;
  readonly signal?: AbortSignal | undefined;
  /** The digest of a file of the recipe; default: of its bytes, read anew. */
  readonly digestOf?: DigestOf | undefined;
  /** Default: nobody is told. */
  readonly note?: ((note: SourceNote, at: RecipePath) => void) | undefined;
}

export interface SourceContext extends SourcesContext {
  /** Where the recipe has the source. */
  readonly at: RecipePath;
}

/**
 * @throws {RecipeError} at the source whose archive is damaged or hostile, or whose patterns and rules match nothing.
 * @throws {UsageError} when a file cannot be read or a pinned one is gone.
 */
export async function sourceTree(
  source: PartitionSource,
  context: SourceContext,
): Promise<Directory> {
  const { recipe, at, sourceDate, signal } = context;
  signal?.throwIfAborted();
  try {
    const { tree, check } = await treeOf(source, context);
    select(tree, source, context);
    check?.(tree);
    settle(tree, sourceDate);
    applyRules(tree, source.rules, recipe, [...at, 'rules']);
    return tree;
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    throw new RecipeError([recipe.diagnosticAt(at, cause.message, cause.hint)], { cause });
  }
}

interface Made {
  readonly tree: Directory;
  /** What to look at when files have been left out. */
  readonly check?: (tree: Directory) => void;
}

async function treeOf(source: PartitionSource, context: SourceContext): Promise<Made> {
  const { recipe, cache, sourceDate: mtime } = context;
  if ('guest' in source) return { tree: await context.guest() };
  if ('deb' in source) return { tree: await debTree(source, context) };
  if ('dir' in source) {
    const tree = await readDiskTree(inputPath(recipe, source.dir), mtime, context.scan);
    return { tree: placed(source.to, tree, mtime) };
  }
  if ('git' in source) {
    const { tree, check } = await commitTree(source, context);
    return { tree: placed(source.to, tree, mtime), check };
  }
  if ('oci' in source) {
    return { tree: placed(source.to, await imageTree(source, context), mtime) };
  }
  if ('tar' in source || 'zip' in source || 'apk' in source) {
    const named = 'tar' in source ? source.tar : 'zip' in source ? source.zip : source.apk;
    const { archive, checkUnchanged } = await archiveOf(named, context);
    const unpack = 'tar' in source ? unpackTar : 'zip' in source ? unpackZip : unpackApk;
    const tree = archiveTree(await unpack(cache, archive), archive.name, {
      strip: 'strip' in source ? source.strip : 0,
    });
    await checkUnchanged();
    return { tree: placed(source.to, tree, mtime) };
  }
  return { tree: await aloneTree(source, recipe, mtime) };
}

/** The sources that are one inode. */
async function aloneTree(
  source: Extract<
    PartitionSource,
    { file: string } | { inline: string } | { symlink: string } | { folder: string }
  >,
  recipe: Recipe,
  mtime: number,
): Promise<Directory> {
  if ('file' in source) {
    const path = inputPath(recipe, source.file);
    const content = fileContent(path, (await stat(path)).size);
    return alone(source.to, regularFile(content, owned(source, mtime)), mtime);
  }
  if ('inline' in source) {
    const content = bytesContent(new Uint8Array(Buffer.from(source.inline)));
    return alone(source.to, regularFile(content, owned(source, mtime)), mtime);
  }
  if ('symlink' in source) {
    const { uid, gid } = source;
    return alone(source.to, symlink(source.symlink, { uid, gid, mtime }), mtime);
  }
  return alone(source.folder, directory(owned(source, mtime)), mtime);
}

/** The archive of a path of the recipe, or of an address that the lock pins. */
async function archiveOf(
  name: string,
  { recipe, lock, blobs, digestOf }: SourceContext,
): Promise<LocalArchive> {
  if (!isAddress(name)) return localArchive(inputPath(recipe, name), name, digestOf);
  const pin = lock.archives[name];
  if (pin === undefined) {
    throw new UsageError('lock', `microbuild.lock does not pin ${name}`, {
      hint: `Pin it: microbuild lock ${recipe.directory}`,
    });
  }
  const update = `microbuild lock ${recipe.directory} --update ${name}`;
  const path = await blobs.fetch({ kind: 'archive', url: name, ...pin }, update);
  return { archive: { path, name, digest: pin }, checkUnchanged: () => Promise.resolve() };
}

async function debTree(
  source: Extract<PartitionSource, { deb: string }>,
  context: SourceContext,
): Promise<Directory> {
  const { recipe, cache, lock, at } = context;
  const wanted = ARCHITECTURES[recipe.data.arch].debian;
  const unpacked = async (archive: Archive): Promise<Directory> => {
    const files = await unpackDeb(cache, archive);
    const { architecture } = files.value;
    if (architecture !== 'all' && architecture !== wanted) {
      const message = `${files.value.package} is a package for ${architecture}, the guest is ${wanted}`;
      throw new RecipeError([recipe.diagnosticAt([...at, 'deb'], message)]);
    }
    context.note?.({ kind: 'package', ...files.value }, at);
    return archiveTree(files, archive.name, {});
  };
  if (isLocalDeb(source.deb)) {
    const { archive, checkUnchanged } = await localArchive(
      inputPath(recipe, source.deb),
      basename(source.deb),
      context.digestOf,
    );
    const tree = await unpacked(archive);
    await checkUnchanged();
    return tree;
  }
  const names = [
    source.deb,
    ...((source.dependencies ? lock.debs[source.deb]?.dependencies : undefined) ?? []),
  ];
  const root = directory({ mtime: context.sourceDate });
  const origins = new Map<Inode, string>();
  for (const name of names) {
    const deb = lock.debs[name];
    if (deb === undefined) {
      throw new UsageError('lock', `microbuild.lock does not pin ${name}`, {
        hint: `Pin it: microbuild lock ${recipe.directory}`,
      });
    }
    const update = `microbuild lock ${recipe.directory} --update ${source.deb}`;
    const path = await context.blobs.fetch({ kind: 'deb', deb }, update);
    const { sha256, size } = deb;
    const tree = await unpacked({
      path,
      name: `${deb.package} ${deb.version}`,
      digest: { sha256, size },
    });
    await mergeOrThrow(root, tree, {
      onAdd: (inode) => origins.set(inode, deb.package),
      describe: (known) => `${origins.get(known)} has it, too`,
      diagnostic: (message, hint) =>
        recipe.diagnosticAt([...at, 'deb'], `${deb.package}: ${message}`, hint),
    });
  }
  return root;
}

const owned = (
  { mode, uid, gid }: { mode: string; uid: number; gid: number },
  mtime: number,
): { mode: number; uid: number; gid: number; mtime: number } => ({
  mode: Number.parseInt(mode, 8),
  uid,
  gid,
  mtime,
});

/** A tree that holds one inode. */
function alone(path: string, inode: Inode, mtime: number): Directory {
  const root = directory({ mtime });
  addInode(root, path, inode, { mtime });
  return root;
}

/** A tree that has another one at `path`. */
function placed(path: string, tree: Directory, mtime: number): Directory {
  const root = directory({ mtime });
  const target = ensureDirectory(root, path, { mtime });
  for (const [name, inode] of tree.children) target.children.set(name, inode);
  // The root of an image is the builder's matter.
  if (target !== root && tree.isImplied !== true) {
    copyAttributes(target, tree);
    delete target.isImplied;
  }
  return root;
}

function select(tree: Directory, source: PartitionSource, { recipe, at }: SourceContext): void {
  if (!('include' in source || 'exclude' in source)) return;
  const { include, exclude } = source;
  try {
    if (!selectFiles(tree, { include, exclude })) {
      throw new RecipeError([
        recipe.diagnosticAt(
          [...at, 'include'],
          'Nothing of the source matches',
          'Patterns are for paths in the image: a name such as *.so, or a whole path such as /usr/lib',
        ),
      ]);
    }
  } catch (cause) {
    if (!(cause instanceof UsageError)) throw cause;
    throw new RecipeError([recipe.diagnosticAt([...at, 'exclude'], cause.message)], { cause });
  }
}

/**
 * Refuses devices: a sealed image has none of its own, the guest's kernel makes them. No file is newer than the build,
 * and folders that nobody named have its time.
 */
function settle(tree: Directory, sourceDate: number): void {
  visitTree(tree, (path, inode) => {
    const { kind } = inode;
    if (kind !== 'file' && kind !== 'directory' && kind !== 'symlink') {
      throw new FormatError(
        'tar',
        'unsupported',
        `Cannot take ${path}: it is a ${kind === 'fifo' ? 'pipe' : kind}`,
        { field: path, hint: `Leave it out: exclude: [${path}]` },
      );
    }
    if (inode.mtime >= sourceDate || (kind === 'directory' && inode.isImplied === true)) {
      inode.mtime = sourceDate;
      inode.mtimeNsec = 0;
    }
  });
}

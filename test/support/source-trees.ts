/** Sources of a recipe as trees, with a cache of their own and without anything but the recipe's folder. */

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { openCache } from '../../src/cache/store.ts';
import { partitionTree, type PartitionTree } from '../../src/builder/steps/partition-tree.ts';
import type { SourceNote } from '../../src/builder/sources/source-tree.ts';
import { directory, findInode, walk, type Directory } from '../../src/io/file-tree.ts';
import { emptyLock, type Lock } from '../../src/recipe/lockfile.ts';
import { parseRecipe, type Recipe } from '../../src/recipe/parse.ts';
import { sha256, toHex } from '../../src/core/digest.ts';

/** Later than anything that a test makes, unless it says otherwise. */
const SOURCE_DATE = 4_000_000_000;

export interface SourcesOptions {
  readonly lock?: Partial<Lock>;
  readonly rules?: readonly unknown[];
  readonly sourceDate?: number;
  readonly guest?: Directory;
  /** Files of pinned blobs by their SHA-256. */
  readonly blobs?: Readonly<Record<string, string>>;
}

export interface MadeTree extends PartitionTree {
  readonly notes: readonly SourceNote[];
}

/** A recipe with the given sources, one a line from line 6 on. */
export function recipeOf(
  folder: string,
  contents: readonly unknown[],
  rules: readonly unknown[] = [],
): Recipe {
  const text = [
    'apiVersion: microbuild/v1',
    'name: sources',
    'partitions:',
    '  system:',
    '    contents:',
    ...contents.map((source) => `      - ${JSON.stringify(source)}`),
    `    rules: ${JSON.stringify(rules)}`,
    'payload: { package: dev.microbuild.test, versionCode: 1, entry: libx.so, libraries: { x86_64: [libx.so] } }',
    '',
  ].join('\n');
  return parseRecipe(Buffer.from(text), join(folder, 'microbuild.yaml'));
}

/** The tree of the system partition. The cache is `folder/.cache`: calls for one folder share it. */
export async function treeOf(
  folder: string,
  contents: readonly unknown[],
  options: SourcesOptions = {},
): Promise<MadeTree> {
  const notes: SourceNote[] = [];
  const made = await partitionTree(recipeOf(folder, contents, options.rules), 'system', {
    lock: { ...emptyLock, ...options.lock },
    cache: await openCache(join(folder, '.cache')),
    blobs: {
      fetch(pin) {
        const digest = 'sha256' in pin ? pin.sha256 : '';
        const found =
          options.blobs?.[
            pin.kind === 'oci'
              ? pin.descriptor.digest.slice('sha256:'.length)
              : pin.kind === 'deb'
                ? pin.deb.sha256
                : digest
          ];
        return found === undefined
          ? Promise.reject(new Error(`Nothing but the test's own blobs: ${pin.kind}`))
          : Promise.resolve(found);
      },
    },
    guest: () => Promise.resolve(options.guest ?? directory()),
    sourceDate: options.sourceDate ?? SOURCE_DATE,
    env: process.env,
    note: (note) => notes.push(note),
  });
  return { ...made, notes };
}

/** The bytes of a file of a tree. */
export async function bytesOf(tree: Directory, path: string): Promise<Buffer> {
  const inode = findInode(tree, path);
  if (inode?.kind !== 'file') throw new Error(`${path} is ${inode?.kind ?? 'not there'}`);
  const chunks: Uint8Array[] = [];
  for await (const chunk of inode.content.stream()) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

/** One line a path: kind, mode, owner, and content, target or name of the first hard link. */
export async function listTree(tree: Directory): Promise<string[]> {
  const paths: string[] = [];
  walk(tree, (path) => paths.push(path));
  const first = new Map<unknown, string>();
  const lines: string[] = [];
  for (const path of paths) {
    const inode = path === '/' ? tree : findInode(tree, path);
    if (inode === undefined) throw new Error(path);
    const known = first.get(inode);
    first.set(inode, known ?? path);
    const what =
      known !== undefined
        ? `= ${known}`
        : inode.kind === 'file'
          ? toHex(sha256(await bytesOf(tree, path))).slice(0, 16)
          : inode.kind === 'symlink'
            ? `-> ${inode.target}`
            : '';
    const mode = inode.kind === 'symlink' ? '' : inode.mode.toString(8);
    lines.push(`${path} ${inode.kind} ${mode} ${inode.uid}:${inode.gid} ${what}`.trimEnd());
  }
  return lines;
}

/** All names below a folder but those of the cache: to see that nothing else was written. */
export const namesBelow = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => !name.startsWith('.cache'))
    .sort();

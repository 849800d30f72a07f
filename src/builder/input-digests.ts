/**
 * The digests of what a recipe names of its own: files and folders. With them in the build record, whoever builds the
 * same again can tell which of them is another one.
 *
 * Of a folder counts what a build sees: names, contents, where links lead, and whether the owner may execute a file. So
 * the checkout does not show, nor does a file that the source leaves out.
 */

import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { toHex } from '../core/digest.ts';
import { readDiskTree, type DiskScanner } from '../io/disk-tree.ts';
import { DIGEST_BYTES } from '../io/file-signatures.ts';
import { directory, walk, type Directory } from '../io/file-tree.ts';
import { ensureDirectory } from '../io/merge-tree.ts';
import { passSystemErrors } from '../io/system-error.ts';
import { selectFiles } from '../io/tree-rules.ts';
import type { Lock } from '../recipe/lockfile.ts';
import type { Recipe } from '../recipe/parse.ts';
import type { FileDigests } from './file-digests.ts';
import { formatRecipePath } from './recipe-path.ts';
import { recipeInputs, type RecipeInput } from './recipe-inputs.ts';

export interface InputDigestOptions {
  readonly files: FileDigests;
  /** Default: with Node's functions. */
  readonly scan?: DiskScanner | undefined;
}

/** By the place in the recipe, such as `partitions.system.contents[2]`: `sha256:HEX`. What is not there has none. */
export type InputDigests = ReadonlyMap<string, string>;

/** Bytes. */
const WORTH_KEEPING = 16 << 20;

/** So much text is hashed at once. */
const CHUNK = 1 << 16;

interface Digest {
  readonly sha256: string;
  /** In bytes; of a folder that of all its files. */
  readonly size: number;
}

/** @throws {UsageError} when a folder holds what no build takes; the system's errors when something cannot be read. */
export async function digestInputs(
  recipe: Recipe,
  lock: Lock,
  { files: known, scan }: InputDigestOptions,
): Promise<InputDigests> {
  const inputs = recipeInputs(recipe, lock).filter(({ path }) => path !== undefined);
  const digests = new Map<string, string>();
  if (inputs.length === 0) return digests;
  let total = 0;
  for (const input of inputs) {
    const found = await digestInput(recipe, input, known, scan);
    if (found === undefined) continue;
    total += found.size;
    digests.set(formatRecipePath(input.at), `sha256:${found.sha256}`);
  }
  // Reading a few files again takes less time than writing down what they are.
  if (total > WORTH_KEEPING) await known.save().catch(passSystemErrors);
  return digests;
}

async function digestInput(
  recipe: Recipe,
  { at, kind, path = '' }: RecipeInput,
  known: FileDigests,
  scan: DiskScanner | undefined,
): Promise<Digest | undefined> {
  const stats = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (stats === undefined) return undefined;
  if (!stats.isDirectory()) return known.digestOf(path);
  const tree = await readDiskTree(path, 0, scan);
  return digestTree(kind === 'dir' ? chosen(recipe, at, tree) : tree, known);
}

/** What the source takes of its folder. */
function chosen(recipe: Recipe, at: RecipeInput['at'], tree: Directory): Directory {
  const [, name, , index] = at;
  const source = recipe.data.partitions[String(name)]?.contents[Number(index)];
  if (source === undefined || !('dir' in source)) return tree;
  const { include, exclude } = source;
  const root = directory();
  const target = ensureDirectory(root, source.to, { mtime: 0 });
  for (const [child, inode] of tree.children) target.children.set(child, inode);
  // Patterns that match nothing, or too much, are told by the step that takes the files.
  selectFiles(root, { include, exclude });
  return target;
}

async function digestTree(tree: Directory, known: FileDigests): Promise<Digest> {
  const lines: string[] = [];
  /** The index of a file, or -1. */
  const places: number[] = [];
  const files: string[] = [];
  walk(tree, (path, inode) => {
    if (path === '/') return;
    const isProgram = inode.kind === 'file' && (inode.mode & 0o100) !== 0;
    const what = inode.kind === 'symlink' ? inode.target : isProgram ? 'x' : '';
    const place = inode.kind === 'file' ? inode.content.file?.path : undefined;
    places.push(place === undefined ? -1 : files.push(place) - 1);
    lines.push(`${inode.kind}\0${path}\0${what}\0`);
  });
  const { digests, sizes } = await known.digestsOf(files);
  const all = toHex(digests);
  const hash = createHash('sha256');
  let text = '';
  for (const [index, line] of lines.entries()) {
    const at = (places[index] ?? 0) * 2 * DIGEST_BYTES;
    text += `${line}${at < 0 ? '' : all.slice(at, at + 2 * DIGEST_BYTES)}\n`;
    // A call for each line would take longer than hashing it.
    if (text.length < CHUNK) continue;
    hash.update(text);
    text = '';
  }
  hash.update(text);
  return { sha256: hash.digest('hex'), size: sizes.reduce((sum, size) => sum + size, 0) };
}

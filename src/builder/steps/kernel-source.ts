/** Where a kernel comes from: a Debian package, or a file of the recipe with a folder of modules. */

import { createHash } from 'node:crypto';
import { sha256, toHex } from '../../core/digest.ts';
import { RecipeError } from '../../core/errors.ts';
import { openFileSource } from '../../io/byte-source.ts';
import { readDiskTree } from '../../io/disk-tree.ts';
import { walk, type Directory, type FileContent, type Inode } from '../../io/file-tree.ts';
import type { RecipePath } from '../../recipe/issues.ts';
import type { Recipe } from '../../recipe/parse.ts';
import { readSparse, isSparse, sparseSource } from '../../formats/sparse/reader.ts';

export interface KernelSource {
  /** Stands for all its bytes. */
  readonly digest: string;
  /** Where the recipe names it. */
  readonly at: RecipePath;
  open(): Promise<KernelParts>;
}

interface KernelParts {
  /** In any form that `readKernelImage` knows. */
  readonly image: Uint8Array;
  /** For messages: a release or a path. */
  readonly name: string;
  /** The `.ko` files somewhere below, and `modules.builtin`. */
  readonly library: Directory | undefined;
  /** Its `.config`; undefined when nobody says what it is configured with. */
  readonly config: string | undefined;
}

/** Kernels are taken into memory. */
const MAX_FILE_SIZE = 512 << 20;

/** @param deb The pinned package: its digest, and its files when they are needed. */
export function kernelFromDeb(
  recipe: Recipe,
  deb: { readonly sha256: string; tree(): Promise<Directory> },
): KernelSource {
  const at: RecipePath = ['kernel', 'source', 'deb'];
  return {
    digest: deb.sha256,
    at,
    async open() {
      const tree = await deb.tree();
      const boot = childFiles(tree, 'boot').filter(({ name }) => name.startsWith('vmlinuz-'));
      const [image] = boot;
      if (image === undefined || boot.length !== 1) {
        throw new RecipeError([
          recipe.diagnosticAt(
            at,
            `The package holds ${boot.length} kernels in /boot, one is needed`,
            'Name a kernel package such as linux-image-cloud-amd64',
          ),
        ]);
      }
      const name = image.name.slice('vmlinuz-'.length);
      const library = moduleFolder(tree, name);
      const config = childFiles(tree, 'boot').find((file) => file.name === `config-${name}`);
      return {
        image: await readContent(image.content),
        name,
        library,
        config: config && Buffer.from(await readContent(config.content)).toString('latin1'),
      };
    },
  };
}

/**
 * @param path Of the kernel: vmlinux, bzImage or boot.img, packed or not.
 * @param modules A folder of modules; the kernel has everything built in without it.
 */
export async function kernelFromFile(
  recipe: Recipe,
  { path, modules }: { readonly path: string; readonly modules: string | undefined },
): Promise<KernelSource> {
  const at: RecipePath = ['kernel', 'source', 'file'];
  const image = await readFile(recipe, at, path);
  const library = modules === undefined ? undefined : await readDiskTree(modules, 0);
  const digest = createHash('sha256').update(sha256(image));
  if (library !== undefined) digest.update(await treeDigest(library));
  return {
    digest: digest.digest('hex'),
    at,
    open: () => Promise.resolve({ image, name: path, library, config: undefined }),
  };
}

async function readFile(recipe: Recipe, at: RecipePath, path: string): Promise<Uint8Array> {
  const file = await openFileSource(path);
  try {
    const source = (await isSparse(file)) ? sparseSource(file, await readSparse(file)) : file;
    if (source.size > MAX_FILE_SIZE) {
      throw new RecipeError([
        recipe.diagnosticAt(at, `The kernel has ${source.size} bytes, over ${MAX_FILE_SIZE}`),
      ]);
    }
    return await source.read(0, source.size);
  } finally {
    await file.close();
  }
}

/** A digest over the paths and contents of all files. */
async function treeDigest(root: Directory): Promise<Uint8Array> {
  const files: { path: string; content: FileContent }[] = [];
  walk(root, (path, inode) => {
    if (inode.kind === 'file') files.push({ path, content: inode.content });
  });
  const lines: string[] = [];
  for (const { path, content } of files) {
    const digest = createHash('sha256');
    for await (const chunk of content.stream()) digest.update(chunk);
    lines.push(`${digest.digest('hex')}  ${path}\n`);
  }
  return Buffer.from(toHex(sha256(Buffer.from(lines.join('')))));
}

function moduleFolder(tree: Directory, release: string): Directory | undefined {
  for (const parents of [['lib'], ['usr', 'lib']]) {
    let at: Inode | undefined = tree;
    for (const name of [...parents, 'modules', release]) {
      at = at?.kind === 'directory' ? at.children.get(name) : undefined;
    }
    if (at?.kind === 'directory') return at;
  }
  return undefined;
}

function childFiles(tree: Directory, folder: string): { name: string; content: FileContent }[] {
  const at = tree.children.get(folder);
  if (at?.kind !== 'directory') return [];
  return [...at.children].flatMap(([name, inode]) =>
    inode.kind === 'file' ? [{ name, content: inode.content }] : [],
  );
}

/** All of a content, in memory. */
export async function readContent(content: FileContent): Promise<Uint8Array> {
  const bytes = new Uint8Array(content.size);
  let at = 0;
  for await (const chunk of content.stream()) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

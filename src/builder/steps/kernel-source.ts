/** Where a kernel comes from: a Debian package, or a file of the recipe with a folder of modules. */

import { createHash } from 'node:crypto';
import { equalBytes, sha256, toHex } from '../../core/digest.ts';
import { RecipeError } from '../../core/errors.ts';
import { openFileSource, streamOf, type ByteSource } from '../../io/byte-source.ts';
import { readDiskTree, type DiskScanner } from '../../io/disk-tree.ts';
import {
  checkSignature,
  DIGEST_BYTES,
  plainFileReader,
  type FileReader,
} from '../../io/file-signatures.ts';
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

/** How files of this machine are found and digested; default: by this thread. */
export interface KernelFileReaders {
  readonly scan?: DiskScanner | undefined;
  readonly reader?: FileReader | undefined;
}

/**
 * @param path Of the kernel: vmlinux, bzImage or boot.img, packed or not.
 * @param modules A folder of modules; the kernel has everything built in without it.
 */
export async function kernelFromFile(
  recipe: Recipe,
  { path, modules }: { readonly path: string; readonly modules: string | undefined },
  { scan, reader = plainFileReader }: KernelFileReaders = {},
): Promise<KernelSource> {
  const at: RecipePath = ['kernel', 'source', 'file'];
  const imageDigest = await digestImage(recipe, at, path, reader);
  const library = modules === undefined ? undefined : await readDiskTree(modules, 0, scan);
  const digest = createHash('sha256').update(imageDigest);
  if (library !== undefined) digest.update(await treeDigest(library, reader));
  return {
    digest: digest.digest('hex'),
    at,
    async open() {
      // Kernels are large, and what was made of this one is in the cache mostly.
      const image = await withImage(recipe, at, path, (source) => source.read(0, source.size));
      if (!equalBytes(sha256(image), imageDigest)) {
        throw new RecipeError([recipe.diagnosticAt(at, `${path} changed while it was read`)]);
      }
      return { image, name: path, library, config: undefined };
    },
  };
}

/** SHA-256 of the kernel's bytes: of a sparse image, of those that it stands for. */
async function digestImage(
  recipe: Recipe,
  at: RecipePath,
  path: string,
  reader: FileReader,
): Promise<Uint8Array> {
  return withImage(recipe, at, path, async (source) => {
    if (source.file !== undefined) {
      const { digests, signatures } = await reader.digests([path]);
      checkSignature(signatures, 0, path);
      return digests;
    }
    const hash = createHash('sha256');
    for await (const chunk of streamOf(source)) hash.update(chunk);
    return new Uint8Array(hash.digest());
  });
}

async function withImage<T>(
  recipe: Recipe,
  at: RecipePath,
  path: string,
  use: (source: ByteSource) => Promise<T>,
): Promise<T> {
  const file = await openFileSource(path);
  try {
    const source = (await isSparse(file)) ? sparseSource(file, await readSparse(file)) : file;
    if (source.size > MAX_FILE_SIZE) {
      throw new RecipeError([
        recipe.diagnosticAt(at, `The kernel has ${source.size} bytes, over ${MAX_FILE_SIZE}`),
      ]);
    }
    return await use(source);
  } finally {
    await file.close();
  }
}

/** A digest over the paths and contents of all files, which are on disk. */
async function treeDigest(root: Directory, reader: FileReader): Promise<Uint8Array> {
  const files: { readonly name: string; readonly path: string }[] = [];
  walk(root, (name, inode) => {
    if (inode.kind === 'file') files.push({ name, path: inode.content.file?.path ?? '' });
  });
  const { digests, signatures } = await reader.digests(files.map(({ path }) => path));
  const lines = files.map(({ name, path }, index) => {
    checkSignature(signatures, index, path);
    return `${toHex(digests.subarray(index * DIGEST_BYTES, (index + 1) * DIGEST_BYTES))}  ${name}\n`;
  });
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

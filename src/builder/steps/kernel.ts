/**
 * The kernel of a bundle: the ELF vmlinux or arm64 Image, and the modules that the guest needs, stripped and in load
 * order. Cached by the digest of what they come from and what is taken from it.
 */

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ARCHITECTURES } from '../../core/arch.ts';
import { FormatError, RecipeError } from '../../core/errors.ts';
import { runAction } from '../../cache/action.ts';
import type { Cache } from '../../cache/store.ts';
import { erofsOptions, findBanner } from '../../formats/boot-image/kernel-facts.ts';
import { readKernelImage } from '../../formats/boot-image/kernel-image.ts';
import {
  canonicalModuleName,
  orderModules,
  readModuleInfo,
  stripModule,
  type ModuleInfo,
} from '../../formats/elf/kernel-module.ts';
import { decompress } from '../../formats/tar/decompress.ts';
import { bytesSource } from '../../io/byte-source.ts';
import type { Directory, FileContent } from '../../io/file-tree.ts';
import type { Recipe } from '../../recipe/parse.ts';
import { rememberKernelFacts } from '../kernel-facts.ts';
import { readContent, type KernelSource } from './kernel-source.ts';

/** Its version is raised when the way of making these files changes, so that no old result is taken for a new one. */
const MNEMONIC = 'kernel/4';
/** Names of what the step makes. */
const KERNEL = 'kernel';
const MODULES = 'modules';

/**
 * What the guest needs of a kernel, in the order in which it is wanted. Names that are built in
 * are passed over; what these depend on is added.
 */
const GUEST_MODULES = [
  'virtio_mmio',
  'virtio_pci',
  'virtio_blk',
  'dm_verity',
  'erofs',
  'vmw_vsock_virtio_transport',
  'loop',
  // The payload's view of its APK.
  'fuse',
  // Without a source of entropy the first random number waits a second for the kernel to gather some.
  'virtio_rng',
];

export interface KernelFiles {
  /** As `uname -r` tells it. */
  readonly release: string;
  /** Its options for EROFS that are set, such as CONFIG_EROFS_FS_ZIP; undefined when not known. */
  readonly erofsConfig: readonly string[] | undefined;
  /** Path of what the VMM starts, in the cache: an ELF vmlinux, or an arm64 Image. */
  readonly vmlinux: string;
  /** Of that, in hexadecimal. */
  readonly sha256: string;
  /** In load order; the paths are in the cache. */
  readonly modules: readonly {
    readonly name: string;
    readonly path: string;
    readonly sha256: string;
  }[];
}

/** What is kept beside the files. */
interface KernelFacts {
  readonly release: string;
  readonly erofsConfig?: readonly string[];
  /** Names of the files, in load order. */
  readonly modules: readonly string[];
}

/**
 * @throws {RecipeError} when the source holds no kernel, or lacks a module.
 */
export async function kernelFiles(
  recipe: Recipe,
  source: KernelSource,
  cache: Cache,
  signal?: AbortSignal,
): Promise<KernelFiles & { readonly cached: boolean }> {
  const { arch, kernel } = recipe.data;
  const wanted = [...GUEST_MODULES, ...(kernel.modules === 'auto' ? [] : kernel.modules)];
  const { value, outputs, folders, cached } = await runAction(
    cache,
    {
      mnemonic: MNEMONIC,
      parameters: { arch, wanted },
      inputs: { source: { sha256: source.digest, size: 0 } },
      outputs: [KERNEL],
      outputFolders: [MODULES],
    },
    async (folder) => ({ value: await extract(recipe, source, wanted, { cache, folder }) }),
    { signal },
  );
  const modules = value.modules.map((name) => {
    const file = folders[MODULES][name];
    if (file === undefined) throw new RangeError(`The kernel step made no ${name}`);
    return { name, path: file.path, sha256: file.sha256 };
  });
  const { path: vmlinux, sha256 } = outputs[KERNEL];
  const { release, erofsConfig } = value;
  return { release, erofsConfig, vmlinux, sha256, modules, cached };
}

/** Decodes xz or zstd; the caller says what size it must come to. */
async function unpackTo(data: Uint8Array, size: number): Promise<Uint8Array> {
  const out = new Uint8Array(size);
  let at = 0;
  for await (const chunk of decompress(bytesSource(data, 'its kernel'), size)) {
    out.set(chunk, at);
    at += chunk.length;
  }
  return out.subarray(0, at);
}

async function extract(
  recipe: Recipe,
  source: KernelSource,
  wanted: readonly string[],
  { cache, folder }: { readonly cache: Cache; readonly folder: string },
): Promise<KernelFacts> {
  const fail = (message: string, hint?: string): never => {
    throw new RecipeError([recipe.diagnosticAt(source.at, message, hint)]);
  };
  const { image, name, library, config } = await source.open();
  let kernel;
  try {
    kernel = await readKernelImage(bytesSource(image, name), { xz: unpackTo, zstd: unpackTo });
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    return fail(`${name}: ${error.message}`, error.hint);
  }
  const { arch } = recipe.data;
  if (kernel.kind !== ARCHITECTURES[arch].kernel) {
    const other = kernel.kind === 'elf' ? 'x86_64' : 'aarch64';
    return fail(
      `${name} is a kernel for ${other}, the recipe says ${arch}`,
      'Name a kernel for the architecture of the recipe',
    );
  }

  const { found, builtin } = await findModules(library);
  const release = findBanner(kernel.bytes)?.release;
  if (release === undefined) return fail(`${name} does not say which version of Linux it is`);
  await rememberKernelFacts(cache.directory, source.digest, {
    release,
    ...(config !== undefined && { erofs: erofsOptions(config) }),
    modules: namesOf({ found, builtin }),
  });
  const infos = await closureInfos(wanted, found);
  let order: string[];
  try {
    order = orderModules(wanted, infos, builtin);
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    return fail(`${cause.message} (${name})`, 'Name modules that this kernel has');
  }
  const modules: string[] = [];
  for (const each of order) {
    const module = found.get(each);
    if (module === undefined) continue;
    const stripped = stripModule(await readContent(module.content), module.file);
    await writeFile(join(folder, MODULES, module.file), stripped);
    modules.push(module.file);
  }
  await writeFile(join(folder, KERNEL), kernel.bytes);
  return {
    release,
    ...(config !== undefined && { erofsConfig: erofsOptions(config) }),
    modules,
  };
}

interface Modules {
  readonly found: ReadonlyMap<string, { readonly file: string; readonly content: FileContent }>;
  readonly builtin: ReadonlySet<string>;
}

async function findModules(library: Directory | undefined): Promise<Modules> {
  const found = new Map<string, { file: string; content: FileContent }>();
  const builtin = new Set<string>();
  for (const { path, content } of library === undefined ? [] : filesBelow(library)) {
    const file = path.replace(/^.*\//, '');
    if (path === '/modules.builtin') {
      const text = Buffer.from(await readContent(content)).toString('latin1');
      for (const line of text.split('\n')) {
        if (line !== '') builtin.add(canonicalModuleName(line.replace(/^.*\/|\.ko$/g, '')));
      }
    } else if (file.endsWith('.ko')) {
      // The file's name is the module's; its content is only read when it is wanted.
      found.set(canonicalModuleName(file.slice(0, -'.ko'.length)), { file, content });
    }
  }
  return { found, builtin };
}

const namesOf = ({ found, builtin }: Modules): string[] => [
  ...new Set([...found.keys(), ...builtin]),
];

/** Canonical names of a kernel's modules, and of what is built in. */
export async function kernelModules(source: KernelSource): Promise<string[]> {
  const { library } = await source.open();
  return namesOf(await findModules(library));
}

/** Reads the facts of the wanted modules and of all they depend on. */
async function closureInfos(
  wanted: readonly string[],
  found: ReadonlyMap<string, { file: string; content: FileContent }>,
): Promise<Map<string, ModuleInfo>> {
  const infos = new Map<string, ModuleInfo>();
  const queue = wanted.map(canonicalModuleName);
  for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
    const module = found.get(name);
    if (module === undefined || infos.has(name)) continue;
    const info = readModuleInfo(await readContent(module.content), module.file);
    infos.set(name, info);
    queue.push(...info.depends, ...info.softdepsPre);
  }
  return infos;
}

function filesBelow(tree: Directory, at = ''): { path: string; content: FileContent }[] {
  return [...tree.children].flatMap(([name, inode]) => {
    const path = `${at}/${name}`;
    if (inode.kind === 'directory') return filesBelow(inode, path);
    return inode.kind === 'file' ? [{ path, content: inode.content }] : [];
  });
}

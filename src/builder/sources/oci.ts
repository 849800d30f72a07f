/**
 * Container images as trees: from a layout folder, an archive of one, or what the lock pins of a registry. Every
 * digest on the way is compared: of the documents, of the layers, and of what the layers decompress to.
 *
 * @see the OCI image specification 1.1
 */

import { lstat, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ARCHITECTURES } from '../../core/arch.ts';
import { sha256, toHex } from '../../core/digest.ts';
import { FormatError, UsageError } from '../../core/errors.ts';
import {
  checkImageTypes,
  findManifest,
  parseConfig,
  parseManifest,
  type OciDescriptor,
} from '../../formats/oci/documents.ts';
import { applyLayer } from '../../formats/oci/layer.ts';
import { entryContent, type ArchiveFile } from '../../io/archive-entry.ts';
import { openFileSource } from '../../io/byte-source.ts';
import { directory, type Directory } from '../../io/file-tree.ts';
import { ociKey } from '../../recipe/lockfile.ts';
import type { PartitionSource } from '../../recipe/source-schema.ts';
import { isLocalImage } from '../fetch/oci-reference.ts';
import { inputPath } from '../inputs.ts';
import type { SourceContext } from './source-tree.ts';
import { digestOfSlice, localArchive, unpackLayer, unpackTar, type Archive } from './unpack.ts';

type OciSource = Extract<PartitionSource, { oci: string }>;

/** Larger than any manifest or configuration; registries refuse manifests of more than 4 MiB. */
const MAX_DOCUMENT = 8 << 20;
/** A file by its digest. Its bytes have been, or will be, compared with it. */
type Blob = Pick<Archive, 'path' | 'slice'>;

/** Where an image's blobs are. */
interface ImageStore {
  /** What messages call it. */
  readonly name: string;
  /** The image, or an index of images. */
  readonly top: { readonly bytes: Uint8Array } | { readonly descriptor: OciDescriptor };
  /** @throws {FormatError} `oci` when it is not there, or not what the digest says. */
  readonly blob: (descriptor: OciDescriptor, part: 'manifest' | 'blob') => Promise<Blob>;
  /** @throws {UsageError} `input` when something changed while it was read. */
  readonly checkUnchanged: () => Promise<void>;
}

const refuse = (
  name: string,
  why: string,
  code: 'bad-value' | 'bad-checksum' = 'bad-value',
): never => {
  throw new FormatError('oci', code, `Cannot read image ${name}: ${why}`);
};

/**
 * Reads an image into a tree. Devices are taken along.
 *
 * @throws {FormatError} naming image, layer and entry, when it is damaged, hostile or for another platform.
 * @throws {UsageError} when it is not pinned or cannot be had.
 */
export async function imageTree(source: OciSource, context: SourceContext): Promise<Directory> {
  const { recipe, cache } = context;
  const platform = source.platform ?? `linux/${ARCHITECTURES[recipe.data.arch].debian}`;
  const store = await openStore(source, context);
  const { name } = store;
  const { top } = store;
  const bytes = 'bytes' in top ? top.bytes : await readDocument(store, top.descriptor, 'manifest');
  const where = { platform, where: name };
  const read = (each: OciDescriptor): Promise<Uint8Array> => readDocument(store, each, 'manifest');
  const { bytes: manifest } = await findManifest(bytes, read, where);
  checkPin(source, manifest, context);
  const image = parseManifest(manifest, name);
  checkImageTypes(image, name);
  const { config, layers } = image;
  const diffIds = parseConfig(await readDocument(store, config, 'blob'), where);
  if (diffIds.length !== layers.length) {
    refuse(name, `it has ${layers.length} layers, its configuration lists ${diffIds.length}`);
  }
  const root = directory();
  root.isImplied = true;
  for (const [index, layer] of layers.entries()) {
    const label = `${name}, layer ${index + 1} (${layer.digest.slice(0, 19)})`;
    const digest = { sha256: hexOf(layer), size: layer.size };
    const archive = { ...(await store.blob(layer, 'blob')), name: label, digest };
    const { path, entries, value } = await unpackLayer(cache, archive);
    if (value.diffId !== diffIds[index]) {
      refuse(
        name,
        `layer ${index + 1} decompresses to ${value.diffId}, its configuration says ${diffIds[index]}`,
        'bad-checksum',
      );
    }
    applyLayer(root, { name: label, entries, content: (file) => entryContent(path, file) });
  }
  await store.checkUnchanged();
  return root;
}

/** A local image that was built anew is another one than the lock pins. */
function checkPin(source: OciSource, manifest: Uint8Array, { lock, recipe }: SourceContext): void {
  const pinned = lock.oci[ociKey(source)]?.manifest.digest;
  const digest = `sha256:${toHex(sha256(manifest))}`;
  if (pinned === undefined || pinned === digest) return;
  throw new UsageError(
    'lock',
    `microbuild.lock does not fit: ${source.oci} is the image ${digest}, pinned is ${pinned}`,
    { hint: `Pin what is there now: microbuild lock ${recipe.directory} --update ${source.oci}` },
  );
}

const hexOf = ({ digest }: OciDescriptor): string => digest.slice('sha256:'.length);

/** A small blob, whole. */
async function readDocument(
  store: ImageStore,
  descriptor: OciDescriptor,
  part: 'manifest' | 'blob',
): Promise<Uint8Array> {
  const { size, digest } = descriptor;
  if (size > MAX_DOCUMENT) refuse(store.name, `its document ${digest} has ${size} bytes`);
  const { path, slice } = await store.blob(descriptor, part);
  const file = await openFileSource(path, store.name);
  try {
    const bytes = await file.read(slice?.offset ?? 0, size);
    if (toHex(sha256(bytes)) !== hexOf(descriptor)) {
      refuse(store.name, `${digest} is damaged: its bytes have another digest`, 'bad-checksum');
    }
    return bytes;
  } finally {
    await file.close();
  }
}

async function openStore(source: OciSource, context: SourceContext): Promise<ImageStore> {
  if (!isLocalImage(source.oci)) return lockedStore(source, context);
  const path = inputPath(context.recipe, source.oci);
  return (await lstat(path)).isDirectory()
    ? layoutStore(path, source.oci, context)
    : archiveStore(path, source.oci, context);
}

function lockedStore(source: OciSource, { recipe, lock, blobs }: SourceContext): ImageStore {
  const image = lock.oci[ociKey(source)];
  if (image === undefined) {
    throw new UsageError('lock', `microbuild.lock does not pin the image ${source.oci}`, {
      hint: `Pin it: microbuild lock ${recipe.directory}`,
    });
  }
  const update = `microbuild lock ${recipe.directory} --update ${source.oci}`;
  return {
    name: source.oci,
    top: { descriptor: image.manifest },
    blob: async (descriptor, part) => ({
      path: await blobs.fetch({ kind: 'oci', reference: source.oci, part, descriptor }, update),
    }),
    checkUnchanged: () => Promise.resolve(),
  };
}

const NO_LAYOUT = 'it has no file oci-layout of version 1';
const HINT = 'Write one with: skopeo copy docker-archive:FILE oci:FOLDER';

function checkLayout(name: string, bytes: Uint8Array | undefined): void {
  let version: unknown;
  try {
    const value = JSON.parse(Buffer.from(bytes ?? []).toString('utf8')) as Record<string, unknown>;
    version = value['imageLayoutVersion'];
  } catch {
    version = undefined;
  }
  if (typeof version === 'string' && /^1\.\d/.test(version)) return;
  throw new FormatError('oci', 'bad-magic', `Cannot read image ${name}: ${NO_LAYOUT}`, {
    hint: HINT,
  });
}

async function layoutStore(
  folder: string,
  name: string,
  { digestOf }: SourceContext,
): Promise<ImageStore> {
  const checks: (() => Promise<void>)[] = [];
  const small = async (file: string): Promise<Uint8Array> => {
    const stats = await lstat(join(folder, file)).catch(() => undefined);
    if (stats?.isFile() !== true || stats.size > MAX_DOCUMENT) {
      return refuse(name, `it has no file ${file}`);
    }
    return new Uint8Array(await readFile(join(folder, file)));
  };
  checkLayout(name, await small('oci-layout').catch(() => undefined));
  return {
    name,
    top: { bytes: await small('index.json') },
    async blob(descriptor) {
      const path = join(folder, 'blobs', 'sha256', hexOf(descriptor));
      const stats = await lstat(path).catch(() => undefined);
      if (stats?.isFile() !== true) return refuse(name, `${descriptor.digest} is not in it`);
      const { archive, checkUnchanged } = await localArchive(path, name, digestOf);
      checkBlob(name, descriptor, archive.digest);
      checks.push(checkUnchanged);
      return { path };
    },
    async checkUnchanged() {
      for (const check of checks) await check();
    },
  };
}

async function archiveStore(
  path: string,
  name: string,
  { cache, digestOf }: SourceContext,
): Promise<ImageStore> {
  const { archive, checkUnchanged } = await localArchive(path, name, digestOf);
  const unpacked = await unpackTar(cache, archive);
  const files = new Map<string, ArchiveFile>();
  for (const entry of unpacked.entries) {
    if (entry.kind !== 'file' || entry.pieces !== undefined) continue;
    if (files.has(entry.path)) refuse(name, `it has two files ${entry.path}`);
    files.set(entry.path, entry);
  }
  const small = async (file: string): Promise<Uint8Array | undefined> => {
    const entry = files.get(file);
    if (entry === undefined || entry.size > MAX_DOCUMENT) return undefined;
    const source = await openFileSource(unpacked.path, name);
    try {
      return await source.read(entry.offset, entry.size);
    } finally {
      await source.close();
    }
  };
  checkLayout(name, await small('/oci-layout'));
  return {
    name,
    top: { bytes: (await small('/index.json')) ?? refuse(name, 'it has no file index.json') },
    async blob(descriptor) {
      const entry = files.get(`/blobs/sha256/${hexOf(descriptor)}`);
      if (entry === undefined) return refuse(name, `${descriptor.digest} is not in it`);
      const { offset, size } = entry;
      checkBlob(name, descriptor, await digestOfSlice(unpacked.path, offset, size));
      return { path: unpacked.path, slice: { offset, size } };
    },
    checkUnchanged,
  };
}

function checkBlob(
  name: string,
  { digest, size }: OciDescriptor,
  found: { readonly sha256: string; readonly size: number },
): void {
  if (`sha256:${found.sha256}` !== digest) {
    refuse(name, `${digest} is damaged: its bytes have another digest`, 'bad-checksum');
  }
  if (found.size !== size) refuse(name, `${digest} has ${found.size} bytes, not ${size}`);
}

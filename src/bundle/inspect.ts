/** What is inside a file or a bundle, as a tree of named fields. The format is told by the bytes. */

import { stat } from 'node:fs/promises';
import type { DumpField, DumpNode } from '../core/dump.ts';
import { FormatError, UsageError } from '../core/errors.ts';
import { dumpVbmeta } from '../formats/avb/dump.ts';
import { decodeInitrd } from '../formats/boot-image/initrd.ts';
import { dumpGpt } from '../formats/gpt/dump.ts';
import { readGpt } from '../formats/gpt/reader.ts';
import { dumpSparse } from '../formats/sparse/dump.ts';
import { readSparse, sparseSource } from '../formats/sparse/reader.ts';
import { isAligned, readAligned } from '../formats/tar/aligned.ts';
import { openFileSource, sliceSource, type ByteSource } from '../io/byte-source.ts';
import { detectKind, fileKinds, type FileKind } from './file-kind.ts';
import { openBundleFiles } from './files.ts';
import { dumpFile } from './inspect-file.ts';
import { byteMap, hasError } from './inspect/byte-map.ts';
import { errorOf } from './inspect/node.ts';
import { dumpOciLayout, isOciLayout } from './inspect/oci-layout.ts';
import { BUNDLE_FILES, LABELS } from './layout.ts';
import { openBundle } from './open.ts';
import { reasonOf } from '../io/system-error.ts';

type Kind = FileKind | 'bundle' | 'oci-layout';

/** What is found of a format that bundles do not have. */
export interface FoundByOther<Other extends string> {
  readonly kind: Other;
  readonly node: DumpNode;
}

/** What was found, and whether some of it could not be read. */
export interface Inspection<Other extends string = never> {
  readonly kind: Kind | Other;
  readonly node: DumpNode;
  readonly isDamaged: boolean;
}

/**
 * Shows a file as far as it can be read; where it is damaged, its bytes with the error at the place.
 *
 * @param as Takes the bytes as this format, whatever they begin with.
 * @param toTheByte Every field with its place and size, gaps, and what follows the end.
 * @param unknown Is asked of a file that is of none of these formats.
 * @throws {UsageError} `input` when there is nothing at `path`, or its format is not known.
 * @throws {FormatError} when a bundle cannot be opened.
 */
export async function inspectPath<Other extends string = never>(
  path: string,
  as?: FileKind,
  toTheByte = false,
  unknown: (path: string) => Promise<FoundByOther<Other> | undefined> = () =>
    Promise.resolve(undefined),
): Promise<Inspection<Other>> {
  const stats = await stat(path).catch((cause: NodeJS.ErrnoException) => {
    throw new UsageError('input', `Cannot inspect ${path}: ${reasonOf(cause)}`, {
      cause,
    });
  });
  const found = (kind: Kind | Other, node: DumpNode): Inspection<Other> => ({
    kind,
    node,
    isDamaged: hasError(node),
  });
  if (stats.isDirectory() && (await isOciLayout(path))) {
    return found('oci-layout', await dumpOciLayout(path));
  }
  if (stats.isDirectory()) return found('bundle', await inspectBundle(path, toTheByte));
  const source = await openFileSource(path);
  try {
    if (as === undefined && (await isBundleFile(path, source))) {
      return found('bundle', await inspectBundle(path, toTheByte));
    }
    const kind = as ?? (await detectKind(source));
    const other = kind === undefined ? await unknown(path) : undefined;
    if (other !== undefined) return found(other.kind, other.node);
    if (kind === undefined) {
      throw new UsageError('input', `Cannot inspect ${path}: its format is not known`, {
        hint: `Known are bundles, image layouts, recipes, locks, entries of the cache, ${fileKinds.join(', ')}; --as takes it as one of them`,
      });
    }
    return found(kind, await inspectSource(kind, source, toTheByte));
  } finally {
    await source.close();
  }
}

/** An archive with a manifest in it; any other tar archive is one. */
async function isBundleFile(path: string, source: ByteSource): Promise<boolean> {
  if (!(await isAligned(source))) return false;
  if (path.endsWith('.mbundle')) return true;
  try {
    return (await readAligned(source)).some(({ name }) => name === BUNDLE_FILES.manifest);
  } catch (error) {
    if (error instanceof FormatError) return false;
    throw error;
  }
}

async function inspectBundle(path: string, toTheByte: boolean): Promise<DumpNode> {
  if (!toTheByte) return dumpBundle(path);
  const files = await openBundleFiles(path);
  try {
    const children: DumpNode[] = [];
    for (const name of files.names) {
      const source = await files.open(name);
      const { offset } = await files.place(name);
      const kind = await detectKind(source);
      const about = { name: `file ${name}`, size: source.size, ...(files.isArchive && { offset }) };
      const inner = kind === undefined ? [] : [await inspectSource(kind, source, true)];
      children.push({ ...about, fields: [field('format', kind ?? 'unknown')], children: inner });
    }
    return { name: `bundle ${path}`, fields: [field('files', children.length)], children };
  } finally {
    await files.close();
  }
}

async function inspectSource(
  kind: FileKind,
  source: ByteSource,
  toTheByte: boolean,
): Promise<DumpNode> {
  if (toTheByte) return byteMap(kind, source);
  try {
    return await dump(kind, source);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    const map = await byteMap(kind, source);
    return { name: kind, fields: [], children: [map], error: errorOf(error) };
  }
}

async function dump(kind: FileKind, source: ByteSource): Promise<DumpNode> {
  if (kind === 'gpt') return dumpDisk(source);
  if (kind === 'initrd') return dumpAnyInitrd(source);
  if (kind === 'sparse') return dumpExpanded(source);
  const image = await dumpFile(kind, source);
  if (kind !== 'boot.img' && kind !== 'kernel') return image;
  return {
    ...image,
    children: [...image.children, ...(await optional(() => dumpVbmeta(source)))],
  };
}

/** One of ours, or any other. */
async function dumpAnyInitrd(source: ByteSource): Promise<DumpNode> {
  try {
    return await dumpInitrd(source);
  } catch (error) {
    if (error instanceof FormatError) return dumpFile('initrd', source);
    throw error;
  }
}

/** A sparse image, and what it expands to. */
async function dumpExpanded(source: ByteSource): Promise<DumpNode> {
  const image = await readSparse(source);
  const expanded = sparseSource(source, image);
  const kind = await detectKind(expanded);
  const inner = kind === undefined || kind === 'sparse' ? [] : [await dump(kind, expanded)];
  return { ...dumpSparse(source.name, image), children: inner };
}

/** A GPT disk, and inside it what the labels say. */
async function dumpDisk(source: ByteSource): Promise<DumpNode> {
  const table = await dumpGpt(source);
  const children: DumpNode[] = [table];
  const { partitions } = await readGpt(source);
  for (const { label, offset, size } of partitions) {
    const part = sliceSource(source, offset, size, `${source.name}: ${label}`);
    const kind = kindOfLabel(label) ?? (await detectKind(part));
    if (kind === undefined || kind === 'gpt') continue;
    const inner = await dump(kind, part);
    const nodes = [inner];
    // The system partition holds both a file system and, behind its tree, a vbmeta.
    if (kind === 'erofs') nodes.push(...(await optional(() => dumpVbmeta(part))));
    children.push({ name: `partition ${label}`, fields: [], children: nodes });
  }
  return { name: `disk ${source.name}`, fields: [field('size', source.size)], children };
}

const kindOfLabel = (label: string): FileKind | undefined =>
  new Map<string, FileKind>([
    [LABELS.metadata, 'payload-metadata'],
    [LABELS.apk, 'apk'],
    [LABELS.idsig, 'idsig'],
    [LABELS.vbmeta, 'vbmeta'],
  ]).get(label) ?? kindOfExtra(label);

function kindOfExtra(label: string): FileKind | undefined {
  if (/^extra-apk-\d+$/.test(label)) return 'apk';
  return /^extra-idsig-\d+$/.test(label) ? 'idsig' : undefined;
}

async function dumpInitrd(source: ByteSource): Promise<DumpNode> {
  const { entries, modulesOrder, bootconfig, bootconfigOffset } = await decodeInitrd(source);
  return {
    name: 'initrd',
    fields: [field('size', source.size), field('modules', modulesOrder.join(' '))],
    children: [
      {
        name: 'cpio',
        fields: entries.map((entry) => ({
          name: entry.name,
          value: entry.dataSize,
          offset: entry.offset,
        })),
        children: [],
      },
      {
        name: 'bootconfig',
        fields: bootconfig.map(({ key, values }) => ({
          name: key,
          value: values.join(', '),
          offset: bootconfigOffset,
        })),
        children: [],
      },
    ],
  };
}

async function dumpBundle(path: string): Promise<DumpNode> {
  const bundle = await openBundle(path);
  try {
    const { manifest, config } = bundle;
    const children: DumpNode[] = [
      {
        name: 'vm.json',
        fields: [
          field('name', config.name),
          field('kernel', config.kernel),
          field('initrd', config.initrd),
          field('memory_mib', config.memory_mib),
          field('cpu_topology', config.cpu_topology),
        ],
        children: [],
      },
      {
        name: 'files',
        fields: manifest.files.map((file) =>
          field(file.path, `${file.size} bytes, sha256 ${file.sha256}`),
        ),
        children: [],
      },
      {
        name: 'inputs',
        fields: manifest.inputs.map((input) =>
          field(input.name, `${input.version}, sha256 ${input.sha256}`),
        ),
        children: [],
      },
      { name: 'kernel', fields: [], children: [await dumpVbmeta(bundle.kernel)] },
      await dumpInitrd(bundle.initrd),
      await dumpDisk(bundle.os.source),
      await dumpDisk(bundle.payload.source),
    ];
    return {
      name: `bundle ${manifest.name}`,
      fields: [
        field('arch', manifest.arch),
        field('release', manifest.release),
        field('package', `${manifest.payload.package} ${manifest.payload.versionCode}`),
        field('entry', manifest.payload.entry),
        field('rpc port', manifest.payload.rpcPort ?? 'none'),
        field(
          'image key',
          `sha256 ${manifest.keys.image.sha256}${mark(manifest.keys.image.development)}`,
        ),
        field(
          'payload key',
          `sha256 ${manifest.keys.payload.sha256}${mark(manifest.keys.payload.development)}`,
        ),
      ],
      children,
    };
  } finally {
    await bundle.close();
  }
}

const mark = (development: boolean): string => (development ? ' (development)' : '');
const field = (name: string, value: DumpField['value']): DumpField => ({ name, value });

/** A part that may be absent. */
async function optional(work: () => Promise<DumpNode>): Promise<DumpNode[]> {
  try {
    return [await work()];
  } catch (error) {
    if (error instanceof FormatError) return [];
    throw error;
  }
}

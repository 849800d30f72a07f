/** What is inside a file or a bundle, as a tree of named fields. The format is told by the bytes. */

import { stat } from 'node:fs/promises';
import { toHex } from '../core/digest.ts';
import type { DumpField, DumpNode } from '../core/dump.ts';
import { FormatError, UsageError } from '../core/errors.ts';
import { dumpApk, dumpIdsig } from '../formats/apk/dump.ts';
import { dumpVbmeta } from '../formats/avb/dump.ts';
import { dumpAndroidBoot } from '../formats/boot-image/android-boot.ts';
import { decodeInitrd } from '../formats/boot-image/initrd.ts';
import { dumpEnvelope } from '../formats/dsse/dump.ts';
import { DSSE_MAX_SIZE } from '../formats/dsse/envelope.ts';
import { dumpErofs } from '../formats/erofs/dump.ts';
import { dumpGpt } from '../formats/gpt/dump.ts';
import { readGpt } from '../formats/gpt/reader.ts';
import { dumpPayloadMetadata } from '../formats/payload-metadata/metadata.ts';
import { dumpSparse } from '../formats/sparse/dump.ts';
import { isSparse, readSparse, sparseSource } from '../formats/sparse/reader.ts';
import { isAligned } from '../formats/tar/aligned.ts';
import { openFileSource, sliceSource, type ByteSource } from '../io/byte-source.ts';
import { dumpSuperblock, SUPERBLOCK_SIZE } from '../verity/superblock.ts';
import { LABELS } from './layout.ts';
import { openBundle } from './open.ts';

/** A format that `inspect` knows by its first bytes or its last. */
type Kind = FileKind | 'bundle';

/** The formats of files. */
export const fileKinds = [
  'apk',
  'idsig',
  'vbmeta',
  'erofs',
  'gpt',
  'initrd',
  'payload-metadata',
  'verity',
  'boot.img',
  'sparse',
  'dsse',
] as const;
type FileKind = (typeof fileKinds)[number];

/**
 * @param as Takes the bytes as this format, whatever they begin with.
 * @throws {UsageError} `input` when there is nothing at `path`, or its format is not known.
 * @throws {FormatError} when the bytes are damaged.
 */
export async function inspectPath(
  path: string,
  as?: Kind,
): Promise<{ kind: Kind; node: DumpNode }> {
  const stats = await stat(path).catch((cause: NodeJS.ErrnoException) => {
    throw new UsageError('input', `Cannot inspect ${path}: ${cause.code ?? cause.message}`, {
      cause,
    });
  });
  if (stats.isDirectory()) return { kind: 'bundle', node: await dumpBundle(path) };
  const source = await openFileSource(path);
  try {
    if (as === undefined && (await isAligned(source))) {
      return { kind: 'bundle', node: await dumpBundle(path) };
    }
    const kind = as ?? (await detect(source));
    if (kind === undefined) {
      throw new UsageError('input', `Cannot inspect ${path}: its format is not known`, {
        hint: 'Known are bundles, APKs, idsigs, vbmeta, boot.img, EROFS, dm-verity superblocks, GPT disks, sparse images, initrds and DSSE envelopes',
      });
    }
    return { kind, node: await dump(kind, source) };
  } finally {
    await source.close();
  }
}

async function detect(source: ByteSource): Promise<Kind | undefined> {
  const at = async (offset: number, length: number): Promise<string> =>
    offset < 0 || offset + length > source.size ? '' : toHex(await source.read(offset, length));
  const start = await at(0, 6);
  const ascii = (text: string): string => Buffer.from(text).toString('hex');
  if (start.startsWith(ascii('PK\u0003\u0004'))) return 'apk';
  if (start.startsWith(ascii('AVB0'))) return 'vbmeta';
  if (start === ascii('070701')) return 'initrd';
  if (start === ascii('verity')) return 'verity';
  if (start === ascii('ANDROI')) return 'boot.img';
  if (await isSparse(source)) return 'sparse';
  if ((await at(512, 8)) === ascii('EFI PART')) return 'gpt';
  // Both an EROFS image and a kernel may end in an AVB footer; the file system says more.
  if ((await at(1024, 4)) === 'e2e1f5e0') return 'erofs';
  if ((await at(source.size - 64, 4)) === ascii('AVBf')) return 'vbmeta';
  if (start.startsWith('02000000')) return 'idsig';
  return (await isEnvelope(source)) ? 'dsse' : undefined;
}

/** Whether a text begins as a DSSE envelope does. */
async function isEnvelope(source: ByteSource): Promise<boolean> {
  const head = Buffer.from(await source.read(0, Math.min(64, source.size))).toString('latin1');
  return /^\s*\{\s*"(?:payload|payloadType|signatures)"/.test(head);
}

async function dump(kind: Kind, source: ByteSource): Promise<DumpNode> {
  switch (kind) {
    case 'apk':
      return dumpApk(source);
    case 'idsig':
      return dumpIdsig(source);
    case 'vbmeta':
      return dumpVbmeta(source);
    case 'erofs':
      return dumpErofs(source);
    case 'gpt':
      return dumpDisk(source);
    case 'initrd':
      return dumpInitrd(source);
    case 'payload-metadata':
      return dumpPayloadMetadata(await source.read(0, source.size));
    case 'verity':
      return {
        name: 'dm-verity superblock',
        fields: dumpSuperblock(await source.read(0, Math.min(SUPERBLOCK_SIZE, source.size)), 0),
        children: [],
      };
    case 'boot.img': {
      const image = await dumpAndroidBoot(source);
      return {
        ...image,
        children: [...image.children, ...(await optional(() => dumpVbmeta(source)))],
      };
    }
    case 'sparse':
      return dumpExpanded(source);
    case 'dsse':
      return dumpEnvelope(await source.read(0, Math.min(source.size, DSSE_MAX_SIZE + 1)));
    case 'bundle':
      throw new UsageError('input', `Cannot inspect ${source.name} as a bundle: it is a file`);
    default:
      return kind satisfies never;
  }
}

/** A sparse image, and what it expands to. */
async function dumpExpanded(source: ByteSource): Promise<DumpNode> {
  const image = await readSparse(source);
  const expanded = sparseSource(source, image);
  const kind = await detect(expanded);
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
    const kind = kindOfLabel(label) ?? (await detect(part));
    if (kind === undefined || kind === 'gpt') continue;
    const inner = await dump(kind, part);
    const nodes = [inner];
    // The system partition holds both a file system and, behind its tree, a vbmeta.
    if (kind === 'erofs') nodes.push(...(await optional(() => dumpVbmeta(part))));
    children.push({ name: `partition ${label}`, fields: [], children: nodes });
  }
  return { name: `disk ${source.name}`, fields: [field('size', source.size)], children };
}

const kindOfLabel = (label: string): Kind | undefined =>
  new Map<string, Kind>([
    [LABELS.metadata, 'payload-metadata'],
    [LABELS.apk, 'apk'],
    [LABELS.idsig, 'idsig'],
    [LABELS.vbmeta, 'vbmeta'],
  ]).get(label) ?? kindOfExtra(label);

function kindOfExtra(label: string): Kind | undefined {
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

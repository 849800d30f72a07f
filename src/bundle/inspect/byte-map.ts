/** A file of a known format to the byte: every field with its place and size, gaps, and what follows the end. */

import type { DumpNode } from '../../core/dump.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import { sliceSource } from '../../io/byte-source.ts';
import { detectKind, type FileKind } from '../file-kind.ts';
import { readGpt } from '../../formats/gpt/reader.ts';
import { FormatError } from '../../core/errors.ts';
import { mapAr, mapInitrd, mapTar, mapZip } from './archives.ts';
import {
  mapAxml,
  mapBoot,
  mapElf,
  mapFsVerity,
  mapIdsig,
  mapKernel,
  mapPayloadMetadata,
  mapVerity,
} from './blobs.ts';
import { dumpDice } from './cbor.ts';
import { mapErofs } from './erofs.ts';
import { mapDisk, mapSparse, mapVbmeta } from './images.ts';
import { field, partNode, shifted, withGaps } from './node.ts';
import { dumpJson } from './text.ts';

type Mapper = (source: ByteSource) => Promise<DumpNode>;

const asText: Mapper = (source) =>
  partNode({ name: 'JSON', offset: 0, size: source.size }, async (parts) => {
    const { fields, children } = await dumpJson(source);
    parts.fields.push(...fields);
    parts.children.push(...children);
  });

/** A kernel, and what an AVB footer behind it says. */
const mapKernelWithFooter: Mapper = async (source) => {
  const kernel = await mapKernel(source);
  const footer = source.size < 64 ? '' : Buffer.from(await source.read(source.size - 64, 4));
  if (footer.toString('latin1') !== 'AVBf') return kernel;
  const avb = await mapVbmeta(source);
  return {
    name: 'kernel',
    fields: [],
    children: [kernel, { ...avb, fields: avb.fields.filter(({ name }) => name !== 'image') }],
  };
};

const mappers: Readonly<Record<FileKind, Mapper>> = {
  apk: mapZip,
  zip: mapZip,
  idsig: mapIdsig,
  vbmeta: mapVbmeta,
  erofs: mapErofs,
  gpt: mapDisk,
  initrd: mapInitrd,
  'payload-metadata': mapPayloadMetadata,
  verity: mapVerity,
  'fs-verity': mapFsVerity,
  'boot.img': mapBoot,
  sparse: mapSparse,
  dsse: asText,
  json: asText,
  axml: mapAxml,
  elf: mapElf,
  tar: mapTar,
  deb: mapAr,
  dice: dumpDice,
  kernel: mapKernelWithFooter,
};

/** Formats whose parts have no places: texts, and what is compressed as a whole. */
const WITHOUT_PLACES: ReadonlySet<FileKind> = new Set(['dsse', 'json', 'dice']);

/** Shows as much as can be read; what cannot is said where it begins. */
export async function byteMap(kind: FileKind, source: ByteSource): Promise<DumpNode> {
  const node = await byteMapOf(kind, source);
  const isPlaced = !WITHOUT_PLACES.has(kind) && !node.name.startsWith('tar archive,');
  const whole = isPlaced ? await withGaps(node, source) : node;
  const inner = kind === 'gpt' ? await partitionMaps(source) : [];
  return {
    ...whole,
    size: source.size,
    children: [...whole.children, ...inner],
  };
}

/** Reading in front of or behind the file is damage, not a fault of ours. */
export async function byteMapOf(kind: FileKind, source: ByteSource): Promise<DumpNode> {
  let inner: DumpNode | undefined;
  const outer = await partNode({ name: kind, offset: 0 }, async () => {
    inner = await mappers[kind](source);
  });
  return inner ?? outer;
}

/** What the partitions hold, with places that count from the start of the disk. */
async function partitionMaps(source: ByteSource): Promise<DumpNode[]> {
  const nodes: DumpNode[] = [];
  try {
    for (const { label, offset, size } of (await readGpt(source)).partitions) {
      const part = sliceSource(source, offset, size, `${source.name}: ${label}`);
      const kind = label === 'payload-metadata' ? label : await detectKind(part);
      if (kind === undefined || kind === 'gpt') continue;
      const node = shifted(await byteMap(kind, part), offset);
      nodes.push({ name: `partition ${label}`, fields: [field('format', kind)], children: [node] });
    }
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
  }
  return nodes;
}

/** Whether any part of a map could not be read. */
export const hasError = (node: DumpNode): boolean =>
  node.error !== undefined || node.children.some(hasError);

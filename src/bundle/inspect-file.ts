/** What a file of a known format holds, as a tree of named fields. */

import type { DumpNode } from '../core/dump.ts';
import { dumpApk, dumpIdsig } from '../formats/apk/dump.ts';
import { dumpVbmeta } from '../formats/avb/dump.ts';
import { dumpAxml } from '../formats/axml/dump.ts';
import { dumpAndroidBoot } from '../formats/boot-image/android-boot.ts';
import { dumpEnvelope } from '../formats/dsse/dump.ts';
import { DSSE_MAX_SIZE } from '../formats/dsse/envelope.ts';
import { dumpErofs } from '../formats/erofs/dump.ts';
import { dumpPayloadMetadata } from '../formats/payload-metadata/metadata.ts';
import type { ByteSource } from '../io/byte-source.ts';
import { FormatError } from '../core/errors.ts';
import { FsverityDescriptor } from '../verity/fs-verity.ts';
import { dumpSuperblock, SUPERBLOCK_SIZE } from '../verity/superblock.ts';
import type { FileKind } from './file-kind.ts';
import { dumpDice } from './inspect/cbor.ts';
import { byteMapOf } from './inspect/byte-map.ts';
import { recordNode } from './inspect/node.ts';
import { dumpJson, dumpStatement } from './inspect/text.ts';

/** A manifest, a metadata partition: a page or a few. */
const MAX_SMALL = 16 << 20;

async function wholeOf(source: ByteSource, format: string): Promise<Uint8Array> {
  if (source.size > MAX_SMALL) {
    throw new FormatError(format, 'too-large', `Cannot read ${source.name}: ${source.size} bytes`);
  }
  return source.read(0, source.size);
}

type Dumper = (source: ByteSource) => Promise<DumpNode>;

/** Formats that are shown by one function. */
const dumpers: Partial<Readonly<Record<FileKind, Dumper>>> = {
  apk: dumpApk,
  idsig: dumpIdsig,
  vbmeta: dumpVbmeta,
  erofs: dumpErofs,
  'boot.img': dumpAndroidBoot,
  dice: dumpDice,
  'payload-metadata': async (source) =>
    dumpPayloadMetadata(await wholeOf(source, 'payload-metadata')),
  axml: async (source) => dumpAxml(await wholeOf(source, 'axml')),
  dsse: async (source) => {
    const bytes = await source.read(0, Math.min(source.size, DSSE_MAX_SIZE + 1));
    const envelope = dumpEnvelope(bytes);
    return { ...envelope, children: [...envelope.children, ...(await dumpStatement(source))] };
  },
  json: dumpJson,
  verity: async (source) => ({
    name: 'dm-verity superblock',
    fields: dumpSuperblock(await source.read(0, Math.min(SUPERBLOCK_SIZE, source.size)), 0),
    children: [],
  }),
  'fs-verity': (source) => recordNode(source, FsverityDescriptor, 0),
};

/** @throws {FormatError} when the bytes are damaged; of archives and programs what can be read is shown. */
export async function dumpFile(kind: FileKind, source: ByteSource): Promise<DumpNode> {
  const dumper = dumpers[kind];
  return dumper === undefined ? byteMapOf(kind, source) : dumper(source);
}

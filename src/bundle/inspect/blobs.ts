/** idsigs, binary XML, ELF files, kernels, boot images, verity superblocks and metadata byte by byte. */

import type { DumpNode } from '../../core/dump.ts';
import { FormatError } from '../../core/errors.ts';
import { alignUp } from '../../core/math.ts';
import {
  ResChunkHeader,
  ResStringPoolHeader,
  ResXMLTreeAttrExt,
  ResXMLTreeAttribute,
  ResXMLTreeNode,
  RES_STRING_POOL_TYPE,
  RES_XML_RESOURCE_MAP_TYPE,
  RES_XML_START_ELEMENT_TYPE,
  RES_XML_TYPE,
} from '../../formats/axml/layout.ts';
import { bootHeaders, readAndroidBoot } from '../../formats/boot-image/android-boot.ts';
import {
  isBzImage,
  kernelCompression,
  SETUP_HEADER_OFFSET,
  setupHeader,
  setupHeaderTail,
  setupSize,
} from '../../formats/boot-image/bz-image.ts';
import { Elf64Ehdr, Elf64Shdr, SHT_NOBITS, SHT_NULL } from '../../formats/elf/layout.ts';
import { decodeFields } from '../../formats/payload-metadata/protobuf.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import { FsverityDescriptor } from '../../verity/fs-verity.ts';
import { hashTreeLevels } from '../../verity/hash-tree-layout.ts';
import { decodeSuperblock, VeritySb } from '../../verity/superblock.ts';
import { field, hex, partNode, recordNode, showBytes, type Parts } from './node.ts';

async function u32At(source: ByteSource, offset: number): Promise<number> {
  const bytes = await source.read(offset, 4);
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
}

/** Longer values are cut. */
const SHOWN = 64;

async function shown(source: ByteSource, offset: number, size: number): Promise<string> {
  const text = showBytes(await source.read(offset, Math.min(size, SHOWN)));
  return size > SHOWN ? `${text}…` : text;
}

/** Reads length-prefixed fields one behind the other. */
function prefixedReader(parts: Parts, source: ByteSource, start: number, end: number) {
  let at = start;
  const take = (size: number): number => {
    if (at + size > end) {
      throw new FormatError('idsig', 'truncated', 'A field leaves its part', { offset: at });
    }
    const from = at;
    at += size;
    return from;
  };
  return {
    at: () => at,
    async u32(name: string): Promise<number> {
      const from = take(4);
      const value = await u32At(source, from);
      parts.fields.push(field(name, value, from, 4));
      return value;
    },
    async u8(name: string): Promise<void> {
      const from = take(1);
      parts.fields.push(field(name, (await source.read(from, 1))[0] ?? 0, from, 1));
    },
    async bytes(name: string): Promise<void> {
      const from = take(4);
      const size = await u32At(source, from);
      const value = take(size);
      parts.fields.push(field(`${name} size`, size, from, 4));
      if (size > 0) parts.fields.push(field(name, await shown(source, value, size), value, size));
    },
  };
}

const SIGNING_INFO = ['apk digest', 'certificate', 'additional data', 'public key'] as const;

export async function mapIdsig(source: ByteSource): Promise<DumpNode> {
  return partNode({ name: 'idsig', offset: 0 }, async (parts) => {
    const file = prefixedReader(parts, source, 0, source.size);
    await file.u32('version');
    const hashingSize = await file.u32('hashing info size');
    const hashingAt = file.at();
    const hashingEnd = Math.min(hashingAt + hashingSize, source.size);
    parts.children.push(
      await partNode(
        { name: 'hashing info', offset: hashingAt, size: hashingSize },
        async (inner) => {
          const from = prefixedReader(inner, source, hashingAt, hashingEnd);
          await from.u32('hash algorithm');
          await from.u8('log2 of block size');
          await from.bytes('salt');
          await from.bytes('raw root hash');
        },
      ),
    );
    const rest = prefixedReader(parts, source, hashingEnd, source.size);
    const infosSize = await rest.u32('signing infos size');
    const infosAt = rest.at();
    const infosEnd = Math.min(infosAt + infosSize, source.size);
    parts.children.push(
      await partNode({ name: 'signing infos', offset: infosAt, size: infosSize }, async (inner) => {
        const from = prefixedReader(inner, source, infosAt, infosEnd);
        for (let index = 0; from.at() < infosEnd; index += 1) {
          if (index > 0) {
            await from.u32('block id');
            await from.u32('signing info size');
          }
          for (const name of SIGNING_INFO) await from.bytes(name);
          await from.u32('signature algorithm');
          await from.bytes('signature');
        }
      }),
    );
    const tail = prefixedReader(parts, source, infosEnd, source.size);
    if (infosEnd >= source.size) return;
    const treeSize = await tail.u32('tree size');
    const treeAt = tail.at();
    const size = Math.min(treeSize, source.size - treeAt);
    parts.fields.push(field('tree', `${treeSize} bytes`, treeAt, size));
    if (size < treeSize) {
      throw new FormatError('idsig', 'truncated', `The tree has ${size} of ${treeSize} bytes`, {
        offset: treeAt,
      });
    }
  });
}

const CHUNK_NAMES: Readonly<Record<number, string>> = {
  0x0001: 'string pool',
  0x0100: 'start of namespace',
  0x0101: 'end of namespace',
  0x0102: 'start of element',
  0x0103: 'end of element',
  0x0104: 'text',
  0x0180: 'resource map',
};
const MAX_CHUNKS = 100_000;

export async function mapAxml(source: ByteSource): Promise<DumpNode> {
  return partNode({ name: 'binary XML', offset: 0 }, async (parts) => {
    const head = await recordNode(source, ResChunkHeader, 0, 'document');
    parts.fields.push(...head.fields);
    const document = ResChunkHeader.decode(await source.read(0, ResChunkHeader.size));
    if (document.type !== RES_XML_TYPE) {
      throw new FormatError('axml', 'bad-magic', `Its type is ${document.type}`, { offset: 0 });
    }
    for (let at = document.headerSize; at < source.size && parts.children.length < MAX_CHUNKS;) {
      const bytes = await source.read(at, ResChunkHeader.size);
      const { type, headerSize, size } = ResChunkHeader.decode(bytes);
      if (size < ResChunkHeader.size || headerSize > size || at + size > source.size) {
        throw new FormatError('axml', 'out-of-range', `A chunk has ${size} bytes`, { offset: at });
      }
      parts.children.push(await chunkNode(source, at, type, headerSize, size));
      at += size;
    }
  });
}

function chunkNode(
  source: ByteSource,
  at: number,
  type: number,
  headerSize: number,
  size: number,
): Promise<DumpNode> {
  const about = { name: CHUNK_NAMES[type] ?? `chunk ${hex(type, 4)}`, offset: at, size };
  return partNode(about, async (inner) => {
    inner.fields.push(...(await recordNode(source, ResChunkHeader, at)).fields);
    let done = at + ResChunkHeader.size;
    const record = async (
      layout: typeof ResStringPoolHeader | typeof ResXMLTreeNode | typeof ResXMLTreeAttrExt,
    ): Promise<void> => {
      inner.fields.push(...(await recordNode(source, layout, done)).fields);
      done += layout.size;
    };
    if (type === RES_STRING_POOL_TYPE) {
      await record(ResStringPoolHeader);
      const { stringCount, stringsStart } = ResStringPoolHeader.decode(
        await source.read(at + ResChunkHeader.size, ResStringPoolHeader.size),
      );
      const indexes = Math.min(stringCount * 4, size - (done - at));
      if (indexes > 0) inner.fields.push(field('indexes', `${stringCount} strings`, done, indexes));
      done += indexes;
      if (stringsStart < size && at + stringsStart >= done) {
        inner.fields.push(
          field('strings', `${size - stringsStart} bytes`, at + stringsStart, size - stringsStart),
        );
      }
      return;
    }
    if (type === RES_XML_RESOURCE_MAP_TYPE) {
      inner.fields.push(
        field('ids', `${(size - headerSize) / 4} ids`, at + headerSize, size - headerSize),
      );
      return;
    }
    await record(ResXMLTreeNode);
    if (type === RES_XML_START_ELEMENT_TYPE) {
      const { attributeCount } = ResXMLTreeAttrExt.decode(
        await source.read(done, ResXMLTreeAttrExt.size),
      );
      await record(ResXMLTreeAttrExt);
      for (let i = 0; i < attributeCount && done < at + size; i += 1) {
        inner.children.push(await recordNode(source, ResXMLTreeAttribute, done, `attribute ${i}`));
        done += ResXMLTreeAttribute.size;
      }
      return;
    }
    if (done < at + size) {
      inner.fields.push(
        field('body', await shown(source, done, at + size - done), done, at + size - done),
      );
    }
  });
}

const PHDR_SIZE = 56;
const PHDR_TYPES: Readonly<Record<number, string>> = {
  1: 'LOAD',
  2: 'DYNAMIC',
  3: 'INTERP',
  4: 'NOTE',
  6: 'PHDR',
  7: 'TLS',
};

export async function mapElf(source: ByteSource): Promise<DumpNode> {
  return partNode({ name: 'ELF file', offset: 0 }, async (parts) => {
    parts.children.push(await recordNode(source, Elf64Ehdr, 0, 'ELF header'));
    const header = Elf64Ehdr.decode(await source.read(0, Elf64Ehdr.size));
    if (header.ident[0] !== 2 || header.ident[1] !== 1) {
      throw new FormatError('elf', 'unsupported', 'It is not 64-bit little-endian', { offset: 4 });
    }
    const [phoff, shoff] = [Number(header.phoff), Number(header.shoff)];
    for (let i = 0; i < header.phnum; i += 1) {
      const at = phoff + i * PHDR_SIZE;
      const bytes = await source.read(at, PHDR_SIZE);
      const view = new DataView(bytes.buffer, bytes.byteOffset);
      const type = view.getUint32(0, true);
      const flags = view.getUint32(4, true);
      const text = ['R', 'W', 'X'].filter((_, bit) => (flags & (4 >> bit)) !== 0).join('');
      const value = (index: number): string => hex(view.getBigUint64(8 * index, true));
      parts.children.push({
        name: `program header ${i}`,
        offset: at,
        size: PHDR_SIZE,
        fields: [
          field('p_type', PHDR_TYPES[type] ?? hex(type), at, 4),
          field('p_flags', text, at + 4, 4),
          ...['p_offset', 'p_vaddr', 'p_paddr', 'p_filesz', 'p_memsz', 'p_align'].map(
            (name, index) => field(name, value(index + 1), at + 8 * (index + 1), 8),
          ),
        ],
        children: [],
      });
    }
    for (let i = 0; i < header.shnum; i += 1) {
      const at = shoff + i * Elf64Shdr.size;
      parts.children.push(await recordNode(source, Elf64Shdr, at, `section header ${i}`));
      const { type, offset, size } = Elf64Shdr.decode(await source.read(at, Elf64Shdr.size));
      const [start, length] = [Number(offset), Number(size)];
      if (type === SHT_NULL || type === SHT_NOBITS || length === 0) continue;
      if (start + length <= source.size) {
        parts.fields.push(field(`section ${i}`, `${length} bytes`, start, length));
      }
    }
  });
}

export async function mapBoot(source: ByteSource): Promise<DumpNode> {
  return partNode({ name: 'boot.img', offset: 0 }, async (parts) => {
    const version = await u32At(source, 40);
    const header = bootHeaders[version];
    if (header !== undefined) parts.children.push(await recordNode(source, header, 0));
    for (const [name, { offset, size }] of (await readAndroidBoot(source)).parts) {
      parts.fields.push(field(name, `${size} bytes`, offset, size));
    }
  });
}

export async function mapVerity(source: ByteSource): Promise<DumpNode> {
  return partNode({ name: 'dm-verity', offset: 0 }, async (parts) => {
    parts.children.push(await recordNode(source, VeritySb, 0, 'superblock'));
    const superblock = decodeSuperblock(await source.read(0, VeritySb.size));
    const { dataBlocks, hashBlockSize, algorithm, hashType } = superblock;
    const layout = hashTreeLevels(dataBlocks, { algorithm, blockSize: hashBlockSize, hashType });
    const treeAt = alignUp(VeritySb.size, hashBlockSize);
    if (treeAt + layout.treeSize > source.size) return;
    for (const { level, offset, blocks, digests } of layout.levels.toReversed()) {
      const text = `${blocks} blocks, ${digests} digests`;
      parts.fields.push(field(`level ${level}`, text, treeAt + offset, blocks * hashBlockSize));
    }
  });
}

export const mapFsVerity = (source: ByteSource): Promise<DumpNode> =>
  recordNode(source, FsverityDescriptor, 0);

const METADATA_FIELDS: Readonly<Record<number, string>> = {
  1: 'version',
  2: 'apexes',
  3: 'apk',
  4: 'config_path',
  5: 'config',
};

export async function mapPayloadMetadata(source: ByteSource): Promise<DumpNode> {
  return partNode({ name: 'payload metadata', offset: 0 }, async (parts) => {
    const head = await source.read(0, 4);
    const size = new DataView(head.buffer, head.byteOffset).getUint32(0, false);
    parts.fields.push(field('size', size, 0, 4));
    if (4 + size > source.size) {
      throw new FormatError('payload-metadata', 'truncated', `It says ${size} bytes`, {
        offset: 0,
      });
    }
    const fields = decodeFields(await source.read(4, size), 4);
    for (const [index, { number, value, offset }] of fields.entries()) {
      const end = fields[index + 1]?.offset ?? 4 + size;
      const text = typeof value === 'bigint' ? value : showBytes(value);
      const name = METADATA_FIELDS[number] ?? `field ${number}`;
      parts.fields.push(field(name, text, offset, end - offset));
    }
  });
}

/** The Image of arm64, or what else stands in front of an AVB footer. */
/** A bzImage, an arm64 Image or an ELF file. */
export async function mapKernel(source: ByteSource): Promise<DumpNode> {
  const head = await source.read(0, Math.min(1024, source.size));
  if (isBzImage(head)) return mapBzImage(source);
  return Buffer.from(head.subarray(0, 4)).equals(Buffer.from('\x7fELF', 'latin1'))
    ? mapElf(source)
    : mapArm64Image(source);
}

/** Text at a place, up to its NUL. */
async function textAt(source: ByteSource, offset: number): Promise<string> {
  if (offset >= source.size) return '';
  const bytes = await source.read(offset, Math.min(512, source.size - offset));
  const end = bytes.indexOf(0);
  return showBytes(bytes.subarray(0, end === -1 ? bytes.length : end));
}

/** @see Documentation/arch/x86/boot.rst of Linux */
async function mapBzImage(source: ByteSource): Promise<DumpNode> {
  return partNode({ name: 'bzImage', offset: 0, size: source.size }, async (parts) => {
    const bytes = await source.read(SETUP_HEADER_OFFSET, setupHeader.size);
    const setup = setupHeader.decode(bytes);
    if (setup.kernel_version !== 0) {
      // Counted from the second sector.
      const at = setup.kernel_version + 0x200;
      const version = await textAt(source, at);
      parts.fields.push(field('version', version, at, version.length));
    }
    parts.children.push(await recordNode(source, setupHeader, SETUP_HEADER_OFFSET));
    if (setup.version >= 0x0209) {
      const at = SETUP_HEADER_OFFSET + setupHeader.size;
      parts.children.push(await recordNode(source, setupHeaderTail, at));
    }
    const at = setupSize(setup) + setup.payload_offset;
    const size = setup.payload_length;
    if (at + size > source.size) {
      const why = `Cannot read bzImage: its payload of ${size} bytes is outside of the file`;
      throw new FormatError('bzimage', 'out-of-range', why, { offset: 0x24c });
    }
    const start = await source.read(at, Math.min(8, size));
    const fields = [field('compression', kernelCompression(start) ?? showBytes(start))];
    if (size >= 4) {
      fields.push(field('unpacked size', await u32At(source, at + size - 4), at + size - 4, 4));
    }
    parts.children.push({ name: 'payload', offset: at, size, fields, children: [] });
  });
}

async function mapArm64Image(source: ByteSource): Promise<DumpNode> {
  return partNode({ name: 'arm64 Image', offset: 0, size: source.size }, async (parts) => {
    const names = ['text_offset', 'image_size', 'flags', 'res2', 'res3', 'res4'];
    const bytes = await source.read(0, 64);
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    parts.fields.push(field('code0', hex(view.getUint32(0, true), 8), 0, 4));
    parts.fields.push(field('code1', hex(view.getUint32(4, true), 8), 4, 4));
    for (const [index, name] of names.entries()) {
      const at = 8 + 8 * index;
      parts.fields.push(field(name, hex(view.getBigUint64(at, true)), at, 8));
    }
    parts.fields.push(field('magic', showBytes(bytes.subarray(56, 60)), 56, 4));
    parts.fields.push(field('res5', hex(view.getUint32(60, true), 8), 60, 4));
  });
}

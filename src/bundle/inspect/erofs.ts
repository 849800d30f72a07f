/** An EROFS image byte by byte: superblock, inodes, attributes, entries of directories, and data. */

import type { DumpNode } from '../../core/dump.ts';
import { FormatError } from '../../core/errors.ts';
import { dataExtents } from '../../formats/erofs/data-map.ts';
import { inodeExtents } from '../../formats/erofs/inode-extents.ts';
import type { ErofsInode } from '../../formats/erofs/inode.ts';
import {
  Dirent,
  EROFS_SUPER_OFFSET,
  InodeCompact,
  InodeExtended,
  SuperBlock,
  XattrEntry,
  XattrIbodyHeader,
  xattrPrefixes,
} from '../../formats/erofs/layout.ts';
import { openErofs, type ErofsReader } from '../../formats/erofs/reader.ts';
import { walkImage } from '../../formats/erofs/walk-image.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import {
  errorOf,
  field,
  partNode,
  recordFields,
  recordNode,
  showBytes,
  type Parts,
} from './node.ts';
import { mapVbmeta } from './images.ts';

/** A map of more inodes would be longer than anybody reads. */
const MAX_INODES = 200_000;
const MAX_DIRENTS = 100_000;

async function addXattrs(parts: Parts, reader: ErofsReader, inode: ErofsInode): Promise<void> {
  const { xattrOffset: offset, xattrSize: size } = inode;
  const bytes = await reader.metadata.read(offset, size);
  if (size < XattrIbodyHeader.size) return;
  parts.fields.push(
    ...recordFields(XattrIbodyHeader, bytes.subarray(0, XattrIbodyHeader.size), offset),
  );
  const shared = XattrIbodyHeader.decode(bytes).h_shared_count;
  let at = XattrIbodyHeader.size;
  for (let i = 0; i < shared && at + 4 <= size; i += 1, at += 4) {
    const id = new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, true);
    parts.fields.push(field(`shared attribute ${i}`, id, offset + at, 4));
  }
  while (at + XattrEntry.size <= size) {
    const entry = XattrEntry.decode(bytes, at);
    const length = XattrEntry.size + entry.e_name_len + entry.e_value_size;
    if (entry.e_name_len === 0 && entry.e_value_size === 0 && entry.e_name_index === 0) break;
    if (at + length > size) {
      throw new FormatError('erofs', 'out-of-range', 'An attribute leaves its inode', {
        offset: offset + at,
      });
    }
    const known = xattrPrefixes.find(({ index }) => index === entry.e_name_index)?.prefix;
    const nameAt = at + XattrEntry.size;
    const valueAt = nameAt + entry.e_name_len;
    const name = Buffer.from(bytes.subarray(nameAt, valueAt)).toString('latin1');
    const value = showBytes(bytes.subarray(valueAt, valueAt + entry.e_value_size));
    const shown = `${known ?? `prefix ${entry.e_name_index}: `}${name}`;
    parts.fields.push(field(`xattr ${shown}`, value, offset + at, length));
    at += Math.ceil(length / 4) * 4;
  }
}

/** The entries of a directory, block by block, where they stand. */
async function addDirents(parts: Parts, reader: ErofsReader, inode: ErofsInode): Promise<void> {
  const { blockSize } = reader.geometry;
  let budget = MAX_DIRENTS;
  for await (const extent of dataExtents(reader.metadata, inode, reader.geometry)) {
    if (extent.kind !== 'stored') return;
    for (let start = 0; start < extent.length && budget > 0; start += blockSize) {
      const size = Math.min(blockSize, extent.length - start);
      const offset = extent.offset + start;
      const bytes = await reader.metadata.read(offset, size);
      if (bytes.length < Dirent.size) return;
      const count = Dirent.decode(bytes).nameoff / Dirent.size;
      if (!Number.isInteger(count) || count * Dirent.size > size) return;
      for (let i = 0; i < count; i += 1, budget -= 1) {
        const { nid, nameoff, file_type: type } = Dirent.decode(bytes, i * Dirent.size);
        const next = i + 1 < count ? Dirent.decode(bytes, (i + 1) * Dirent.size).nameoff : size;
        const name = Buffer.from(bytes.subarray(nameoff, next))
          .toString('utf8')
          .replace(/\0.*$/s, '');
        const text = `nid ${nid}, type ${type}, name at ${nameoff}`;
        parts.fields.push(
          field(`dirent ${JSON.stringify(name)}`, text, offset + i * Dirent.size, Dirent.size),
        );
      }
      const namesAt = count * Dirent.size;
      if (namesAt < size)
        parts.fields.push(
          field('names', `${size - namesAt} bytes`, offset + namesAt, size - namesAt),
        );
    }
  }
}

async function inodeNode(reader: ErofsReader, path: string, inode: ErofsInode): Promise<DumpNode> {
  const record = inode.extended ? InodeExtended : InodeCompact;
  return partNode({ name: `inode ${inode.nid} ${path}`, offset: inode.offset }, async (parts) => {
    const bytes = await reader.metadata.read(inode.offset, record.size);
    parts.fields.push(...recordFields(record, bytes, inode.offset));
    if (inode.xattrSize > 0) await addXattrs(parts, reader, inode);
    const isTable = inode.kind === 'directory';
    if (isTable) await addDirents(parts, reader, inode);
    for await (const extent of inodeExtents(reader.metadata, inode, reader.geometry)) {
      if (extent.part === 'inode' || extent.part === 'xattrs') continue;
      const { file, offset, size, isEncoded } = extent;
      const whole =
        file === undefined ? '' : `bytes ${file.start}..${file.start + file.length - 1}`;
      // Entries of directories are told one by one.
      if (isTable && extent.part === 'data' && !isEncoded) continue;
      parts.fields.push(
        field(extent.part, `${whole}${isEncoded ? ', compressed' : ''}`, offset, size),
      );
    }
  });
}

/** The image, and what AVB put behind it. */
export async function mapErofs(source: ByteSource): Promise<DumpNode> {
  return partNode({ name: 'EROFS image', offset: 0 }, async (parts) => {
    parts.children.push(await recordNode(source, SuperBlock, EROFS_SUPER_OFFSET, 'superblock'));
    const problems: FormatError[] = [];
    const reader = await openErofs(source, (error) => void problems.push(error));
    const told = new Set<number>();
    for await (const { path, inode } of walkImage(
      reader,
      (_path, error) => void problems.push(error),
    )) {
      if (told.has(inode.nid)) continue;
      told.add(inode.nid);
      if (told.size > MAX_INODES) break;
      parts.children.push(await inodeNode(reader, path, inode));
    }
    if (reader.packed !== undefined) {
      parts.children.push(await inodeNode(reader, '(packed)', reader.packed));
    }
    for (const error of problems.slice(0, 100)) {
      parts.children.push({ name: 'problem', fields: [], children: [], error: errorOf(error) });
    }
    if (reader.geometry.imageSize < source.size) {
      const behind = await mapVbmeta(source);
      parts.children.push({
        ...behind,
        fields: behind.fields.filter(({ name }) => name !== 'image'),
      });
    }
  });
}

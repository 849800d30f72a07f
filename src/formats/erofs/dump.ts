/** An image as `inspect` shows it: the superblock, then every name with its inode. */

import type { DumpField, DumpNode } from '../../core/dump.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import { dumpFields } from '../struct-dump.ts';
import type { ErofsInode } from './inode.ts';
import {
  dataLayoutNames,
  decodeDevice,
  EROFS_SUPER_OFFSET,
  InodeCompact,
  inodeCompactFields,
  InodeExtended,
  inodeExtendedFields,
  superBlockFields,
} from './layout.ts';
import { openErofs, type ErofsReader } from './reader.ts';
import { readTree } from './read-tree.ts';

/** @throws {FormatError} when the image is not a tree; compressed contents do not matter. */
export async function dumpErofs(source: ByteSource): Promise<DumpNode> {
  const reader = await openErofs(source);
  // Proves that the recursion below ends.
  await readTree(reader);
  return {
    name: `EROFS ${source.name}`,
    fields: [
      { name: 'block size', value: reader.geometry.blockSize },
      { name: 'image size', value: reader.geometry.imageSize },
    ],
    children: [
      {
        name: 'superblock',
        fields: dumpFields(superBlockFields, reader.superblock, EROFS_SUPER_OFFSET),
        children: [],
      },
      await dumpInode(source, reader, '/', reader.root),
    ],
  };
}

async function dumpInode(
  source: ByteSource,
  reader: ErofsReader,
  name: string,
  inode: ErofsInode,
): Promise<DumpNode> {
  const children: DumpNode[] = [];
  if (inode.kind === 'directory') {
    for await (const entry of reader.listDirectory(inode)) {
      if (entry.name === '.' || entry.name === '..') continue;
      children.push(await dumpInode(source, reader, entry.name, await reader.readInode(entry.nid)));
    }
  }
  const fields = [...(await inodeFields(reader, inode)), ...(await recordFields(source, inode))];
  return { name, fields, children };
}

/** The record itself. */
async function recordFields(source: ByteSource, inode: ErofsInode): Promise<DumpField[]> {
  const { offset, extended } = inode;
  const record = extended ? InodeExtended : InodeCompact;
  const bytes = await source.read(offset, record.size);
  return extended
    ? dumpFields(inodeExtendedFields, InodeExtended.decode(bytes), offset)
    : dumpFields(inodeCompactFields, InodeCompact.decode(bytes), offset);
}

/** What the record means. */
async function inodeFields(reader: ErofsReader, inode: ErofsInode): Promise<DumpField[]> {
  const { mtime, mtimeNsec } = reader.modificationTime(inode);
  const fields: DumpField[] = [
    { name: 'nid', value: inode.nid, offset: inode.offset },
    { name: 'kind', value: inode.kind },
    { name: 'inode', value: inode.extended ? 'extended' : 'compact' },
    { name: 'data layout', value: dataLayoutNames[inode.dataLayout] ?? inode.dataLayout },
    { name: 'mode', value: `0${inode.mode.toString(8)}` },
    { name: 'owner', value: `${inode.uid}:${inode.gid}` },
    { name: 'links', value: inode.nlink },
    { name: 'size', value: inode.size },
    { name: 'mtime', value: `${mtime}.${String(mtimeNsec).padStart(9, '0')}` },
  ];
  if (inode.kind === 'char-device' || inode.kind === 'block-device') {
    const { major, minor } = decodeDevice(inode.union);
    fields.push({ name: 'device', value: `${major}:${minor}` });
  } else if (inode.kind === 'symlink') {
    fields.push({ name: 'target', value: await reader.readSymlink(inode) });
  }
  for (const [name, value] of await reader.readXattrs(inode)) {
    const hex = Buffer.from(value).toString('hex');
    fields.push({ name: `xattr ${name}`, value: hex, offset: inode.xattrOffset });
  }
  return fields;
}

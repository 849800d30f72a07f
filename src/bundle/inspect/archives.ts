/** ZIP, cpio, tar and ar byte by byte: every header, name and run of data. */

import type { DumpNode } from '../../core/dump.ts';
import { FormatError } from '../../core/errors.ts';
import { alignUp } from '../../core/math.ts';
import { arHeader } from '../../formats/ar/ar.ts';
import { readBootconfigTrailer } from '../../formats/boot-image/bootconfig.ts';
import { cpioHeader, readMember } from '../../formats/cpio/newc.ts';
import { detectCompression } from '../../formats/tar/decompress.ts';
import { headerChecksum, posixHeader, TAR_BLOCK } from '../../formats/tar/layout.ts';
import {
  CentralFileHeader,
  DataDescriptor,
  EndOfCentralDirectory,
  FLAG_DATA_DESCRIPTOR,
  LocalFileHeader,
} from '../../formats/zip/layout.ts';
import { findEndOfCentralDirectory, readZip, type ZipEntry } from '../../formats/zip/read.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import { tarEntries } from '../entries/archives.ts';
import { field, partNode, recordNode, showBytes, type Parts } from './node.ts';
import { addSigningBlock } from './signing-block.ts';

async function bytesField(
  source: ByteSource,
  name: string,
  offset: number,
  size: number,
): Promise<ReturnType<typeof field>[]> {
  if (size === 0) return [];
  return [field(name, showBytes(await source.read(offset, size)), offset, size)];
}

const u16At = (bytes: Uint8Array, at: number): number =>
  (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);

/** The fields of an extra area: id, size, data. */
async function addExtra(
  parts: Parts,
  source: ByteSource,
  offset: number,
  size: number,
): Promise<void> {
  const bytes = await source.read(offset, size);
  let at = 0;
  for (; at + 4 <= size; at += 4 + u16At(bytes, at + 2)) {
    const [id, length] = [u16At(bytes, at), u16At(bytes, at + 2)];
    if (at + 4 + length > size) break;
    const value = showBytes(bytes.subarray(at + 4, at + 4 + length));
    parts.fields.push(
      field(`extra 0x${id.toString(16).padStart(4, '0')}`, value, offset + at, 4 + length),
    );
  }
  if (at < size) {
    parts.fields.push(
      field('extra padding', showBytes(bytes.subarray(at)), offset + at, size - at),
    );
  }
}

async function localNode(source: ByteSource, entry: ZipEntry): Promise<DumpNode> {
  const offset = entry.localHeaderOffset;
  const about = { name: `entry ${JSON.stringify(entry.name)}`, offset };
  return partNode(about, async (parts) => {
    const head = await recordNode(source, LocalFileHeader, offset);
    parts.fields.push(...head.fields);
    const values = LocalFileHeader.decode(await source.read(offset, LocalFileHeader.size));
    const nameAt = offset + LocalFileHeader.size;
    parts.fields.push(...(await bytesField(source, 'name', nameAt, values.nameLength)));
    const extraAt = nameAt + values.nameLength;
    if (values.extraLength > 0) await addExtra(parts, source, extraAt, values.extraLength);
    const dataAt = extraAt + values.extraLength;
    const size = entry.compressedSize;
    // Asks for the last byte only: an archive may claim any size.
    if (size > 0) {
      await source.read(dataAt + size - 1, 1);
      parts.fields.push(field('data', `${size} bytes`, dataAt, size));
    }
    if ((values.flags & FLAG_DATA_DESCRIPTOR) === 0) return;
    const at = dataAt + size;
    const signature = await source.read(at, 4);
    const signed = showBytes(signature) === 'PK\u0007\u0008' || u16At(signature, 0) === 0x4b50;
    if (signed) parts.fields.push(field('descriptor signature', '0x08074b50', at, 4));
    const record = await recordNode(source, DataDescriptor, at + (signed ? 4 : 0));
    parts.fields.push(...record.fields);
  });
}

async function centralNode(source: ByteSource, entry: ZipEntry): Promise<DumpNode> {
  const { recordOffset: offset, recordSize: size, name } = entry;
  return partNode({ name: `record ${JSON.stringify(name)}`, offset, size }, async (parts) => {
    const head = await recordNode(source, CentralFileHeader, offset);
    parts.fields.push(...head.fields);
    const nameAt = offset + CentralFileHeader.size;
    const nameSize = entry.nameBytes.length;
    parts.fields.push(...(await bytesField(source, 'name', nameAt, nameSize)));
    const extraAt = nameAt + nameSize;
    if (entry.extra.length > 0) await addExtra(parts, source, extraAt, entry.extra.length);
    const commentAt = extraAt + entry.extra.length;
    parts.fields.push(...(await bytesField(source, 'comment', commentAt, entry.comment.length)));
  });
}

/** A ZIP archive; of an APK the signing block, too. */
export async function mapZip(source: ByteSource): Promise<DumpNode> {
  return partNode({ name: 'ZIP archive', offset: 0 }, async (parts) => {
    const { end, endOffset } = await findEndOfCentralDirectory(source);
    const eocd = await recordNode(source, EndOfCentralDirectory, endOffset);
    const commentAt = endOffset + EndOfCentralDirectory.size;
    const comment = Math.min(end.commentLength, source.size - commentAt);
    const endNode: DumpNode = {
      ...eocd,
      size: EndOfCentralDirectory.size + comment,
      fields: [...eocd.fields, ...(await bytesField(source, 'comment', commentAt, comment))],
    };
    try {
      const { entries } = await readZip(source);
      const inOrder = entries.toSorted((a, b) => a.localHeaderOffset - b.localHeaderOffset);
      for (const entry of inOrder) parts.children.push(await localNode(source, entry));
      await addSigningBlock(parts, source, end.centralDirectoryOffset);
      for (const entry of entries) parts.children.push(await centralNode(source, entry));
    } finally {
      parts.children.push(endNode);
    }
  });
}

async function cpioNode(source: ByteSource, offset: number): Promise<[DumpNode, number]> {
  const entry = await readMember(source, offset);
  const head = await recordNode(source, cpioHeader, offset);
  const nameAt = offset + cpioHeader.size;
  const nameSize = Buffer.byteLength(entry.name) + 1;
  const fields = [...head.fields, field('name', entry.name, nameAt, nameSize)];
  if (entry.dataSize > 0) {
    fields.push(field('data', `${entry.dataSize} bytes`, entry.dataOffset, entry.dataSize));
  }
  const end = entry.dataOffset + alignUp(entry.dataSize, 4);
  const name = `member ${JSON.stringify(entry.name)}`;
  return [{ name, offset, size: end - offset, fields, children: [] }, end];
}

/** More members are counted, not shown. */
const MAX_MEMBERS = 100_000;

/** An initrd: its archives one behind the other, and the bootconfig at its end. */
export async function mapInitrd(source: ByteSource): Promise<DumpNode> {
  return partNode({ name: 'initrd', offset: 0 }, async (parts) => {
    const attached = await partNode({ name: 'bootconfig' }, async (inner) => {
      const trailer = await readBootconfigTrailer(source);
      if (trailer === undefined) return;
      const { offset, size, text } = trailer;
      inner.fields.push(field('text', text, offset, text.length));
      if (size > text.length) {
        inner.fields.push(field('padding', 'zeros', offset + text.length, size - text.length));
      }
      const at = offset + size;
      inner.fields.push(field('size', size, at, 4));
      const sum = await source.read(at + 4, 4);
      const checksum = new DataView(sum.buffer, sum.byteOffset).getUint32(0, true);
      inner.fields.push(field('checksum', checksum, at + 4, 4));
      inner.fields.push(field('magic', '#BOOTCONFIG\\n', at + 8, 12));
    });
    const hasTrailer = attached.fields.length > 0 || attached.error !== undefined;
    const firstOfTrailer = attached.fields[0]?.offset ?? source.size;
    try {
      for (let at = 0; at + 6 <= firstOfTrailer && parts.children.length < MAX_MEMBERS;) {
        const magic = Buffer.from(await source.read(at, 6)).toString('latin1');
        if (!/^07070[12]$/.test(magic)) {
          // Zeros fill up between archives; anything else is told as a gap.
          if (magic.startsWith('\0\0\0\0') && at > 0) {
            at += 4;
            continue;
          }
          if (at === 0) await readMember(source, at);
          break;
        }
        const [node, end] = await cpioNode(source, at);
        parts.children.push(node);
        at = end;
      }
    } finally {
      if (hasTrailer) parts.children.push(attached);
    }
  });
}

const digits = (bytes: Uint8Array): number =>
  Number.parseInt(Buffer.from(bytes).toString('latin1').replaceAll(/[\0 ]/g, '') || '0', 8);

/** A tar archive: every header where it is not compressed, the entries where it is. */
export async function mapTar(source: ByteSource): Promise<DumpNode> {
  const compression = await detectCompression(source);
  if (compression !== 'none') {
    return partNode({ name: `tar archive, ${compression}`, offset: 0 }, async (parts) => {
      for await (const { entry } of tarEntries(source).entries()) {
        const { name, kind, size, mode = 0, uid = 0, gid = 0, mtime = 0, target } = entry;
        const fields = Object.entries({
          kind,
          size,
          mode: `0${mode.toString(8)}`,
          uid,
          gid,
          mtime,
        });
        parts.children.push({
          name: `entry ${JSON.stringify(name)}`,
          fields: [
            ...fields.map(([key, value]) => field(key, value)),
            ...(target === undefined ? [] : [field('target', target)]),
          ],
          children: [],
        });
        if (parts.children.length >= MAX_MEMBERS) return;
      }
    });
  }
  return partNode({ name: 'tar archive', offset: 0 }, async (parts) => {
    for (let at = 0; at + TAR_BLOCK <= source.size && parts.children.length < MAX_MEMBERS;) {
      const block = await source.read(at, TAR_BLOCK);
      if (block.every((byte) => byte === 0)) break;
      const values = posixHeader.decode(block);
      const name = showBytes(values.name);
      const head = await recordNode(source, posixHeader, at, `header ${JSON.stringify(name)}`);
      const size = digits(values.size);
      const dataAt = at + TAR_BLOCK;
      if (digits(values.chksum) !== headerChecksum(block)) {
        throw new FormatError('tar', 'bad-checksum', `Cannot read tar: header ${name}`, {
          offset: at,
        });
      }
      if (!Number.isSafeInteger(size) || dataAt + size > source.size) {
        parts.children.push(head);
        throw new FormatError('tar', 'truncated', `Cannot read tar: ${name} is cut off`, {
          offset: dataAt,
        });
      }
      const data = size === 0 ? [] : [field('data', `${size} bytes`, dataAt, size)];
      parts.children.push({ ...head, fields: [...head.fields, ...data] });
      at = dataAt + alignUp(size, TAR_BLOCK);
    }
  });
}

/** An ar archive, such as a Debian package. */
export async function mapAr(source: ByteSource): Promise<DumpNode> {
  return partNode({ name: 'ar archive', offset: 0 }, async (parts) => {
    parts.fields.push(...(await bytesField(source, 'magic', 0, Math.min(8, source.size))));
    for (let at = 8; at < source.size;) {
      const head = await recordNode(source, arHeader, at);
      if (head.error !== undefined) {
        parts.children.push(head);
        return;
      }
      const values = arHeader.decode(await source.read(at, arHeader.size));
      const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1').trim();
      const size = Number(text(values.ar_size));
      const dataAt = at + arHeader.size;
      if (text(values.ar_fmag) !== '`' || !Number.isSafeInteger(size) || size < 0) {
        throw new FormatError('ar', 'bad-value', 'Cannot read ar archive: a header is not one', {
          offset: at,
        });
      }
      const shown = Math.min(size, source.size - dataAt);
      const data = shown === 0 ? [] : [field('data', `${size} bytes`, dataAt, shown)];
      parts.children.push({
        ...head,
        name: `member ${JSON.stringify(text(values.ar_name))}`,
        fields: [...head.fields, ...data],
      });
      at = dataAt + size + (size % 2);
    }
  });
}

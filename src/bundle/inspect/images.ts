/** vbmeta images, partition tables, hash trees and sparse images byte by byte. */

import type { DumpNode } from '../../core/dump.ts';
import { FormatError } from '../../core/errors.ts';
import {
  AVB_FOOTER_MAGIC,
  AVB_VBMETA_MAX_SIZE,
  avbFooter,
  chainPartitionDescriptor,
  descriptorHead,
  hashDescriptor,
  hashtreeDescriptor,
  kernelCmdlineDescriptor,
  propertyDescriptor,
  vbmetaHeader,
} from '../../formats/avb/layout.ts';
import { decodeVbmeta } from '../../formats/avb/vbmeta.ts';
import { GptEntry, GptHeader, MbrPartition, SECTOR_SIZE } from '../../formats/gpt/layout.ts';
import { formatGuid, swapGuid } from '../../formats/gpt/guid.ts';
import { readGpt } from '../../formats/gpt/reader.ts';
import { ChunkHeader, SparseHeader } from '../../formats/sparse/layout.ts';
import { readSparse } from '../../formats/sparse/reader.ts';
import { sliceSource, type ByteSource } from '../../io/byte-source.ts';
import { hashTreeLevels } from '../../verity/hash-tree-layout.ts';
import { isTreeAlgorithm } from '../../verity/superblock.ts';
import { field, partNode, recordNode, showBytes, type Parts, type RecordLayout } from './node.ts';

/** What follows a descriptor's head: its record, then runs of bytes of the sizes that it names. */
const DESCRIPTORS: readonly {
  readonly name: string;
  readonly layout: RecordLayout;
  readonly tails: readonly (readonly [name: string, sizeField: string])[];
}[] = [
  {
    name: 'property descriptor',
    layout: propertyDescriptor,
    tails: [
      ['key', 'key_num_bytes'],
      ['', ''],
      ['value', 'value_num_bytes'],
      ['', ''],
    ],
  },
  {
    name: 'hashtree descriptor',
    layout: hashtreeDescriptor,
    tails: [
      ['partition_name', 'partition_name_len'],
      ['salt', 'salt_len'],
      ['root_digest', 'root_digest_len'],
    ],
  },
  {
    name: 'hash descriptor',
    layout: hashDescriptor,
    tails: [
      ['partition_name', 'partition_name_len'],
      ['salt', 'salt_len'],
      ['digest', 'digest_len'],
    ],
  },
  {
    name: 'kernel cmdline descriptor',
    layout: kernelCmdlineDescriptor,
    tails: [['kernel_cmdline', 'kernel_cmdline_length']],
  },
  {
    name: 'chain partition descriptor',
    layout: chainPartitionDescriptor,
    tails: [
      ['partition_name', 'partition_name_len'],
      ['public_key', 'public_key_len'],
    ],
  },
];

async function addDescriptors(
  parts: Parts,
  source: ByteSource,
  from: number,
  to: number,
): Promise<void> {
  for (let at = from; at < to;) {
    const head = await recordNode(source, descriptorHead, at);
    const [tag, following] = head.fields.map(({ value }) => Number(value));
    const size = descriptorHead.size + (following ?? Number.NaN);
    if (!Number.isSafeInteger(size) || at + size > to) {
      throw new FormatError('avb', 'out-of-range', 'A descriptor leaves the auxiliary block', {
        offset: at,
      });
    }
    const kind = DESCRIPTORS[tag ?? -1];
    const about = { name: kind?.name ?? `descriptor of tag ${tag}`, offset: at, size };
    const start = at;
    parts.children.push(
      await partNode(about, async (inner) => {
        inner.fields.push(...head.fields);
        const bodyAt = start + descriptorHead.size;
        const end = start + size;
        if (kind === undefined) return;
        const body = await recordNode(sliceSource(source, 0, end), kind.layout, bodyAt);
        inner.fields.push(...body.fields);
        let tail = bodyAt + kind.layout.size;
        for (const [name, sizeField] of kind.tails) {
          const stated = body.fields.find((each) => each.name === sizeField)?.value ?? 1;
          const length = name === '' ? 1 : Number(stated);
          if (!Number.isSafeInteger(length) || tail + length > end) {
            throw new FormatError('avb', 'out-of-range', `${name} leaves its descriptor`, {
              offset: tail,
            });
          }
          if (name !== '' && length > 0) {
            const value = showBytes(await source.read(tail, length));
            inner.fields.push(field(name, value, tail, length));
          }
          tail += length;
        }
        if (tail < end)
          inner.fields.push(
            field('padding', showBytes(await source.read(tail, end - tail)), tail, end - tail),
          );
      }),
    );
    at += size;
  }
}

/** The vbmeta image at `offset`. */
async function vbmetaNode(source: ByteSource, offset: number): Promise<DumpNode> {
  return partNode({ name: 'vbmeta', offset }, async (parts) => {
    const header = await recordNode(source, vbmetaHeader, offset, 'header');
    parts.children.push(header);
    const value = (name: string): number => {
      const found = Number(header.fields.find((each) => each.name === name)?.value);
      if (Number.isSafeInteger(found) && found <= AVB_VBMETA_MAX_SIZE) return found;
      throw new FormatError('avb', 'out-of-range', `${name} is ${found}`, { offset });
    };
    const authentication = offset + vbmetaHeader.size;
    const auxiliary = authentication + value('authentication_data_block_size');
    const end = auxiliary + value('auxiliary_data_block_size');
    const run = async (
      name: string,
      base: number,
      of: string,
      shown = name,
    ): Promise<ReturnType<typeof field>[]> => {
      const [at, size] = [base + value(`${of}_offset`), value(`${of}_size`)];
      return size === 0 ? [] : [field(shown, showBytes(await source.read(at, size)), at, size)];
    };
    parts.children.push(
      await partNode(
        { name: 'authentication block', offset: authentication, size: auxiliary - authentication },
        async (inner) => {
          inner.fields.push(...(await run('hash', authentication, 'hash')));
          inner.fields.push(...(await run('signature', authentication, 'signature')));
        },
      ),
      await partNode(
        { name: 'auxiliary block', offset: auxiliary, size: end - auxiliary },
        async (inner) => {
          const from = auxiliary + value('descriptors_offset');
          inner.fields.push(...(await run('public_key', auxiliary, 'public_key')));
          inner.fields.push(
            ...(await run('public_key_metadata', auxiliary, 'public_key_metadata')),
          );
          await addDescriptors(inner, source, from, from + value('descriptors_size'));
        },
      ),
    );
    // What is laid out well may still be wrong.
    decodeVbmeta(await source.read(offset, end - offset));
  });
}

/** A vbmeta image of its own, or what AVB put into a partition's image. */
export async function mapVbmeta(source: ByteSource): Promise<DumpNode> {
  return partNode({ name: 'AVB', offset: 0 }, async (parts) => {
    const footerAt = source.size - avbFooter.size;
    const footer =
      footerAt < 0 ? undefined : await recordNode(source, avbFooter, footerAt, 'footer');
    if (footer?.fields[0]?.value !== AVB_FOOTER_MAGIC) {
      parts.children.push(await vbmetaNode(source, 0));
      return;
    }
    const value = (name: string): number =>
      Number(footer.fields.find((each) => each.name === name)?.value);
    const original = value('original_image_size');
    if (original > 0 && original <= source.size) {
      parts.fields.push(field('image', `${original} bytes`, 0, original));
    }
    parts.children.push(await vbmetaNode(source, value('vbmeta_offset')), footer);
    await addTrees(parts, source, value('vbmeta_offset'), value('vbmeta_size'));
  });
}

/** The hash tree and parity that the vbmeta of the image describes. */
async function addTrees(
  parts: Parts,
  source: ByteSource,
  offset: number,
  size: number,
): Promise<void> {
  const { descriptors } = decodeVbmeta(await source.read(offset, size));
  for (const each of descriptors) {
    if (each.kind !== 'hashtree' || each.imageSize > offset) continue;
    const { treeOffset, treeSize, fecOffset, fecSize, hashAlgorithm: algorithm } = each;
    const fields = [field('tree', `${treeSize} bytes`, treeOffset, treeSize)];
    const blocks = each.imageSize / each.dataBlockSize;
    if (isTreeAlgorithm(algorithm) && Number.isInteger(blocks)) {
      try {
        const layout = hashTreeLevels(blocks, { algorithm, blockSize: each.hashBlockSize });
        fields.length = 0;
        for (const level of layout.levels.toReversed()) {
          const at = treeOffset + level.offset;
          const text = `${level.blocks} blocks, ${level.digests} digests`;
          fields.push(field(`level ${level.level}`, text, at, level.blocks * each.hashBlockSize));
        }
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
      }
    }
    if (fecSize > 0) fields.push(field('parity', `${each.fecNumRoots} roots`, fecOffset, fecSize));
    parts.children.push({ name: `hash tree of ${each.partitionName}`, fields, children: [] });
  }
}

const MBR_BOOT_CODE = 446;

/** A GPT disk: both tables, entry by entry, and the places of the partitions. */
export async function mapDisk(source: ByteSource): Promise<DumpNode> {
  return partNode({ name: 'GPT disk', offset: 0 }, async (parts) => {
    const mbr = await partNode(
      { name: 'protective MBR', offset: 0, size: SECTOR_SIZE },
      async (inner) => {
        const code = await source.read(0, MBR_BOOT_CODE);
        inner.fields.push(field('boot code', showBytes(code), 0, MBR_BOOT_CODE));
        for (let i = 0; i < 4; i += 1) {
          const at = MBR_BOOT_CODE + i * MbrPartition.size;
          inner.children.push(await recordNode(source, MbrPartition, at, `record ${i}`));
        }
        inner.fields.push(field('signature', showBytes(await source.read(510, 2)), 510, 2));
      },
    );
    parts.children.push(mbr);
    const last = Math.floor(source.size / SECTOR_SIZE) - 1;
    for (const [name, sector] of [
      ['header', 1],
      ['backup header', last],
    ] as const) {
      const header = await recordNode(source, GptHeader, sector * SECTOR_SIZE, name);
      parts.children.push(header);
      await addEntries(parts, source, header);
    }
    for (const { label, offset, size } of (await readGpt(source)).partitions) {
      parts.fields.push(field(`partition ${label}`, `${size} bytes`, offset, size));
    }
  });
}

/** As many as tools make; more are counted by nobody. */
const MAX_ENTRIES = 1024;

async function addEntries(parts: Parts, source: ByteSource, header: DumpNode): Promise<void> {
  const value = (name: string): number =>
    Number(header.fields.find((each) => each.name === name)?.value);
  const [count, size] = [value('number_of_partition_entries'), value('size_of_partition_entry')];
  const start = value('partition_entry_lba') * SECTOR_SIZE;
  if (size !== GptEntry.size || !(count <= MAX_ENTRIES) || !(start + count * size <= source.size)) {
    return;
  }
  const all = await source.read(start, count * size);
  const empty = (index: number): boolean =>
    all.subarray(index * size, (index + 1) * size).every((byte) => byte === 0);
  let used = count;
  while (used > 0 && empty(used - 1)) used -= 1;
  for (let index = 0; index < used; index += 1) {
    const at = start + index * size;
    const node = await recordNode(source, GptEntry, at, `${header.name}: entry ${index}`);
    const { partition_name: name, unique_partition_guid: guid } = GptEntry.decode(
      all,
      index * size,
    );
    const label = Buffer.from(name).toString('utf16le').replaceAll('\0', '');
    parts.children.push({
      ...node,
      fields: node.fields.map((each) => {
        if (each.name === 'partition_name') return { ...each, value: label };
        return each.name === 'unique_partition_guid'
          ? { ...each, value: formatGuid(swapGuid(guid)) }
          : each;
      }),
    });
  }
  if (used < count) {
    const at = start + used * size;
    parts.fields.push(
      field(`${header.name}: unused entries`, count - used, at, (count - used) * size),
    );
  }
}

/** A sparse image chunk by chunk. */
export async function mapSparse(source: ByteSource): Promise<DumpNode> {
  return partNode({ name: 'sparse image', offset: 0 }, async (parts) => {
    parts.children.push(await recordNode(source, SparseHeader, 0));
    for (const chunk of (await readSparse(source)).chunks) {
      const node = await recordNode(source, ChunkHeader, chunk.headerOffset, `chunk ${chunk.kind}`);
      const size = chunk.kind === 'raw' ? chunk.size : chunk.kind === 'fill' ? 4 : 0;
      const data = size === 0 ? [] : [field('data', `${size} bytes`, chunk.dataOffset, size)];
      parts.children.push({ ...node, fields: [...node.fields, ...data] });
    }
  });
}

/** A partition table as `inspect` shows it. */

import type { DumpNode } from '../../core/dump.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import { dumpFields } from '../struct-dump.ts';
import { formatGuid } from './guid.ts';
import { gptHeaderFields, SECTOR_SIZE } from './layout.ts';
import { readGpt, type Gpt, type Partition } from './reader.ts';

/** @throws {FormatError} as `readGpt`. */
export async function dumpGpt(source: ByteSource): Promise<DumpNode> {
  const gpt = await readGpt(source);
  return {
    name: `GPT ${source.name}`,
    fields: [{ name: 'disk GUID', value: formatGuid(gpt.diskGuid) }],
    children: [
      dumpHeader('header', gpt.primary),
      dumpHeader('backup header', gpt.backup),
      ...gpt.partitions.map((partition) => dumpPartition(partition, gpt)),
    ],
  };
}

function dumpHeader(name: string, header: Gpt['primary']): DumpNode {
  const offset = Number(header.my_lba) * SECTOR_SIZE;
  return { name, fields: dumpFields(gptHeaderFields, header, offset), children: [] };
}

function dumpPartition(partition: Partition, { primary }: Gpt): DumpNode {
  const entry =
    Number(primary.partition_entry_lba) * SECTOR_SIZE +
    partition.index * primary.size_of_partition_entry;
  return {
    name: `partition ${partition.index} "${partition.label}"`,
    fields: [
      { name: 'type GUID', value: formatGuid(partition.typeGuid), offset: entry },
      { name: 'GUID', value: formatGuid(partition.guid), offset: entry + 16 },
      { name: 'offset', value: partition.offset, offset: entry + 32 },
      { name: 'size', value: partition.size, offset: entry + 40 },
      { name: 'attributes', value: partition.attributes, offset: entry + 48 },
    ],
    children: [],
  };
}

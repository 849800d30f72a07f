/** Compares two GPT disks: the table, then partition by partition, then what lies between them. */

import { dumpGpt } from '../../formats/gpt/dump.ts';
import { SECTOR_SIZE } from '../../formats/gpt/layout.ts';
import { readGpt, type Gpt, type Partition } from '../../formats/gpt/reader.ts';
import { sliceSource, type ByteSource } from '../../io/byte-source.ts';
import { detectKind, type FileKind } from '../file-kind.ts';
import { LABELS } from '../layout.ts';
import { firstDifference } from './bytes.ts';
import { namedCause } from './causes.ts';
import { compareDumps, type Meaning } from './dumps.ts';
import { compareIdsigs } from './idsig.ts';
import { compareImages, type Origins } from './image.ts';
import type { Scope } from './recorder.ts';
import { compareVbmeta } from './vbmeta.ts';

export interface DiskOptions {
  /** Where the inodes of a partition come from. */
  originsOf?(label: string): Origins;
}

const kindOfLabel = (label: string): FileKind | undefined => {
  if (label === LABELS.metadata) return 'payload-metadata';
  if (label === LABELS.apk || /^extra-apk-\d+$/.test(label)) return 'apk';
  return label === LABELS.idsig || /^extra-idsig-\d+$/.test(label) ? 'idsig' : undefined;
};

/** @throws {FormatError} when a table is not usable. */
export async function compareDisks(
  scope: Scope,
  a: ByteSource,
  b: ByteSource,
  options: DiskOptions = {},
): Promise<void> {
  compareDumps(scope.at('GPT'), await dumpGpt(a), await dumpGpt(b), judgeTable);
  const [tableA, tableB] = [await readGpt(a), await readGpt(b)];
  const labels = new Set([...tableA.partitions, ...tableB.partitions].map(({ label }) => label));
  for (const label of labels) {
    const [x, y] = [partition(a, tableA, label), partition(b, tableB, label)];
    // That one is missing was told with the table.
    if (x !== undefined && y !== undefined) {
      await comparePartitions(scope.inside(label), label, x, y, options);
    }
  }
  await compareGaps(scope, a, b, tableA, tableB);
}

/** Offsets and checksums follow from the partitions, the second table from the first. */
function judgeTable(part: string, field: string): Meaning {
  if (part === 'backup header') return { skip: true };
  if (part.startsWith('GPT ') && field === '') return { skip: false };
  if (field.includes('GUID') || field === 'disk_guid') {
    return {
      ...(field === 'disk_guid' && { skip: true }),
      cause: namedCause('random-uuid', 'GUIDs come from a name, or from chance'),
    };
  }
  if (part.startsWith('partition ') && field === '') return { level: 'member' };
  return field === 'attributes' ? { level: 'content' } : { nature: 'consequence' };
}

function partition(disk: ByteSource, table: Gpt, label: string): ByteSource | undefined {
  const found = table.partitions.find((each) => each.label === label);
  return found && sliceSource(disk, found.offset, found.size, `${disk.name}: ${label}`);
}

async function comparePartitions(
  scope: Scope,
  label: string,
  a: ByteSource,
  b: ByteSource,
  options: DiskOptions,
): Promise<void> {
  if (label === LABELS.vbmeta) {
    if ((await firstDifference(a, b, scope.signal)) === undefined) return;
    const before = scope.total();
    await compareVbmeta(scope, a, b, false);
    if (scope.total() === before) await scope.content(a, b);
    return;
  }
  if (kindOfLabel(label) === 'idsig') return compareIdsigs(scope, a, b, false);
  const kind = kindOfLabel(label) ?? (await detectKind(a));
  if (kind === 'erofs' && (await detectKind(b)) === 'erofs') {
    return compareImages(scope, a, b, options.originsOf?.(label));
  }
  await scope.content(a, b, kind === undefined ? {} : { as: kind });
}

/** What no partition holds is zeros where we made it; elsewhere it may hide anything. */
async function compareGaps(
  scope: Scope,
  a: ByteSource,
  b: ByteSource,
  tableA: Gpt,
  tableB: Gpt,
): Promise<void> {
  const places = (table: Gpt): string =>
    JSON.stringify(table.partitions.map(({ offset, size }) => [offset, size]));
  if (a.size !== b.size || places(tableA) !== places(tableB)) return;
  let at = Number(tableA.primary.first_usable_lba) * SECTOR_SIZE;
  const end = (Number(tableA.primary.last_usable_lba) + 1) * SECTOR_SIZE;
  const byOffset = (x: Partition, y: Partition): number => x.offset - y.offset;
  const parts = tableA.partitions.toSorted(byOffset);
  for (const { offset, size } of [...parts, { offset: end, size: 0 }]) {
    if (offset > at) {
      const gap = (disk: ByteSource): ByteSource => sliceSource(disk, at, offset - at);
      const found = await firstDifference(gap(a), gap(b), scope.signal);
      if (found !== undefined) {
        scope.found({ level: 'bytes', field: 'between partitions', offset: at + found });
      }
    }
    at = Math.max(at, offset + size);
  }
}

/** Compares two GPT disks: the table, then partition by partition, then what lies between them. */

import { FormatError, VerificationError } from '../../core/errors.ts';
import { readIdsig } from '../../formats/apk/idsig.ts';
import { findApkSections } from '../../formats/apk/signing-block.ts';
import { dumpGpt } from '../../formats/gpt/dump.ts';
import { SECTOR_SIZE } from '../../formats/gpt/layout.ts';
import { readGpt, type Gpt } from '../../formats/gpt/reader.ts';
import { verifyIdsig } from '../../signing/apk/verify-idsig.ts';
import { sliceSource, type ByteSource } from '../../io/byte-source.ts';
import { detectKind, type FileKind } from '../file-kind.ts';
import { LABELS } from '../layout.ts';
import { firstDifference } from './bytes.ts';
import { namedCause } from './causes.ts';
import { compareDumps, type Meaning } from './dumps.ts';
import { compareIdsigs } from './idsig.ts';
import { compareImages, type Origins } from './image.ts';
import { compareGaps, type PartedFile } from './gaps.ts';
import type { Proof, Scope } from './recorder.ts';
import { compareResidue } from './residue.ts';
import { compareVbmeta } from './vbmeta.ts';

/** Of partitions, in bytes. */
const BLOCK = 4096;

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
  const before = scope.told();
  const [tableA, tableB] = [await readGpt(a), await readGpt(b)];
  const proof: Proof = () => sizesHold({ a, b }, { a: tableA, b: tableB });
  compareDumps(scope.at('GPT'), await dumpGpt(a), await dumpGpt(b), (part, field) =>
    judgeTable(part, field, proof),
  );
  const labels = new Set([...tableA.partitions, ...tableB.partitions].map(({ label }) => label));
  for (const label of labels) {
    const [x, y] = [partition(a, tableA, label), partition(b, tableB, label)];
    // That one is missing was told with the table.
    if (x !== undefined && y !== undefined) {
      const apks: Proof = () => idsigsHold(label, { a, b }, { a: tableA, b: tableB });
      await comparePartitions(scope.inside(label), label, x, y, { options, proof: apks });
    }
  }
  await compareGaps(scope, partsOf(a, tableA), partsOf(b, tableB), 'between partitions');
  const after = scope.told();
  if (after.explained > before.explained && after.origins === before.origins) {
    await compareResidue(scope.at('GPT'), 'gpt', a, b, (path) => TOLD.test(path));
  }
}

/** Partitions, places and checksums: all that is compared by what it says, or follows from it. */
const TOLD =
  /(?:^\/partition .*|\/(?:header_crc32|my_lba|alternate_lba|first_usable_lba|last_usable_lba|partition_entry_lba|partition_entry_array_crc32|starting_lba|ending_lba|size_in_lba|ending_chs))$/;

/** The tables at both ends, and the partitions. */
function partsOf(source: ByteSource, { primary, partitions }: Gpt): PartedFile {
  const first = Number(primary.first_usable_lba) * SECTOR_SIZE;
  const end = (Number(primary.last_usable_lba) + 1) * SECTOR_SIZE;
  const tables = [
    { offset: 0, size: first },
    { offset: end, size: Math.max(0, (Number(primary.alternate_lba) + 1) * SECTOR_SIZE - end) },
  ];
  return { source, parts: [...tables, ...partitions] };
}

interface Both<T> {
  readonly a: T;
  readonly b: T;
}

/** Partitions of which one is larger are no larger than what they hold. */
async function sizesHold(disks: Both<ByteSource>, tables: Both<Gpt>): ReturnType<Proof> {
  const wrong = async (side: 'a' | 'b'): Promise<string | undefined> => {
    for (const { label, size } of tables[side].partitions) {
      const other = tables[side === 'a' ? 'b' : 'a'].partitions.find(
        (each) => each.label === label,
      );
      if (other?.size === size) continue;
      const source = partition(disks[side], tables[side], label);
      const kind = kindOfLabel(label);
      let held = 0;
      if (source !== undefined && kind === 'apk') held = (await findApkSections(source)).size;
      if (source !== undefined && kind === 'idsig') {
        const { treeOffset, treeSize } = await readIdsig(source);
        held = treeOffset + treeSize;
      }
      if (size - held >= BLOCK) return `partition ${label} is larger than what it holds`;
    }
    return undefined;
  };
  return sidesOf(wrong);
}

/** The idsig of a partition is that of its APK. */
async function idsigsHold(
  label: string,
  disks: Both<ByteSource>,
  tables: Both<Gpt>,
): ReturnType<Proof> {
  const apkLabel = label === LABELS.idsig ? LABELS.apk : label.replace('idsig', 'apk');
  return sidesOf(async (side) => {
    const idsig = partition(disks[side], tables[side], label);
    const apk = partition(disks[side], tables[side], apkLabel);
    if (idsig === undefined || apk === undefined) return `there is no ${apkLabel}`;
    try {
      await verifyIdsig(apk, idsig, { allowUnsigned: true });
      return undefined;
    } catch (error) {
      if (error instanceof VerificationError || error instanceof FormatError) return error.message;
      throw error;
    }
  });
}

async function sidesOf(wrong: (side: 'a' | 'b') => Promise<string | undefined>): ReturnType<Proof> {
  const [a, b] = [await wrong('a'), await wrong('b')];
  return a === undefined && b === undefined ? undefined : { ...(a && { a }), ...(b && { b }) };
}

/** Offsets and checksums follow from the partitions, the second table from the first. */
function judgeTable(part: string, field: string, proof: Proof): Meaning {
  if (part === 'backup header') return { skip: true };
  if (part.startsWith('GPT ') && field === '') return { skip: false };
  if (field.includes('GUID') || field === 'disk_guid') {
    return {
      ...(field === 'disk_guid' && { skip: true }),
      cause: namedCause('random-uuid', 'GUIDs come from a name, or from chance'),
    };
  }
  if (part.startsWith('partition ') && field === '') return { level: 'member' };
  return field === 'attributes' ? { level: 'content' } : { nature: 'consequence', proof };
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
  { options, proof }: { readonly options: DiskOptions; readonly proof: Proof },
): Promise<void> {
  if (label === LABELS.vbmeta) {
    if ((await firstDifference(a, b, scope.signal)) === undefined) return;
    const before = scope.told();
    await compareVbmeta(scope, a, b, false);
    if (scope.told().total === before.total) await scope.content(a, b);
    return;
  }
  if (kindOfLabel(label) === 'idsig') return compareIdsigs(scope, a, b, false, proof);
  const kind = kindOfLabel(label) ?? (await detectKind(a));
  if (kind === 'erofs' && (await detectKind(b)) === 'erofs') {
    return compareImages(scope, a, b, options.originsOf?.(label));
  }
  await scope.content(a, b, kind === undefined ? {} : { as: kind });
}

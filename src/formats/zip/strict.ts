/**
 * The ZIP profile of payloads: archives that every reader must read the same way.
 *
 * A signature over an APK says which bytes were signed and nothing about what they mean: readers
 * differ on duplicate names, overlapping entries, headers that contradict each other. So the entries
 * must tile the archive, both headers of each must agree, and no name may be taken for another.
 */

import { FormatError } from '../../core/errors.ts';
import { equalBytes } from '../../core/digest.ts';
import { streamOf, type ByteSource } from '../../io/byte-source.ts';
import { openEntry, readLocalHeader } from './entry.ts';
import { decodeExtra } from './extra.ts';
import {
  DATA_DESCRIPTOR_SIGNATURE,
  DataDescriptor,
  EndOfCentralDirectory,
  EXTRA_UNICODE_PATH,
  EXTRA_ZIP64,
  FLAG_DATA_DESCRIPTOR,
  FLAG_DEFLATE_EFFORT,
  FLAG_ENCRYPTED,
  FLAG_MASKED_HEADERS,
  FLAG_STRONG_ENCRYPTION,
  FLAG_UTF8,
  METHOD_DEFLATED,
  METHOD_STORED,
  ZIP64_LOCATOR_SIGNATURE,
  WideDataDescriptor,
  ZIP64_LOCATOR_SIZE,
} from './layout.ts';
import { nameProblem, nameSet } from './names.ts';
import { shownName, type ZipDirectory, type ZipEntry } from './read.ts';
import { windowSource } from './window-source.ts';
import { widened } from './zip64.ts';

export interface StrictZipOptions {
  /**
   * Where the entries end, in bytes: the start of an APK Signing Block. Zeros may stand before it.
   * Default: the central directory, and then nothing may stand before it.
   */
  readonly entriesEnd?: number;
  /** Bytes that all entries together may decompress to. Default 256 MiB or 64 times the archive. */
  readonly maxTotalSize?: number;
  /** Whether to decompress every entry, to compare its size and CRC-32. Default true. */
  readonly contents?: boolean;
  /** Whether entries may have comments. Default false: readers ignore them, so nobody sees them. */
  readonly entryComments?: boolean;
  /** Whether the archive may have a comment, in which no end record can hide. Default false. */
  readonly archiveComment?: boolean;
  /** Whether entries may be symbolic links, by their Unix modes. Default false. */
  readonly symlinks?: boolean;
  /** Whether the archive may be of ZIP64; it was read so. Default false. */
  readonly zip64?: boolean;
  /** Whether a stored entry may have its sizes behind its data, too, as streaming writers do it. Default false. */
  readonly storedDescriptors?: boolean;
}

/** What decompresses to more than that of itself is made to exhaust who reads it. */
const MAX_RATIO = 64;
const USUAL_TOTAL_SIZE = 256 << 20;

/** Before a signing block, which starts on a page; no page is larger, and early signers wrote two. */
const MAX_PADDING = 0xffff;

/** Bits that mean something harmless: how hard the deflater tried, descriptors, UTF-8. */
const KNOWN_FLAGS = FLAG_DEFLATE_EFFORT | FLAG_DATA_DESCRIPTOR | FLAG_UTF8;

/** Fields that one header has and the other may not: padding and alignment, times, owners, Java's mark. */
const ONE_SIDED_FIELDS: ReadonlySet<number> = new Set([
  0x0000, 0x000a, 0x5455, 0x5855, 0x7855, 0x7875, 0xcafe, 0xd935,
]);

/** `st_mode` in the upper half of the external attributes. */
const MODE_TYPE_MASK = 0xf000;
const MODE_REGULAR = 0x8000;
const MODE_DIRECTORY = 0x4000;
const MODE_SYMLINK = 0xa000;

const refuse = (
  code: ConstructorParameters<typeof FormatError>[1],
  message: string,
  where: { offset?: number; field?: string } = {},
): FormatError => new FormatError('zip', code, `Refused ZIP archive: ${message}`, where);

async function checkEnd(
  source: ByteSource,
  zip: ZipDirectory,
  { allowsComment, zip64 }: { readonly allowsComment: boolean; readonly zip64: boolean },
): Promise<void> {
  const { end, endOffset, directoryEnd, entries } = zip;
  const where = { offset: endOffset };
  if (end.commentLength !== 0) {
    const comment = await source.read(endOffset + EndOfCentralDirectory.size, end.commentLength);
    // A reader that searches from the other side would find the record in the comment.
    if (!allowsComment || Buffer.from(comment).includes('PK')) {
      throw refuse('trailing-data', 'it has an archive comment', where);
    }
  }
  if (endOffset + EndOfCentralDirectory.size + end.commentLength !== source.size) {
    throw refuse('trailing-data', 'bytes follow the end of central directory record', where);
  }
  if (end.diskNumber !== 0 || end.centralDirectoryDisk !== 0) {
    throw refuse('unsupported', 'it is one disk of several', where);
  }
  if (end.entryCount !== entries.length || end.entriesOnDisk !== entries.length) {
    throw refuse(
      'bad-value',
      `its end record counts ${end.entryCount} entries (${end.entriesOnDisk} on this disk), the directory lists ${entries.length}`,
      where,
    );
  }
  if (end.centralDirectoryOffset + end.centralDirectorySize !== directoryEnd) {
    throw refuse('bad-value', 'the central directory does not end at its end record', where);
  }
  if (!zip64 && endOffset >= ZIP64_LOCATOR_SIZE) {
    const locator = await source.read(endOffset - ZIP64_LOCATOR_SIZE, 4);
    if (
      new DataView(locator.buffer, locator.byteOffset).getUint32(0, true) ===
      ZIP64_LOCATOR_SIGNATURE
    ) {
      throw refuse('unsupported', 'it has a ZIP64 locator', where);
    }
  }
}

function checkExtra(extra: Uint8Array, entry: ZipEntry, zip64: boolean): void {
  const { fields, rest } = decodeExtra(extra);
  const where = { offset: entry.recordOffset, field: entry.name };
  if (rest.some((byte) => byte !== 0)) {
    throw refuse(
      'bad-value',
      `the extra data of ${shownName(entry.name)} holds a broken field`,
      where,
    );
  }
  for (const { id } of fields) {
    if ((id === EXTRA_ZIP64 && !zip64) || id === EXTRA_UNICODE_PATH) {
      throw refuse(
        'unsupported',
        `entry ${shownName(entry.name)} has the extra field 0x${id.toString(16).padStart(4, '0')}`,
        where,
      );
    }
  }
}

/** A field that only one header has is seen by half of the readers. */
function checkSameFields(localExtra: Uint8Array, entry: ZipEntry): void {
  if (localExtra.length === 0 && entry.extra.length === 0) return;
  const [local, central] = [localExtra, entry.extra].map(
    (extra) => new Set(decodeExtra(extra).fields.map(({ id }) => id)),
  ) as [Set<number>, Set<number>];
  for (const id of [...local, ...central]) {
    // Which of both needs it is their own affair: the sizes themselves have been compared.
    if (id === EXTRA_ZIP64 || ONE_SIDED_FIELDS.has(id) || (local.has(id) && central.has(id)))
      continue;
    throw refuse(
      'bad-value',
      `only one header of ${shownName(entry.name)} has the extra field 0x${id.toString(16).padStart(4, '0')}`,
      { offset: entry.localHeaderOffset, field: entry.name },
    );
  }
}

/** What the record in the central directory says by itself. */
function checkRecord(entry: ZipEntry, allowed: Allowed): void {
  const problem = recordProblem(entry, allowed);
  if (problem !== undefined) {
    const [code, message] = problem;
    throw refuse(code, `entry ${shownName(entry.name)} ${message}`, {
      offset: entry.recordOffset,
      field: entry.name,
    });
  }
  checkExtra(entry.extra, entry, allowed.zip64);
}

type Problem = readonly [code: Parameters<typeof refuse>[0], message: string];

type Allowed = Required<
  Pick<StrictZipOptions, 'entryComments' | 'symlinks' | 'zip64' | 'storedDescriptors'>
>;

function recordProblem(
  entry: ZipEntry,
  { entryComments, symlinks, storedDescriptors }: Allowed,
): Problem | undefined {
  const { name, method, flags } = entry;
  const problem = nameProblem(name);
  if (problem !== undefined) return ['bad-value', `has a name that ${problem}`];
  if (entry.diskNumber !== 0) return ['unsupported', 'is on another disk'];
  if (entry.comment.length > 0 && !entryComments) return ['unsupported', 'has a comment'];
  if (method !== METHOD_STORED && method !== METHOD_DEFLATED) {
    return ['unsupported', `uses compression method ${method}`];
  }
  if (flags & (FLAG_ENCRYPTED | FLAG_STRONG_ENCRYPTION | FLAG_MASKED_HEADERS)) {
    return ['unsupported', 'is marked as encrypted'];
  }
  if (flags & ~KNOWN_FLAGS) {
    return ['unsupported', `has reserved flags: 0x${flags.toString(16)}`];
  }
  if (flags & FLAG_DATA_DESCRIPTOR && method !== METHOD_DEFLATED && !storedDescriptors) {
    return ['bad-value', 'is stored and has a data descriptor'];
  }
  if (method === METHOD_STORED && entry.compressedSize !== entry.size) {
    return ['bad-value', 'is stored and has two sizes'];
  }
  const type = (entry.externalAttributes >>> 16) & MODE_TYPE_MASK;
  const isDirectory = name.endsWith('/');
  const isLink = symlinks && !isDirectory && type === MODE_SYMLINK;
  if (type !== 0 && !isLink && type !== (isDirectory ? MODE_DIRECTORY : MODE_REGULAR)) {
    return ['unsupported', 'is not a regular file by its mode'];
  }
  if (isDirectory && entry.size !== 0) return ['bad-value', 'is a directory with data'];
  return undefined;
}

const SAME_IN_BOTH = ['flags', 'method', 'time', 'date'] as const;
const SIZES = ['crc32', 'compressedSize', 'size'] as const;

/** The local header against the record; returns where the entry's bytes end. */
async function checkLocal(
  source: ByteSource,
  entry: ZipEntry,
  next: number,
  zip64: boolean,
): Promise<number> {
  const local = await readLocalHeader(source, entry);
  const { nameBytes, extra, dataOffset } = local;
  const where = { offset: entry.localHeaderOffset, field: entry.name };
  const disagree = (field: string): FormatError =>
    refuse('bad-value', `the two headers of ${shownName(entry.name)} disagree on ${field}`, where);
  const header = zip64
    ? widened(local.header, extra, (message) =>
        refuse('bad-value', `the local header of ${shownName(entry.name)} ${message}`, where),
      )
    : local.header;
  if (!equalBytes(nameBytes, entry.nameBytes)) throw disagree('the name');
  for (const field of SAME_IN_BOTH) if (header[field] !== entry[field]) throw disagree(field);
  const described = (entry.flags & FLAG_DATA_DESCRIPTOR) !== 0;
  for (const field of SIZES) {
    if (header[field] !== entry[field] && !(described && header[field] === 0))
      throw disagree(field);
  }
  checkExtra(extra, entry, zip64);
  checkSameFields(extra, entry);
  const dataEnd = dataOffset + entry.compressedSize;
  if (dataEnd > next)
    throw refuse('out-of-range', `entry ${shownName(entry.name)} overlaps what follows`, where);
  return described
    ? dataEnd + (await descriptorSize(source, entry, { offset: dataEnd, next, zip64 }))
    : dataEnd;
}

async function descriptorSize(
  source: ByteSource,
  entry: ZipEntry,
  { offset, next, zip64 }: { offset: number; next: number; zip64: boolean },
): Promise<number> {
  const kinds = zip64 ? [WideDataDescriptor, DataDescriptor] : [DataDescriptor];
  const bytes = await source.read(offset, Math.min(4 + WideDataDescriptor.size, next - offset));
  // The signature is optional, and so is the width: all readings are tried; a CRC may look like the signature.
  for (const kind of kinds) {
    for (const at of [4, 0]) {
      if (bytes.length < at + kind.size) continue;
      const view = new DataView(bytes.buffer, bytes.byteOffset);
      if (at > 0 && view.getUint32(0, true) !== DATA_DESCRIPTOR_SIGNATURE) continue;
      const descriptor = kind.decode(bytes, at);
      if (SIZES.every((field) => Number(descriptor[field]) === entry[field])) return at + kind.size;
    }
  }
  throw refuse(
    'bad-value',
    `the data descriptor of ${shownName(entry.name)} is missing or disagrees`,
    {
      offset,
      field: entry.name,
    },
  );
}

async function checkZeros(
  source: ByteSource,
  from: number,
  to: number,
  last: ZipEntry | undefined,
): Promise<void> {
  for await (const chunk of streamOf(source, from, to - from)) {
    if (chunk.some((byte) => byte !== 0)) {
      throw refuse('trailing-data', `${after(last)}bytes that belong to no entry`, {
        offset: from,
      });
    }
  }
}

const after = (last: ZipEntry | undefined): string =>
  last === undefined ? '' : `after entry ${shownName(last.name)}: `;

/** All that the central directory says: each record by itself, and their names and sizes together. */
function checkRecords(
  { entries }: ZipDirectory,
  { maxTotalSize, ...allowed }: Allowed & { readonly maxTotalSize: number },
): void {
  const names = nameSet();
  let totalSize = 0;
  let largest: ZipEntry | undefined;
  for (const entry of entries) {
    checkRecord(entry, allowed);
    const problem = names.add(entry.name);
    if (problem !== undefined) {
      throw refuse('duplicate', `entry ${shownName(entry.name)} ${problem}`, {
        offset: entry.recordOffset,
        field: entry.name,
      });
    }
    totalSize += entry.size;
    if (largest === undefined || entry.size > largest.size) largest = entry;
  }
  if (largest !== undefined && totalSize > maxTotalSize) {
    throw refuse(
      'too-large',
      `its entries hold ${totalSize} bytes, ${maxTotalSize} are allowed; the largest is entry ${shownName(largest.name)}`,
      { offset: largest.recordOffset, field: largest.name },
    );
  }
}

/** Stored, and thus nothing to look at. */
const isEmpty = ({ method, size, crc32 }: ZipEntry): boolean =>
  method === METHOD_STORED && size === 0 && crc32 === 0;

/**
 * Checks an archive against the profile.
 *
 * @param zip What `readZip` read from the same source.
 * @throws {FormatError} naming the first rule that is broken.
 */
export async function checkStrictZip(
  source: ByteSource,
  zip: ZipDirectory,
  options: StrictZipOptions = {},
): Promise<void> {
  const { contents = true, entryComments = false, symlinks = false, zip64 = false } = options;
  const { storedDescriptors = false, archiveComment = false } = options;
  const maxTotalSize = options.maxTotalSize ?? Math.max(USUAL_TOTAL_SIZE, source.size * MAX_RATIO);
  const entriesEnd = options.entriesEnd ?? zip.end.centralDirectoryOffset;
  await checkEnd(source, zip, { allowsComment: archiveComment, zip64 });
  checkRecords(zip, { maxTotalSize, entryComments, symlinks, zip64, storedDescriptors });

  const headers = windowSource(source);
  const byOffset = [...zip.entries].sort((a, b) => a.localHeaderOffset - b.localHeaderOffset);
  let at = 0;
  for (const [index, entry] of byOffset.entries()) {
    if (entry.localHeaderOffset !== at) {
      throw refuse(
        'bad-value',
        `entry ${shownName(entry.name)} does not start where the one before ends`,
        {
          offset: at,
          field: entry.name,
        },
      );
    }
    const next = byOffset[index + 1]?.localHeaderOffset ?? entriesEnd;
    at = await checkLocal(headers, entry, next, zip64);
  }
  if (options.entriesEnd === undefined && at !== entriesEnd) {
    throw refuse(
      'trailing-data',
      `${after(byOffset.at(-1))}bytes stand before the central directory`,
      { offset: at },
    );
  }
  if (entriesEnd - at > MAX_PADDING) {
    throw refuse(
      'trailing-data',
      `${entriesEnd - at} bytes stand between its entries and its signatures`,
      {
        offset: at,
      },
    );
  }
  await checkZeros(source, at, entriesEnd, byOffset.at(-1));

  if (!contents) return;
  for (const entry of byOffset) {
    if (isEmpty(entry)) continue;
    // The stream itself compares size and CRC-32.
    for await (const chunk of (await openEntry(headers, entry)).stream()) void chunk;
  }
}

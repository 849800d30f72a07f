/**
 * A tar archive of files that can be used where they stand: the data of each starts at a multiple of 4096.
 * Every tar program reads it; in return it has one form only. Members are sorted, their owner, mode and time
 * are fixed, so that names and contents decide every byte, and a reader that makes each header anew and
 * compares leaves nothing to interpretation.
 *
 * FORMAT, each member
 * - where the data would start elsewhere: an extended header (pax) whose `comment` fills the gap
 * - 512 bytes: header
 * - data, zeros to a multiple of 512
 * The archive ends with zeros: 1024 bytes at least, up to a multiple of 4096.
 *
 * @see POSIX.1-2017, pax, "ustar Interchange Format" and "pax Header Block"
 */

import { FormatError, type FormatErrorCode } from '../../core/errors.ts';
import { alignUp } from '../../core/math.ts';
import { DEFAULT_SOURCE_DATE } from '../../core/source-date.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import { headerChecksum, posixHeader, TAR_BLOCK } from './layout.ts';

/** Pages, blocks of file systems, of dm-verity and of direct I/O. */
const ALIGNMENT = 4096;
/** What eleven octal digits hold; larger sizes stand in the extended header. */
const MAX_OCTAL_SIZE = 0o77777777777;
const MAX_PLAIN_NAME = 100;
/** The shortest record that can fill a gap: `20 comment=        \n`. */
const MIN_FILLER = 20;
const MAX_MEMBERS = 2000;
/** Two zero blocks end an archive. */
const END_SIZE = 2 * TAR_BLOCK;

export interface AlignedMember {
  /** Relative path of ASCII letters, digits, `.`, `_`, `-`, with `/` between folders. */
  readonly name: string;
  /** In bytes. */
  readonly size: number;
}

export interface PlacedMember extends AlignedMember {
  /** Of the data in the archive, in bytes. */
  readonly offset: number;
}

export interface AlignedLayout {
  readonly members: readonly PlacedMember[];
  /** The headers, and where they go. */
  readonly heads: readonly { readonly offset: number; readonly bytes: Uint8Array }[];
  /** Of the archive, in bytes. What neither heads nor data fill is zeros. */
  readonly size: number;
}

const NAME = /^[A-Za-z0-9_][A-Za-z0-9._-]*(?:\/[A-Za-z0-9_][A-Za-z0-9._-]*)*$/;
const MAX_NAME = 255;

/** Why a name cannot follow another one, or undefined. */
function nameProblem(name: string, before: ReadonlySet<string>): string | undefined {
  if (!NAME.test(name) || name.length > MAX_NAME) return 'is not a plain relative path';
  if (before.has(name)) return 'is there twice';
  for (let slash = name.indexOf('/'); slash !== -1; slash = name.indexOf('/', slash + 1)) {
    if (before.has(name.slice(0, slash))) return 'lies below a file';
  }
  return undefined;
}

const octal = (value: number, digits: number): Uint8Array =>
  Buffer.from(`${value.toString(8).padStart(digits, '0')}\0`);

function encodeHeader(name: string, size: number, type: '0' | 'x'): Uint8Array {
  const fields = {
    name: Buffer.from(name),
    mode: octal(0o644, 7),
    uid: octal(0, 7),
    gid: octal(0, 7),
    size: octal(size, 11),
    mtime: octal(DEFAULT_SOURCE_DATE, 11),
    chksum: Buffer.alloc(0),
    typeflag: Buffer.from(type),
    linkname: Buffer.alloc(0),
    magic_version: Buffer.from('ustar\x0000'),
    uname: Buffer.from('root'),
    gname: Buffer.from('root'),
    devmajor: octal(0, 7),
    devminor: octal(0, 7),
    prefix: Buffer.alloc(0),
    pad: Buffer.alloc(0),
  };
  const sum = headerChecksum(posixHeader.encode(fields));
  return posixHeader.encode({
    ...fields,
    chksum: Buffer.from(`${sum.toString(8).padStart(6, '0')}\0 `),
  });
}

/** `length key=value\n`, the length counting all of it. */
function record(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  let length = rest.length;
  while (`${length}${rest}`.length !== length) length = `${length}${rest}`.length;
  return `${length}${rest}`;
}

/** A record of exactly `length` bytes that says nothing. */
function filler(length: number): string {
  const start = `${length} comment=`;
  return `${start}${' '.repeat(length - start.length - 1)}\n`;
}

/** Everything in front of a member's data, for a head that starts at `at`. */
function encodeHead({ name, size }: AlignedMember, at: number): Uint8Array {
  const isLong = name.length > MAX_PLAIN_NAME;
  const isLarge = size > MAX_OCTAL_SIZE;
  const records = `${isLong ? record('path', name) : ''}${isLarge ? record('size', String(size)) : ''}`;
  const plain = encodeHeader(name.slice(0, MAX_PLAIN_NAME), isLarge ? 0 : size, '0');
  if (records === '' && (at + TAR_BLOCK) % ALIGNMENT === 0) return plain;
  const fixed = at + 2 * TAR_BLOCK;
  let room = alignUp(fixed + 1, ALIGNMENT) - fixed;
  while (room !== records.length && room < records.length + MIN_FILLER) room += ALIGNMENT;
  const text = `${records}${room === records.length ? '' : filler(room - records.length)}`;
  return new Uint8Array(
    Buffer.concat([encodeHeader('PaxHeader', room, 'x'), Buffer.from(text), plain]),
  );
}

/** Where the archive ends whose last member's data ends at `at`. */
const sizeOf = (at: number): number => alignUp(alignUp(at, TAR_BLOCK) + END_SIZE, ALIGNMENT);

/**
 * Decides where the members go: sorted by name.
 *
 * @throws {RangeError} on a name that such an archive cannot hold, or too many of them.
 */
export function layoutAligned(members: readonly AlignedMember[]): AlignedLayout {
  if (members.length > MAX_MEMBERS) {
    throw new RangeError(`Cannot archive ${members.length} files: at most ${MAX_MEMBERS}`);
  }
  const names = new Set<string>();
  const heads: { offset: number; bytes: Uint8Array }[] = [];
  const placed: PlacedMember[] = [];
  let at = 0;
  for (const member of [...members].sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const problem = nameProblem(member.name, names);
    if (problem !== undefined) {
      throw new RangeError(`Cannot archive ${JSON.stringify(member.name)}: it ${problem}`);
    }
    names.add(member.name);
    const bytes = encodeHead(member, at);
    heads.push({ offset: at, bytes });
    const offset = at + bytes.length;
    placed.push({ ...member, offset });
    at = alignUp(offset + member.size, TAR_BLOCK);
  }
  return { members: placed, heads, size: sizeOf(at) };
}

/** Whether a file begins as such an archive does. */
export async function isAligned(source: ByteSource): Promise<boolean> {
  if (source.size < 2 * ALIGNMENT) return false;
  const { magic_version: magic } = posixHeader.decode(await source.read(0, TAR_BLOCK));
  return Buffer.from(magic).toString('latin1') === 'ustar\x0000';
}

const textOf = (field: Uint8Array): string => {
  const end = field.indexOf(0);
  return Buffer.from(end === -1 ? field : field.subarray(0, end)).toString('latin1');
};

/** What a head says, taken loosely: it only counts when the same head comes of it again. */
function guessMember(block: Uint8Array): AlignedMember | undefined {
  let header = posixHeader.decode(block);
  let records = '';
  if (textOf(header.typeflag) === 'x') {
    const length = Number.parseInt(textOf(header.size), 8);
    const next = TAR_BLOCK + length;
    if (!(length > 0 && next + TAR_BLOCK <= block.length)) return undefined;
    records = Buffer.from(block.subarray(TAR_BLOCK, next)).toString('latin1');
    header = posixHeader.decode(block, next);
  }
  const name = /^\d+ path=(.*)\n/.exec(records)?.[1] ?? textOf(header.name);
  const size = /^(?:\d+ path=.*\n)?\d+ size=(\d+)\n/.exec(records)?.[1];
  return {
    name,
    size: size === undefined ? Number.parseInt(textOf(header.size), 8) : Number(size),
  };
}

/** The longest head: two headers, and a gap with a long name and a large size in it. */
const MAX_HEAD = 3 * ALIGNMENT;

/**
 * Reads which members an archive has. Their data is not read.
 *
 * @throws {FormatError} when it is not, byte for byte, what `layoutAligned` makes of its members.
 */
export async function readAligned(source: ByteSource): Promise<PlacedMember[]> {
  const refuse = (code: FormatErrorCode, why: string, offset: number): never => {
    throw new FormatError('tar', code, `Cannot read ${source.name}: ${why}`, { offset });
  };
  const requireZero = async (from: number, to: number, what: string): Promise<void> => {
    const rest = await source.read(from, to - from);
    if (rest.some((byte) => byte !== 0)) refuse('bad-value', `${what} is not zero`, from);
  };
  const members: PlacedMember[] = [];
  const names = new Set<string>();
  let last = '';
  for (let at = 0; ;) {
    const head = await source.read(at, Math.min(MAX_HEAD, source.size - at));
    if (head.length < TAR_BLOCK) return refuse('truncated', 'its end is missing', at);
    if (head.subarray(0, TAR_BLOCK).every((byte) => byte === 0)) {
      const end = sizeOf(at);
      if (source.size < end) refuse('truncated', 'its end is cut off', at);
      if (source.size > end) refuse('trailing-data', 'bytes follow its end', end);
      await requireZero(at, end, 'its end');
      return members;
    }
    const member = guessMember(head);
    const size = member?.size ?? Number.NaN;
    if (member === undefined || !Number.isSafeInteger(size) || size < 0) {
      return refuse('bad-value', 'a header is not one of an aligned archive', at);
    }
    const label = `member ${JSON.stringify(member.name.slice(0, 100))}`;
    const problem = nameProblem(member.name, names);
    if (problem !== undefined) {
      return refuse(
        problem.includes('twice') ? 'duplicate' : 'bad-value',
        `${label} ${problem}`,
        at,
      );
    }
    if (member.name < last) refuse('bad-value', `${label} is not in order`, at);
    if (members.length === MAX_MEMBERS) refuse('too-large', `more than ${MAX_MEMBERS} members`, at);
    const bytes = encodeHead(member, at);
    if (Buffer.compare(head.subarray(0, bytes.length), bytes) !== 0) {
      refuse('bad-value', `the header of ${label} is not the one that its name and size have`, at);
    }
    const offset = at + bytes.length;
    const end = offset + size;
    if (end > source.size) refuse('truncated', `${label} is cut off`, at);
    at = alignUp(end, TAR_BLOCK);
    if (at > source.size) refuse('truncated', `${label} is cut off`, end);
    await requireZero(end, at, `what follows ${label}`);
    names.add(member.name);
    last = member.name;
    members.push({ ...member, offset });
  }
}

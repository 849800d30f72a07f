/**
 * The cpio archive form `newc`, which the Linux kernel unpacks as its initramfs.
 *
 * FORMAT, each member
 * - 110 bytes: header, all numbers as eight hexadecimal digits
 * - name, NUL, zeros to a multiple of 4
 * - data, zeros to a multiple of 4
 * The archive ends with an empty member named `TRAILER!!!`.
 *
 * @see Documentation/driver-api/early-userspace/buffer-format.rst of Linux
 */

import { FormatError } from '../../core/errors.ts';
import { alignUp } from '../../core/math.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import type { FileContent } from '../../io/file-tree.ts';
import { bytes, struct, type Field } from '../struct.ts';

const MAGIC = '070701';
const TRAILER = 'TRAILER!!!';
/** Longest name that Linux takes, with its NUL: PATH_MAX. */
const NAME_MAX = 4096;

/** Eight hexadecimal digits; Linux, GNU cpio and we write upper case. */
const hex8: Field<number> = {
  size: 8,
  read(view, at) {
    const text = Buffer.from(view.buffer, view.byteOffset + at, 8).toString('latin1');
    if (!/^[0-9a-fA-F]{8}$/.test(text)) {
      throw new FormatError(
        'cpio',
        'bad-value',
        `Cannot read cpio header: ${JSON.stringify(text)} is not a hexadecimal number`,
      );
    }
    return Number.parseInt(text, 16);
  },
  write(view, at, value) {
    if (!Number.isInteger(value) || value < 0 || value > 0xffffffff) {
      throw new RangeError(`Cannot store ${value} in a cpio header: 32 bits are there`);
    }
    const text = value.toString(16).toUpperCase().padStart(8, '0');
    new Uint8Array(view.buffer, view.byteOffset + at, 8).set(Buffer.from(text, 'latin1'));
  },
};

/** `struct cpio_newc_header`. */
export const cpioHeader = struct('cpio newc header', 110, {
  c_magic: bytes(6),
  c_ino: hex8,
  c_mode: hex8,
  c_uid: hex8,
  c_gid: hex8,
  c_nlink: hex8,
  c_mtime: hex8,
  c_filesize: hex8,
  c_devmajor: hex8,
  c_devminor: hex8,
  c_rdevmajor: hex8,
  c_rdevminor: hex8,
  c_namesize: hex8,
  c_check: hex8,
});

const S_IFMT = 0o170000;
export const S_IFREG = 0o100000;
export const S_IFDIR = 0o040000;

/** What is written of one member. */
export interface CpioMember {
  /** Relative, without a leading `/` or `./`. */
  readonly name: string;
  /** File type and permissions, as in `st_mode`. */
  readonly mode: number;
  /** Default: none. */
  readonly content?: FileContent;
}

/** What was read of one member. Offsets are bytes in the source. */
export interface CpioEntry {
  readonly name: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: number;
  readonly nlink: number;
  readonly ino: number;
  /** Of the header. */
  readonly offset: number;
  readonly dataOffset: number;
  readonly dataSize: number;
}

/**
 * Encodes everything of a member but its data: header, name, padding. Owner is root.
 *
 * @param size Of the data, in bytes.
 * @param ino Must differ from member to member: equal ones are hard links.
 * @throws {RangeError} when a number does not fit, or the name is empty, too long or holds a NUL.
 */
export function encodeMemberHead(
  member: Pick<CpioMember, 'name' | 'mode'>,
  size: number,
  ino: number,
  mtime: number,
): Uint8Array {
  const name = new TextEncoder().encode(member.name);
  if (name.length === 0 || name.length >= NAME_MAX || name.includes(0)) {
    throw new RangeError(`Cannot store cpio member ${JSON.stringify(member.name.slice(0, 80))}`);
  }
  const out = new Uint8Array(alignUp(cpioHeader.size + name.length + 1, 4));
  out.set(
    cpioHeader.encode({
      c_magic: new TextEncoder().encode(MAGIC),
      c_ino: ino,
      c_mode: member.mode,
      c_uid: 0,
      c_gid: 0,
      // Linux takes a file with more than one link for a hard link; directories always count two.
      c_nlink: (member.mode & S_IFMT) === S_IFDIR ? 2 : 1,
      c_mtime: mtime,
      c_filesize: size,
      c_devmajor: 0,
      c_devminor: 0,
      c_rdevmajor: 0,
      c_rdevminor: 0,
      c_namesize: name.length + 1,
      c_check: 0,
    }),
  );
  out.set(name, cpioHeader.size);
  return out;
}

/** The member that ends an archive. */
const encodeTrailer = (): Uint8Array => encodeMemberHead({ name: TRAILER, mode: 0 }, 0, 0, 0);

/** How many bytes a member takes in the archive. */
function memberSize(member: CpioMember): number {
  const name = Buffer.byteLength(member.name);
  return alignUp(cpioHeader.size + name + 1, 4) + alignUp(member.content?.size ?? 0, 4);
}

/**
 * An archive as content: its size is known before, its bytes are made while they are read.
 *
 * Inode numbers count up, owners are root, every time is `mtime`: the same members give the same bytes.
 *
 * @param members In the order in which the kernel shall create them: parents first.
 * @param mtime Seconds since 1970.
 * @param firstIno Above 1 for the end of an archive whose other members stand before it.
 * @throws {RangeError} from `stream`, when a content yields another number of bytes than its size.
 */
export function cpioArchive(
  members: readonly CpioMember[],
  mtime: number,
  firstIno = 1,
): FileContent {
  const trailer = encodeTrailer();
  const size = members.reduce((sum, member) => sum + memberSize(member), trailer.length);
  return {
    size,
    async *stream() {
      for (const [index, member] of members.entries()) {
        const { content } = member;
        yield encodeMemberHead(member, content?.size ?? 0, firstIno + index, mtime);
        if (content === undefined) continue;
        let done = 0;
        for await (const chunk of content.stream()) {
          done += chunk.length;
          yield chunk;
        }
        if (done !== content.size) {
          throw new RangeError(
            `Cannot store cpio member "${member.name}": it has ${done} bytes, not ${content.size}`,
          );
        }
        const padding = alignUp(done, 4) - done;
        if (padding > 0) yield new Uint8Array(padding);
      }
      yield trailer;
    },
  };
}

function refuse(
  code: 'truncated' | 'bad-magic' | 'bad-value' | 'too-large',
  message: string,
  offset: number,
): never {
  throw new FormatError('cpio', code, `Cannot read cpio archive: ${message}`, { offset });
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function decodeName(data: Uint8Array, offset: number): string {
  const end = data.indexOf(0);
  if (end !== data.length - 1) refuse('bad-value', 'a name does not end at its NUL', offset);
  try {
    return utf8.decode(data.subarray(0, end));
  } catch {
    return refuse('bad-value', 'a name is not UTF-8', offset);
  }
}

/**
 * Reads the head of the member at `offset`.
 *
 * @throws {FormatError} when there is none, or its data ends behind the source.
 */
export async function readMember(source: ByteSource, offset: number): Promise<CpioEntry> {
  if (offset + cpioHeader.size > source.size) {
    refuse('truncated', `a header needs ${cpioHeader.size} bytes`, offset);
  }
  const raw = await source.read(offset, cpioHeader.size);
  if (Buffer.from(raw.subarray(0, 6)).toString('latin1') !== MAGIC) {
    refuse('bad-magic', `a header begins with "${MAGIC}"`, offset);
  }
  const head = cpioHeader.decode(raw);
  const nameSize = head.c_namesize;
  if (nameSize < 2 || nameSize > NAME_MAX) {
    refuse('too-large', `a name has ${nameSize} bytes`, offset + 94);
  }
  const nameOffset = offset + cpioHeader.size;
  const dataOffset = offset + alignUp(cpioHeader.size + nameSize, 4);
  if (dataOffset + head.c_filesize > source.size) {
    refuse('truncated', `a member of ${head.c_filesize} bytes ends behind the archive`, offset);
  }
  return {
    name: decodeName(await source.read(nameOffset, nameSize), nameOffset),
    mode: head.c_mode,
    uid: head.c_uid,
    gid: head.c_gid,
    mtime: head.c_mtime,
    nlink: head.c_nlink,
    ino: head.c_ino,
    offset,
    dataOffset,
    dataSize: head.c_filesize,
  };
}

export interface CpioListing {
  readonly entries: readonly CpioEntry[];
  /** Behind the trailer, where another archive may begin. */
  readonly end: number;
}

/**
 * Lists one archive up to its trailer.
 *
 * @param limit Of members; an archive with more is refused.
 * @throws {FormatError} when it does not parse, or has no trailer.
 */
export async function readCpio(
  source: ByteSource,
  offset = 0,
  limit = 100_000,
): Promise<CpioListing> {
  const entries: CpioEntry[] = [];
  for (let at = offset; ;) {
    const entry = await readMember(source, at);
    at = entry.dataOffset + alignUp(entry.dataSize, 4);
    if (entry.name === TRAILER) {
      if (entry.dataSize !== 0) refuse('bad-value', 'its trailer has data', entry.offset);
      return { entries, end: at };
    }
    if (entries.length === limit) refuse('too-large', `it has more than ${limit} members`, at);
    entries.push(entry);
  }
}

/**
 * A gate in front of tar-stream: passes an archive on only as far as every header, extended header
 * and terminator is what POSIX and GNU tar say. tar-stream itself is lenient, and a second reader that is
 * lenient in another way would see other files.
 *
 * Refused: wrong checksums, numbers that are not octal, negative or beyond 2^53, names that are not
 * UTF-8, types other than files, links, directories, devices and pipes, extended records that do not add up
 * or come twice, two sources for one name or size, data on what has none, archives without end, bytes
 * behind the end.
 *
 * What tar-stream does not tell of an entry is noted here: where its data stands, its extended attributes
 * as bytes, its holes. Sparse files of GNU tar, which tar-stream cannot read, are handed to it as plain ones.
 *
 * @see POSIX.1-2017, pax, "ustar Interchange Format" and "pax Header Block"
 */

import { FormatError } from '../../core/errors.ts';
import type { Piece } from '../../io/archive-entry.ts';
import { asPlainHeader, SparseMap } from './gnu-sparse.ts';
import { headerChecksum, posixHeader, TAR_BLOCK as BLOCK } from './layout.ts';
import { decodeNumber, decodeTime, decodeUtf8, textOf } from './values.ts';

/** Of one extended header or GNU long name, in bytes: tar-stream holds it in memory. */
const MAX_EXTENSION = 1 << 20;

const ENTRY_TYPES = '0123456S';
/** What the kernel takes for one attribute. In bytes. */
const MAX_XATTR = 65_535;
/** Of all entries of one archive, in bytes: they are held in memory. */
const MAX_XATTRS = 64 << 20;
/** The largest user or group; the one above means none. */
const MAX_ID = 0xffff_fffe;

/** Extended records that change nothing that is read here, or what `readTar` applies. */
const HARMLESS_KEY =
  /^(?:path|linkpath|size|mtime|atime|ctime|uid|gid|uname|gname|comment|LIBARCHIVE\.creationtime|SCHILY\.(?:dev|ino|nlink)|SCHILY\.xattr\..+)$/;
const NUMBER_KEYS = ['size', 'uid', 'gid'];

type Code =
  | 'truncated'
  | 'bad-magic'
  | 'bad-value'
  | 'bad-checksum'
  | 'unsupported'
  | 'duplicate'
  | 'too-large'
  | 'trailing-data';

/** What there is to know of an entry beside what tar-stream reads. */
export interface EntryFacts {
  /** Of its data in the archive, in bytes. */
  readonly offset: number;
  /** Of a file, its holes included, in bytes. */
  readonly size: number;
  /** What of a sparse file is stored, and where; absent where all is. */
  readonly pieces?: readonly Piece[];
  readonly uid: number;
  readonly gid: number;
  /** Whole seconds since 1970; what was before that is 0. */
  readonly mtime: number;
  readonly xattrs: ReadonlyMap<string, Uint8Array>;
}

const NO_XATTRS: ReadonlyMap<string, Uint8Array> = new Map();

/** What extended headers have said about the next entry. */
interface Pending {
  path?: string;
  linkpath?: string;
  size?: number;
  uid?: number;
  gid?: number;
  mtime?: number;
  xattrs?: Map<string, Uint8Array>;
  hasPax?: boolean;
}

class Gate {
  readonly #name: string;
  /** Of the next byte to look at. */
  #offset = 0;
  /** Data and padding still to pass, in bytes. */
  #data = 0;
  #extension: { type: string; size: number; chunks: Uint8Array[] } | undefined;
  #pending: Pending = {};
  #sparse: { map: SparseMap; stored: number; header: Uint8Array } | undefined;
  #zeroBlocks = 0;
  #xattrBytes = 0;
  /** Of all entries up to now, in order. */
  readonly facts: EntryFacts[];

  constructor(name: string, facts: EntryFacts[]) {
    this.#name = name;
    this.facts = facts;
  }

  /** Looks at as many bytes as make sense without more; says how many, and what to pass on of them. */
  look(data: Uint8Array): { looked: number; passed: Uint8Array[] } {
    const passed: Uint8Array[] = [];
    let at = 0;
    let from = 0;
    /** Passes on what stands before the next `length` bytes, and `instead` of them. */
    const replace = (length: number, instead?: Uint8Array): void => {
      if (at > from) passed.push(data.subarray(from, at));
      if (instead !== undefined) passed.push(instead);
      from = at + length;
    };
    while (at < data.length) {
      if (this.#data > 0 && this.#sparse === undefined) {
        const length = Math.min(this.#data, data.length - at);
        this.#extension?.chunks.push(data.slice(at, at + length));
        this.#advance(length);
        at += length;
        this.#data -= length;
        if (this.#data === 0 && this.#extension !== undefined) this.#endExtension();
        continue;
      }
      if (data.length - at < BLOCK) break;
      const block = data.subarray(at, at + BLOCK);
      if (this.#sparse === undefined) {
        this.#header(block);
        // The header of a sparse file waits for the rest of its map: then its facts are whole.
        if (this.#sparse !== undefined) replace(BLOCK);
      } else {
        replace(BLOCK);
        this.#sparse.map.extend(block);
      }
      this.#advance(BLOCK);
      at += BLOCK;
      if (this.#sparse?.map.isWhole === true) replace(0, this.#endSparse());
    }
    if (at > from) passed.push(data.subarray(from, at));
    return { looked: at, passed };
  }

  /** What is left when the archive has ended. */
  end(rest: number): void {
    if (rest > 0 || this.#data > 0 || this.#sparse !== undefined)
      this.#refuse('truncated', 'it is cut off');
    // Two zero blocks end an archive; some writers leave it at one, which is no less an end.
    if (this.#zeroBlocks < 1) this.#refuse('truncated', 'its end is missing');
  }

  #advance(length: number): void {
    this.#offset += length;
  }

  #refuse(code: Code, why: string): never {
    throw new FormatError('tar', code, `Cannot read ${this.#name}: ${why}`, {
      offset: this.#offset,
    });
  }

  #header(block: Uint8Array): void {
    if (block.every((byte) => byte === 0)) {
      if (Object.keys(this.#pending).length > 0) {
        this.#refuse('truncated', 'an extended header has no entry');
      }
      this.#zeroBlocks++;
      return;
    }
    if (this.#zeroBlocks > 0) this.#refuse('trailing-data', 'bytes follow its end');
    const raw = posixHeader.decode(block);
    const name = decodeUtf8(textOf(raw.name));
    const label = JSON.stringify(this.#pending.path ?? name ?? '(not UTF-8)').slice(0, 200);
    if (decodeNumber(raw.chksum) !== headerChecksum(block))
      this.#refuse('bad-checksum', 'a header has another checksum');
    const magic = Buffer.from(raw.magic_version).toString('latin1');
    // Version 7 archives have no magic: the same fields, but no prefix.
    if (magic !== 'ustar\x0000' && magic !== 'ustar  \0' && magic !== '\0'.repeat(8)) {
      this.#refuse('bad-magic', `entry ${label} is neither of POSIX nor of GNU tar`);
    }
    const texts = [raw.name, raw.linkname, raw.uname, raw.gname, raw.prefix];
    const isPosix = magic === 'ustar\x0000';
    for (const field of isPosix ? texts : texts.slice(0, 4)) {
      if (decodeUtf8(textOf(field)) === undefined)
        this.#refuse('bad-value', `entry ${label} is not UTF-8`);
    }
    const numbers = [raw.mode, raw.uid, raw.gid, raw.devmajor, raw.devminor].map(decodeNumber);
    const mtime = decodeTime(raw.mtime);
    const [, uid = 0, gid = 0] = numbers;
    if (numbers.includes(undefined) || mtime === undefined) {
      this.#refuse('bad-value', `entry ${label} has no valid number`);
    }
    const size = decodeNumber(raw.size);
    if (size === undefined) {
      this.#refuse('bad-value', `entry ${label} has no valid size`);
      return;
    }
    const type = raw.typeflag[0] === 0 ? '0' : String.fromCharCode(raw.typeflag[0] ?? 0);
    if ('xgLK'.includes(type)) {
      this.#beginExtension(type, size, label);
      return;
    }
    this.#entry(type, size, name ?? '', label, { uid, gid, mtime: mtime ?? 0 });
    if (type !== 'S') return;
    const map = new SparseMap(block, this.#name, label);
    this.#sparse = { map, stored: size, header: asPlainHeader(block) };
  }

  /** The map of a sparse file has been read: its data follows. Returns the header to pass on. */
  #endSparse(): Uint8Array {
    const { map, stored, header } = this.#sparse ?? this.#refuse('bad-value', 'no sparse file');
    this.#sparse = undefined;
    const last = this.facts.at(-1);
    const { size, pieces } = map.place(this.#offset, stored);
    if (last !== undefined) {
      this.facts[this.facts.length - 1] = { ...last, offset: this.#offset, size, pieces };
    }
    return header;
  }

  #entry(
    type: string,
    headerSize: number,
    name: string,
    label: string,
    header: Pick<EntryFacts, 'uid' | 'gid' | 'mtime'>,
  ): void {
    if (!ENTRY_TYPES.includes(type)) {
      this.#refuse('unsupported', `entry ${label} is of type ${JSON.stringify(type)}`);
    }
    const { size: paxSize, path, xattrs } = this.#pending;
    // A header may leave the size to the extended header, but not say another one.
    if (paxSize !== undefined && headerSize !== 0 && headerSize !== paxSize) {
      this.#refuse('bad-value', `entry ${label} has sizes ${headerSize} and ${paxSize}`);
    }
    if (type === 'S' && paxSize !== undefined) {
      this.#refuse('unsupported', `sparse entry ${label} has its size in an extended header`);
    }
    const size = paxSize ?? headerSize;
    // Old archives mark directories by a final slash alone; tar-stream sees one there, too.
    const isFile = '0S'.includes(type) && !(path ?? name).endsWith('/');
    if (!isFile && size !== 0) this.#refuse('bad-value', `entry ${label} has data but is no file`);
    const { uid = header.uid, gid = header.gid, mtime = header.mtime } = this.#pending;
    if (uid > MAX_ID || gid > MAX_ID) {
      this.#refuse('bad-value', `entry ${label} belongs to ${uid}:${gid}, more than 32 bits`);
    }
    for (const [key, value] of xattrs ?? []) this.#countXattr(key, value, label);
    this.facts.push({
      offset: this.#offset + BLOCK,
      size,
      uid,
      gid,
      mtime,
      xattrs: xattrs ?? NO_XATTRS,
    });
    this.#pending = {};
    this.#data = Math.ceil(size / BLOCK) * BLOCK;
  }

  #countXattr(key: string, value: Uint8Array, label: string): void {
    this.#xattrBytes += key.length + value.length;
    if (value.length > MAX_XATTR || Buffer.byteLength(key) > 255 || !/^[a-z]+\../.test(key)) {
      this.#refuse('bad-value', `entry ${label} has an attribute that no file can have`);
    }
    if (this.#xattrBytes > MAX_XATTRS) {
      this.#refuse('too-large', `its extended attributes have more than ${MAX_XATTRS} bytes`);
    }
  }

  #beginExtension(type: string, size: number, label: string): void {
    if (size === 0 && type !== 'g') this.#refuse('bad-value', `the header of ${label} is empty`);
    if (size > MAX_EXTENSION) {
      this.#refuse('too-large', `the header of ${label} has ${size} bytes`);
    }
    if (type === 'x' && this.#pending.hasPax === true) {
      this.#refuse('duplicate', `entry ${label} has two extended headers`);
    }
    this.#data = Math.ceil(size / BLOCK) * BLOCK;
    if (size > 0) this.#extension = { type, size, chunks: [] };
  }

  #endExtension(): void {
    if (this.#extension === undefined) return;
    const { type, size, chunks } = this.#extension;
    this.#extension = undefined;
    const data = new Uint8Array(Buffer.concat(chunks)).subarray(0, size);
    if (type === 'L' || type === 'K') {
      const name = decodeUtf8(textOf(data));
      if (name === undefined || name === '') {
        return this.#refuse('bad-value', 'a GNU long name is empty or not UTF-8');
      }
      this.#set(type === 'L' ? 'path' : 'linkpath', name);
      return undefined;
    }
    for (const [key, value] of this.#records(data)) this.#record(type, key, value);
    if (type === 'x') this.#pending.hasPax = true;
    return undefined;
  }

  #set(key: 'path' | 'linkpath', value: string): void {
    if (this.#pending[key] !== undefined) {
      this.#refuse('duplicate', `entry ${JSON.stringify(value)} has two sources for its ${key}`);
    }
    this.#pending[key] = value;
  }

  #record(type: string, key: string, bytes: Uint8Array): void {
    const xattr = /^SCHILY\.xattr\.(.+)$/s.exec(key)?.[1];
    if (xattr !== undefined && type === 'x') {
      (this.#pending.xattrs ??= new Map()).set(xattr, bytes);
      return;
    }
    const value = decodeUtf8(bytes);
    if (value === undefined) {
      return this.#refuse('bad-value', `extended record ${JSON.stringify(key)} is not UTF-8`);
    }
    if (!HARMLESS_KEY.test(key)) {
      this.#refuse('unsupported', `extended record ${JSON.stringify(key)} is not supported`);
    }
    if (type === 'g') {
      if (key !== 'comment' && key !== 'mtime') {
        this.#refuse('unsupported', `a global header sets ${JSON.stringify(key)} for every entry`);
      }
      return;
    }
    if (NUMBER_KEYS.includes(key) && !/^(?:0|[1-9]\d{0,14})$/.test(value)) {
      this.#refuse('bad-value', `extended record ${key} is ${JSON.stringify(value.slice(0, 40))}`);
    }
    if (key === 'size' || key === 'uid' || key === 'gid') this.#pending[key] = Number(value);
    if (key === 'mtime') {
      if (!/^-?\d{1,15}(?:\.\d*)?$/.test(value)) {
        this.#refuse('bad-value', `extended record mtime is ${JSON.stringify(value.slice(0, 40))}`);
      }
      this.#pending.mtime = Math.max(0, Math.floor(Number(value)));
    }
    if (key === 'path' || key === 'linkpath') {
      if (value === '' || value.includes('\0'))
        this.#refuse('bad-value', `a ${key} is empty or holds a NUL`);
      this.#set(key, value);
    }
  }

  /** `length key=value\n`, the length counting all of it. */
  #records(data: Uint8Array): Map<string, Uint8Array> {
    const records = new Map<string, Uint8Array>();
    for (let at = 0; at < data.length;) {
      const digits = /^([1-9]\d{0,6}) /.exec(
        Buffer.from(data.subarray(at, at + 8)).toString('latin1'),
      )?.[1];
      const length = Number(digits ?? 0);
      const end = at + length;
      if (digits === undefined || end > data.length || data[end - 1] !== 0x0a) {
        return this.#refuse('bad-value', 'an extended record does not add up');
      }
      const text = data.subarray(at + digits.length + 1, end - 1);
      const equals = text.indexOf(0x3d);
      const key = equals < 1 ? undefined : decodeUtf8(text.subarray(0, equals));
      if (key === undefined) {
        return this.#refuse('bad-value', 'an extended record is not "key=value" in UTF-8');
      }
      if (records.has(key)) this.#refuse('duplicate', `extended record "${key}" comes twice`);
      records.set(key, text.slice(equals + 1));
      at = end;
    }
    return records;
  }
}

/**
 * Passes an archive on, as far as it has been checked.
 *
 * @param name Of the archive, for errors.
 * @param facts Gets those of each entry, before the entry's header is passed on.
 * @throws {FormatError} at the first thing that is not as it should be.
 */
export async function* strictTar(
  input: AsyncIterable<Uint8Array>,
  name: string,
  facts: EntryFacts[] = [],
): AsyncGenerator<Uint8Array> {
  const gate = new Gate(name, facts);
  let rest: Uint8Array = new Uint8Array(0);
  for await (const chunk of input) {
    const data = rest.length === 0 ? chunk : new Uint8Array(Buffer.concat([rest, chunk]));
    const { looked, passed } = gate.look(data);
    yield* passed;
    rest = data.slice(looked);
  }
  gate.end(rest.length);
}

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
import { asPlainHeader, oldGnuMap, paxMap, type SparseMap } from './gnu-sparse.ts';
import { headerChecksum, posixHeader, TAR_BLOCK as BLOCK } from './layout.ts';
import { applyRecord, decodeRecords, setName, type Pending, type Refuse } from './pax.ts';
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

/** What there is to know of an entry beside what tar-stream reads. */
export interface EntryFacts {
  /** Of its data in the archive, in bytes. */
  readonly offset: number;
  /** Where it is not what tar-stream says. */
  readonly path?: string;
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

/** Of a name in messages, in characters. */
const MAX_SHOWN = 200;
const PACKERS = 'Pack it with gzip, xz or zstd, or not at all';

/** A name as messages have it: one line, quoted, of bounded length. */
const shownName = (name: string): string =>
  JSON.stringify(name.length > MAX_SHOWN ? `${name.slice(0, MAX_SHOWN)}...` : name);

/** Bytes that are not UTF-8: what is not ASCII stands as `\xe9`. */
const escapedText = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) =>
    byte < 0x80 ? String.fromCharCode(byte) : `\\x${byte.toString(16)}`,
  ).join('');

const NO_XATTRS: ReadonlyMap<string, Uint8Array> = new Map();

class Gate {
  readonly #name: string;
  /** Of the next byte to look at. */
  #offset = 0;
  /** Data and padding still to pass, in bytes. */
  #data = 0;
  #extension: { type: string; size: number; chunks: Uint8Array[] } | undefined;
  #pending: Pending = {};
  /** A sparse file whose map is being read: `before` is where its map began, if that is part of its data. */
  #sparse: { map: SparseMap; stored: number; header: Uint8Array; before?: number } | undefined;
  #zeroBlocks = 0;
  #xattrBytes = 0;
  /** The entry that messages name: quoted, and as it is. */
  #entryName: string | undefined;
  #field: string | undefined;
  /** Whether that entry has been read to its end. */
  #isBetween = false;
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
        this.#extendSparse(block);
      }
      this.#advance(BLOCK);
      at += BLOCK;
      if (this.#sparse?.map.isWhole() === true) replace(0, this.#endSparse());
    }
    if (at > from) passed.push(data.subarray(from, at));
    return { looked: at, passed };
  }

  /** What went wrong before bytes came here happened in the entry that is being read. */
  located(error: unknown): unknown {
    if (!(error instanceof FormatError) || this.#entryName === undefined) return error;
    const { format, code, message, hint } = error;
    const where = `${this.#isBetween ? 'after' : 'in'} entry ${this.#entryName}`;
    return new FormatError(format, code, `${message} (${where})`, {
      cause: error,
      ...(this.#field !== undefined && { field: this.#field }),
      ...(hint !== undefined && { hint }),
    });
  }

  /** What is left when the archive has ended. */
  end(rest: number): void {
    // What is no archive at all is shorter than one.
    if (this.#offset === 0 && rest > 0) this.#refuse('truncated', 'it is no tar archive', PACKERS);
    if (rest > 0 && this.#data === 0) this.#isBetween = true;
    if (rest > 0 || this.#data > 0 || this.#sparse !== undefined)
      this.#refuse('truncated', 'it is cut off');
    this.#isBetween = true;
    // Two zero blocks end an archive; some writers leave it at one, which is no less an end.
    if (this.#zeroBlocks < 1) this.#refuse('truncated', 'its end is missing');
  }

  #advance(length: number): void {
    this.#offset += length;
  }

  /** Names the entry, unless the reason does: the one that is being read, else the one before. */
  readonly #refuse: Refuse = (code, why, hint) => {
    const entry = this.#entryName;
    const where =
      entry === undefined || why.includes(entry)
        ? ''
        : `${this.#isBetween ? 'after entry' : 'entry'} ${entry}: `;
    throw new FormatError('tar', code, `Cannot read ${this.#name}: ${where}${why}`, {
      offset: this.#offset,
      ...(this.#field !== undefined && { field: this.#field }),
      ...(hint !== undefined && { hint }),
    });
  };

  /** What messages call an entry whose header has been seen. */
  #setEntry(name: Uint8Array | string): string {
    const text = typeof name === 'string' ? name : (decodeUtf8(name) ?? escapedText(name));
    this.#field = text.slice(0, MAX_SHOWN);
    this.#entryName = shownName(text);
    this.#isBetween = false;
    return this.#entryName;
  }

  #header(block: Uint8Array): void {
    if (block.every((byte) => byte === 0)) {
      if (Object.keys(this.#pending).length > 0) {
        this.#refuse('truncated', 'an extended header has no entry');
      }
      this.#isBetween = true;
      this.#zeroBlocks++;
      return;
    }
    if (this.#zeroBlocks > 0) this.#refuse('trailing-data', 'bytes follow its end');
    const raw = posixHeader.decode(block);
    const name = decodeUtf8(textOf(raw.name));
    const magic = Buffer.from(raw.magic_version).toString('latin1');
    const isSound = decodeNumber(raw.chksum) === headerChecksum(block);
    if (!isSound && this.#offset === 0 && !magic.startsWith('ustar')) {
      this.#refuse('bad-magic', 'it is no tar archive', PACKERS);
    }
    const prefix = magic === 'ustar\x0000' ? textOf(raw.prefix) : raw.prefix.subarray(0, 0);
    const slash = prefix.length > 0 ? '/' : '';
    const label = this.#setEntry(
      this.#pending.path ?? Buffer.concat([prefix, Buffer.from(slash), textOf(raw.name)]),
    );
    if (!isSound) this.#refuse('bad-checksum', `the header of ${label} has another checksum`);
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
    const sparse = this.#sparseSize(type, label);
    this.#entry(type, size, name ?? '', label, { uid, gid, mtime: mtime ?? 0 });
    if (type === 'S') {
      const map = oldGnuMap(block, { archive: this.#name, entry: label });
      this.#sparse = { map, stored: size, header: block.slice() };
    } else if (sparse !== undefined) {
      const map = paxMap({ archive: this.#name, entry: label, size: sparse });
      this.#sparse = { map, stored: size, header: block.slice(), before: this.#offset + BLOCK };
    }
  }

  #extendSparse(block: Uint8Array): void {
    const { map, before } = this.#sparse ?? this.#refuse('bad-value', 'no sparse file');
    map.extend(block);
    if (before === undefined) return;
    // The map is a part of the data.
    if (this.#data < BLOCK) this.#refuse('bad-value', 'a sparse entry has no room for its map');
    this.#data -= BLOCK;
  }

  /** The map of a sparse file has been read: its data follows. Returns the header to pass on. */
  #endSparse(): Uint8Array {
    const { map, stored, header, before } =
      this.#sparse ?? this.#refuse('bad-value', 'no sparse file');
    this.#sparse = undefined;
    const last = this.facts.at(-1);
    const left = stored - (before === undefined ? 0 : this.#offset - before);
    const { size, pieces } = map.place(this.#offset, left);
    if (last !== undefined) {
      this.facts[this.facts.length - 1] = { ...last, offset: this.#offset, size, pieces };
    }
    return asPlainHeader(header, left);
  }

  /** Of a sparse file in the extended format: its size, holes included. */
  #sparseSize(type: string, label: string): number | undefined {
    const { sparse } = this.#pending;
    if (sparse === undefined) return undefined;
    const { 'GNU.sparse.major': major, 'GNU.sparse.minor': minor } = sparse;
    const size = sparse['GNU.sparse.realsize'] ?? '';
    const isKnown = major === '1' && minor === '0' && /^(?:0|[1-9]\d{0,14})$/.test(size);
    if (!isKnown || type !== '0' || this.#pending.size !== undefined) {
      this.#refuse('unsupported', `sparse entry ${label} is not of version 1.0`);
    }
    return Number(size);
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
    const { uid = header.uid, gid = header.gid, mtime = header.mtime, sparseName } = this.#pending;
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
      ...(sparseName !== undefined && { path: sparseName }),
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
      setName(this.#pending, type === 'L' ? 'path' : 'linkpath', name, this.#refuse);
      return undefined;
    }
    for (const [key, value] of decodeRecords(data, this.#refuse)) {
      applyRecord(this.#pending, type, key, value, this.#refuse);
    }
    if (type === 'x') this.#pending.hasPax = true;
    return undefined;
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
  for await (const chunk of located(input, gate)) {
    const data = rest.length === 0 ? chunk : new Uint8Array(Buffer.concat([rest, chunk]));
    const { looked, passed } = gate.look(data);
    yield* passed;
    rest = data.slice(looked);
  }
  gate.end(rest.length);
}

async function* located(input: AsyncIterable<Uint8Array>, gate: Gate): AsyncGenerator<Uint8Array> {
  try {
    yield* input;
  } catch (error) {
    throw gate.located(error);
  }
}

/**
 * A gate in front of tar-stream: passes an archive on only as far as every header, extended header
 * and terminator is what POSIX and GNU tar say. tar-stream itself is lenient, and a second reader that is
 * lenient in another way would see other files.
 *
 * Refused: wrong checksums, numbers that are not octal, negative or beyond 2^53, names that are not
 * UTF-8, types other than files, links, directories, devices and pipes, sparse files, extended records that do
 * not add up or come twice, two sources for one name or size, data on what has none, archives without end,
 * bytes behind the end.
 *
 * @see POSIX.1-2017, pax, "ustar Interchange Format" and "pax Header Block"
 */

import { FormatError } from '../../core/errors.ts';
import { headerChecksum, posixHeader, TAR_BLOCK as BLOCK } from './layout.ts';

/** Of one extended header or GNU long name, in bytes: tar-stream holds it in memory. */
const MAX_EXTENSION = 1 << 20;

const ENTRY_TYPES = '0123456';
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

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

function decodeUtf8(data: Uint8Array): string | undefined {
  try {
    return utf8.decode(data);
  } catch {
    return undefined;
  }
}

/** Text up to its NUL. */
function textOf(field: Uint8Array): Uint8Array {
  const end = field.indexOf(0);
  return end === -1 ? field : field.subarray(0, end);
}

/** A number field: octal text, or GNU's base-256 for what octal cannot hold. */
function decodeNumber(field: Uint8Array): number | undefined {
  const first = field[0] ?? 0;
  if (first === 0x80) {
    const value = BigInt(`0x${Buffer.from(field.subarray(1)).toString('hex')}`);
    return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : undefined;
  }
  const match = /^ *([0-7]*)[ \0]*$/.exec(Buffer.from(field).toString('latin1'));
  if (match === null) return undefined;
  return match[1] === '' ? 0 : Number.parseInt(match[1] ?? '', 8);
}

/** What extended headers have said about the next entry. */
interface Pending {
  path?: string;
  linkpath?: string;
  size?: number;
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
  #zeroBlocks = 0;

  constructor(name: string) {
    this.#name = name;
  }

  /** Looks at as many bytes as make sense without more; returns how many. */
  look(data: Uint8Array): number {
    let at = 0;
    while (at < data.length) {
      if (this.#data > 0) {
        const length = Math.min(this.#data, data.length - at);
        this.#extension?.chunks.push(data.slice(at, at + length));
        this.#advance(length);
        at += length;
        this.#data -= length;
        if (this.#data === 0 && this.#extension !== undefined) this.#endExtension();
      } else if (data.length - at < BLOCK) {
        return at;
      } else {
        this.#header(data.subarray(at, at + BLOCK));
        this.#advance(BLOCK);
        at += BLOCK;
      }
    }
    return at;
  }

  /** What is left when the archive has ended. */
  end(rest: number): void {
    if (rest > 0 || this.#data > 0) this.#refuse('truncated', 'it is cut off');
    if (this.#zeroBlocks < 2) this.#refuse('truncated', 'its end is missing');
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
    for (const field of [raw.mode, raw.uid, raw.gid, raw.mtime, raw.devmajor, raw.devminor]) {
      if (decodeNumber(field) === undefined)
        this.#refuse('bad-value', `entry ${label} has no valid number`);
    }
    const size = decodeNumber(raw.size);
    if (size === undefined) return this.#refuse('bad-value', `entry ${label} has no valid size`);
    const type = raw.typeflag[0] === 0 ? '0' : String.fromCharCode(raw.typeflag[0] ?? 0);
    if ('xgLK'.includes(type)) this.#beginExtension(type, size, label);
    else this.#entry(type, size, name ?? '', label);
  }

  #entry(type: string, headerSize: number, name: string, label: string): void {
    if (!ENTRY_TYPES.includes(type)) {
      this.#refuse('unsupported', `entry ${label} is of type ${JSON.stringify(type)}`);
    }
    const { size: paxSize, path } = this.#pending;
    // A header may leave the size to the extended header, but not say another one.
    if (paxSize !== undefined && headerSize !== 0 && headerSize !== paxSize) {
      this.#refuse('bad-value', `entry ${label} has sizes ${headerSize} and ${paxSize}`);
    }
    const size = paxSize ?? headerSize;
    // Old archives mark directories by a final slash alone; tar-stream sees one there, too.
    const isFile = type === '0' && !(path ?? name).endsWith('/');
    if (!isFile && size !== 0) this.#refuse('bad-value', `entry ${label} has data but is no file`);
    this.#pending = {};
    this.#data = Math.ceil(size / BLOCK) * BLOCK;
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

  #record(type: string, key: string, value: string): void {
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
    if (key === 'size') this.#pending.size = Number(value);
    if (key === 'path' || key === 'linkpath') {
      if (value === '' || value.includes('\0'))
        this.#refuse('bad-value', `a ${key} is empty or holds a NUL`);
      this.#set(key, value);
    }
  }

  /** `length key=value\n`, the length counting all of it. */
  #records(data: Uint8Array): Map<string, string> {
    const records = new Map<string, string>();
    for (let at = 0; at < data.length;) {
      const digits = /^([1-9]\d{0,6}) /.exec(
        Buffer.from(data.subarray(at, at + 8)).toString('latin1'),
      )?.[1];
      const length = Number(digits ?? 0);
      const end = at + length;
      if (digits === undefined || end > data.length || data[end - 1] !== 0x0a) {
        return this.#refuse('bad-value', 'an extended record does not add up');
      }
      const text = decodeUtf8(data.subarray(at + digits.length + 1, end - 1));
      const equals = text?.indexOf('=') ?? -1;
      if (text === undefined || equals < 1) {
        return this.#refuse('bad-value', 'an extended record is not "key=value" in UTF-8');
      }
      const key = text.slice(0, equals);
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
 * @throws {FormatError} at the first thing that is not as it should be.
 */
export async function* strictTar(
  input: AsyncIterable<Uint8Array>,
  name: string,
): AsyncGenerator<Uint8Array> {
  const gate = new Gate(name);
  let rest: Uint8Array = new Uint8Array(0);
  for await (const chunk of input) {
    const data = rest.length === 0 ? chunk : new Uint8Array(Buffer.concat([rest, chunk]));
    const looked = gate.look(data);
    if (looked > 0) yield data.subarray(0, looked);
    rest = data.slice(looked);
  }
  gate.end(rest.length);
}

/**
 * The digests of files that have not changed since they were last read, told by their stat signatures, as git's index does.
 *
 * One file holds all: a table that is read whole, searched without being decoded, and written anew, atomically, when there
 * is something new. A file is remembered only when it was last changed well before it was read: a change that came later has
 * another time, and so another signature. What is lost or damaged costs time, nothing else.
 */

import { createHash } from 'node:crypto';
import { toHex } from '../core/digest.ts';
import { readRegular } from '../io/read-regular.ts';
import { writeOwnFile } from './own-file.ts';
import {
  checkSignature,
  DIGEST_BYTES,
  isSettled,
  plainFileReader,
  SIGNATURE_WORDS,
  sizeOfSignature,
  type FileReader,
} from '../io/file-signatures.ts';

/** Digests of files in the order of their paths. */
export interface KnownDigests {
  /** SHA-256 of each: 32 bytes. */
  readonly digests: Uint8Array;
  /** In bytes. */
  readonly sizes: Float64Array;
  /** How many had to be read. */
  readonly read: number;
}

export interface StatDigests {
  /**
   * The digests of regular files. Symbolic links are followed.
   *
   * @throws the system's error of the first that cannot be read, or that changed while it was read (ESTALE).
   */
  digestsOf(paths: readonly string[]): Promise<KnownDigests>;
  /** The same of one file, in hexadecimal. */
  digestOf(path: string): Promise<{ readonly sha256: string; readonly size: number }>;
  /** Remembers a digest that is known of a file which nobody else writes to. */
  remember(path: string, digest: Uint8Array, signature: Uint32Array): void;
  /** The digest that is remembered of a file with this signature. */
  recall(path: string, signature: Uint32Array): Uint8Array | undefined;
  /** Writes what is new, if anything is. */
  save(): Promise<void>;
}

export interface StatDigestsOptions {
  readonly reader?: FileReader | undefined;
  /** What is remembered holds as long as this is the same, such as until the machine starts again. */
  readonly epoch?: string | undefined;
  /** How many files are remembered at most; those that were not asked for longest go first. */
  readonly bound?: number | undefined;
}

const MAGIC = 0x4453_424d; // MBSD
const VERSION = 1;
/** Magic, version, number of records, generation, and the first 16 bytes of the SHA-256 of all records. */
const HEADER_WORDS = 8;
/** Hash of the path (two words), then the signature, its errno replaced by the generation of its last use, then the digest. */
const RECORD_WORDS = 2 + SIGNATURE_WORDS + DIGEST_BYTES / 4;
const SIGNATURE = 2;
const DIGEST = SIGNATURE + SIGNATURE_WORDS;
const DEFAULT_BOUND = 1 << 18;

/** Opens, or begins, a table. @param file Its path; nothing is written before `save`. */
export async function openStatDigests(
  file: string,
  options: StatDigestsOptions = {},
): Promise<StatDigests> {
  const { reader = plainFileReader, epoch = '', bound = DEFAULT_BOUND } = options;
  const table = new Table(await load(file, epoch));
  const generation = table.generation + 1;
  let isNew = false;

  const remember = (path: string, digest: Uint8Array, words: Uint32Array): void => {
    table.put(path, words, digest, generation);
    isNew = true;
  };
  const recall = (path: string, words: Uint32Array): Uint8Array | undefined => {
    const found = table.find(path, words, 0);
    return found < 0 ? undefined : table.digest(found, generation);
  };

  const digestNow = async (paths: readonly string[]): Promise<KnownDigests> => {
    const signatures = await reader.signatures(paths, { follow: true });
    const digests = new Uint8Array(paths.length * DIGEST_BYTES);
    const sizes = new Float64Array(paths.length);
    const missing: number[] = [];
    for (let i = 0; i < paths.length; i += 1) {
      const at = i * SIGNATURE_WORDS;
      const found = table.find(paths[i] as string, signatures, at);
      if (found < 0) {
        missing.push(i);
      } else {
        digests.set(table.digest(found, generation), i * DIGEST_BYTES);
        sizes[i] = sizeOfSignature(signatures, at);
      }
    }
    if (missing.length > 0) {
      const moment = Date.now();
      const read = await reader.digests(missing.map((index) => paths[index] as string));
      for (const [which, index] of missing.entries()) {
        const path = paths[index] as string;
        checkSignature(read.signatures, which, path);
        const at = which * SIGNATURE_WORDS;
        const digest = read.digests.subarray(which * DIGEST_BYTES, (which + 1) * DIGEST_BYTES);
        digests.set(digest, index * DIGEST_BYTES);
        sizes[index] = sizeOfSignature(read.signatures, at);
        if (isSettled(read.signatures, at, moment)) {
          remember(path, digest, read.signatures.subarray(at, at + SIGNATURE_WORDS));
        }
      }
    }
    return { digests, sizes, read: missing.length };
  };

  // One after the other: who asks for what is being read finds it read.
  let turn: Promise<unknown> = Promise.resolve();
  const digestsOf = (paths: readonly string[]): Promise<KnownDigests> => {
    const mine = turn.then(() => digestNow(paths));
    turn = mine.catch(() => undefined);
    return mine;
  };

  return {
    digestsOf,
    remember,
    recall,
    async digestOf(path) {
      const { digests, sizes } = await digestsOf([path]);
      return { sha256: toHex(digests), size: sizes[0] ?? 0 };
    },
    async save() {
      if (!isNew) return;
      isNew = false;
      // Another process may have written since: what it found is kept.
      table.addMissing(await load(file, epoch));
      await writeOwnFile(file, encode(table.records(bound), generation, epoch));
    },
  };
}

/** A reader for digests alone, which reads what has changed only. It throws what the system says of a file. */
export function knowingReader(
  known: Pick<StatDigests, 'digestsOf'>,
  reader: FileReader,
): FileReader {
  return {
    signatures: (paths, options) => reader.signatures(paths, options),
    async digests(paths) {
      const { digests } = await known.digestsOf(paths);
      return { digests, signatures: new Uint32Array(paths.length * SIGNATURE_WORDS) };
    },
  };
}

interface Loaded {
  readonly words: Uint32Array;
  readonly generation: number;
}

const NOTHING: Loaded = { words: new Uint32Array(0), generation: 0 };

/** The records of a file; none when it is not there, damaged, of another version or epoch. */
async function load(file: string, epoch: string): Promise<Loaded> {
  const bytes = await readRegular(file);
  if (bytes === undefined || bytes.length < HEADER_WORDS * 4 || bytes.length % 4 !== 0) {
    return NOTHING;
  }
  // A copy where the buffer is part of a larger one that begins anywhere.
  const whole = bytes.byteOffset % 4 === 0 ? bytes : Buffer.from(new Uint8Array(bytes));
  const words = new Uint32Array(whole.buffer, whole.byteOffset, whole.length / 4);
  const [magic, version, count = 0, generation = 0] = words;
  const records = words.subarray(HEADER_WORDS);
  if (magic !== MAGIC || version !== VERSION || records.length !== count * RECORD_WORDS) {
    return NOTHING;
  }
  const sum = checksum(records, epoch);
  const isWhole = sum.every((word, index) => word === words[4 + index]);
  return isWhole ? { words: records, generation } : NOTHING;
}

function encode(records: Uint32Array, generation: number, epoch: string): Uint8Array {
  const words = new Uint32Array(HEADER_WORDS + records.length);
  words.set([MAGIC, VERSION, records.length / RECORD_WORDS, generation]);
  words.set(checksum(records, epoch), 4);
  words.set(records, HEADER_WORDS);
  return new Uint8Array(words.buffer);
}

function checksum(records: Uint32Array, epoch: string): Uint32Array {
  const hash = createHash('sha256').update(epoch).update('\0');
  const digest = hash.update(records).digest();
  return new Uint32Array(new Uint8Array(digest).buffer, 0, 4);
}

/** Records in a buffer that grows, and an open hash table of their places. */
class Table {
  readonly generation: number;
  #words: Uint32Array;
  #count: number;
  /** The number of a record and one; 0 where there is none. A power of two, at most half full. */
  #places: Uint32Array;
  /** The hash of the path last asked for. */
  #low = 0;
  #high = 0;

  constructor({ words, generation }: Loaded) {
    this.generation = generation;
    this.#words = words;
    this.#count = words.length / RECORD_WORDS;
    this.#places = new Uint32Array(0);
    this.#index(this.#count);
  }

  /** The record of the file if it is the same as when it was remembered, or -1. */
  find(path: string, signature: Uint32Array, at: number): number {
    this.#hash(path);
    const record = this.#locate(this.#low, this.#high);
    if (record < 0) return -1;
    const words = this.#words;
    const start = record * RECORD_WORDS + SIGNATURE;
    if (signature[at] !== 0) return -1;
    // The errno's place has something else.
    for (let i = 1; i < SIGNATURE_WORDS; i += 1) {
      if (words[start + i] !== signature[at + i]) return -1;
    }
    return record;
  }

  /** The digest of a record, which is in use from now on. */
  digest(record: number, generation: number): Uint8Array {
    const start = record * RECORD_WORDS;
    this.#words[start + SIGNATURE] = generation;
    const { buffer, byteOffset } = this.#words;
    return new Uint8Array(buffer, byteOffset + (start + DIGEST) * 4, DIGEST_BYTES);
  }

  put(path: string, signature: Uint32Array, digest: Uint8Array, generation: number): void {
    this.#hash(path);
    let record = this.#locate(this.#low, this.#high);
    if (record < 0) record = this.#append(this.#low, this.#high);
    const start = record * RECORD_WORDS;
    this.#words.set(signature.subarray(0, SIGNATURE_WORDS), start + SIGNATURE);
    this.digest(record, generation).set(digest);
  }

  /** Adds the records of files that this table knows nothing of. */
  addMissing({ words }: Loaded): void {
    for (let at = 0; at < words.length; at += RECORD_WORDS) {
      const low = words[at] ?? 0;
      const high = words[at + 1] ?? 0;
      if (this.#locate(low, high) >= 0) continue;
      const record = this.#append(low, high);
      this.#words.set(words.subarray(at, at + RECORD_WORDS), record * RECORD_WORDS);
    }
  }

  /** The records, the last used ones of them where there are more than the bound. */
  records(bound: number): Uint32Array {
    const all = this.#words.subarray(0, this.#count * RECORD_WORDS);
    if (this.#count <= bound) return all;
    const used = (record: number): number => all[record * RECORD_WORDS + SIGNATURE] ?? 0;
    const order = Array.from({ length: this.#count }, (_, record) => record);
    order.sort((a, b) => used(b) - used(a));
    const kept = new Uint32Array(bound * RECORD_WORDS);
    for (const [index, record] of order.slice(0, bound).entries()) {
      const start = record * RECORD_WORDS;
      kept.set(all.subarray(start, start + RECORD_WORDS), index * RECORD_WORDS);
    }
    return kept;
  }

  #append(low: number, high: number): number {
    const record = this.#count;
    const end = (record + 1) * RECORD_WORDS;
    if (end > this.#words.length) {
      const larger = new Uint32Array(Math.max(end, this.#words.length * 2, 64 * RECORD_WORDS));
      larger.set(this.#words.subarray(0, record * RECORD_WORDS));
      this.#words = larger;
    }
    this.#words[record * RECORD_WORDS] = low;
    this.#words[record * RECORD_WORDS + 1] = high;
    this.#count += 1;
    if (this.#count * 2 > this.#places.length) this.#index(this.#count * 2);
    else this.#places[this.#free(low, high)] = record + 1;
    return record;
  }

  #index(expected: number): void {
    let size = 64;
    while (size < expected * 2) size *= 2;
    this.#places = new Uint32Array(size);
    for (let record = 0; record < this.#count; record += 1) {
      const start = record * RECORD_WORDS;
      const place = this.#free(this.#words[start] ?? 0, this.#words[start + 1] ?? 0);
      this.#places[place] = record + 1;
    }
  }

  #locate(low: number, high: number): number {
    const place = this.#free(low, high);
    return (this.#places[place] ?? 0) - 1;
  }

  /** The place of the record with this hash, or the free one where it belongs. */
  #free(low: number, high: number): number {
    const mask = this.#places.length - 1;
    for (let place = low & mask; ; place = (place + 1) & mask) {
      const record = (this.#places[place] ?? 0) - 1;
      if (record < 0) return place;
      const start = record * RECORD_WORDS;
      if (this.#words[start] === low && this.#words[start + 1] === high) return place;
    }
  }

  /** Two hashes (FNV-1a with different primes), as 32 bits alone would meet too often. */
  #hash(path: string): void {
    let low = 0x811c_9dc5;
    let high = 0x9747_b28c;
    for (let i = 0; i < path.length; i += 1) {
      const unit = path.charCodeAt(i);
      low = Math.imul(low ^ unit, 0x0100_0193);
      high = Math.imul(high ^ unit, 0x85eb_ca6b);
    }
    this.#low = (low ^ (low >>> 15)) >>> 0;
    this.#high = (high ^ (high >>> 13)) >>> 0;
  }
}

/**
 * What is measured on: files and trees that are the same on every machine. All of them come out of AES in counter
 * mode under a fixed key, which makes more than a gigabyte a second.
 */

import { createCipheriv, createHash } from 'node:crypto';
import {
  closeSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';

const CHUNK = 1 << 20;
/** Raised when the bytes change, so that kept inputs are made anew. */
const VERSION = 2;

/** Random bytes, the same for the same name. */
export function generator(name: string): (size: number) => Buffer {
  const seed = createHash('sha256').update(`microbuild bench ${VERSION} ${name}`).digest();
  const cipher = createCipheriv('aes-128-ctr', seed.subarray(0, 16), seed.subarray(16));
  const zeros = Buffer.alloc(CHUNK);
  return (size) => cipher.update(size <= CHUNK ? zeros.subarray(0, size) : Buffer.alloc(size));
}

/** Makes a file at another name and renames it, so that what is there is whole. */
export function makeFile(path: string, fill: (fd: number) => void): string {
  if (existsSync(path)) return path;
  mkdirSync(dirname(path), { recursive: true });
  const fd = openSync(`${path}.new`, 'w');
  try {
    fill(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(`${path}.new`, path);
  return path;
}

/** A file that no shortcut helps with. */
export function randomFile(folder: string, size: number): string {
  return makeFile(join(folder, `random-${size}-v${VERSION}`), (fd) => {
    const next = generator('random');
    for (let at = 0; at < size; at += CHUNK) writeSync(fd, next(Math.min(CHUNK, size - at)));
  });
}

/** A file of which a tenth is data, in runs of 1 MiB, and the rest holes. */
export function sparseFile(folder: string, size: number): string {
  return makeFile(join(folder, `sparse-${size}-v${VERSION}`), (fd) => {
    const next = generator('sparse');
    for (let at = 0; at < size; at += 10 * CHUNK) writeSync(fd, next(CHUNK), 0, CHUNK, at);
    ftruncateSync(fd, size);
  });
}

/** A file of zeros that are really there. */
export function zeroFile(folder: string, size: number): string {
  return makeFile(join(folder, `zero-${size}-v${VERSION}`), (fd) => {
    const zeros = Buffer.alloc(CHUNK);
    for (let at = 0; at < size; at += CHUNK) writeSync(fd, zeros, 0, Math.min(CHUNK, size - at));
  });
}

/** Numbers in [0, 1), the same for the same name. */
function numbers(name: string): () => number {
  const next = generator(name);
  let words = new Uint32Array(0);
  let at = 0;
  return () => {
    if (at === words.length) {
      words = new Uint32Array(new Uint8Array(next(1 << 16)).buffer);
      at = 0;
    }
    return (words[at++] ?? 0) / 2 ** 32;
  };
}

const LETTERS = 'etaoinshrdlcumwfgypbvkxqz_';

/** How many phrases a text uses at a time, and how often it takes up another one. */
const [PHRASES_IN_USE, NEW_PHRASE] = [40, 0.12];

/**
 * Text that compresses as sources and documentation do: it says again what it said a few lines before, and now and
 * then something new.
 */
function textGenerator(name: string): (target: Uint8Array) => void {
  const random = numbers(`${name} text`);
  const index = (size: number, skew = 1): number => Math.floor(size * random() ** skew);
  const words = Array.from({ length: 8000 }, () =>
    Array.from({ length: 2 + index(9) }, () => LETTERS[index(LETTERS.length, 1.7)]).join(''),
  );
  const phrases = Array.from({ length: 12_000 }, () => {
    const end = random() < 0.3 ? ';\n' : random() < 0.2 ? '\n    ' : ' ';
    const length = 1 + index(6);
    return Buffer.from(Array.from({ length }, () => words[index(words.length, 2)]).join(' ') + end);
  });
  const inUse = phrases.slice(0, PHRASES_IN_USE);
  return (target) => {
    for (let at = 0; at < target.length;) {
      const place = index(PHRASES_IN_USE);
      if (random() < NEW_PHRASE) inUse[place] = phrases[index(phrases.length, 2)]!;
      const piece = inUse[place]!.subarray(0, target.length - at);
      target.set(piece, at);
      at += piece.length;
    }
  };
}

/** What programs repeat is near. */
const WINDOW = 12 << 10;

/**
 * Bytes that compress as programs do, to a bit more than half: what was there before, with other numbers in it. There is
 * nothing that does not compress at all, on which mkfs.erofs 1.5 takes a hundred times as long with lz4hc.
 */
function codeGenerator(name: string): (target: Uint8Array) => void {
  const random = numbers(`${name} code`);
  const noise = generator(`${name} code noise`)(CHUNK);
  const text = new Uint8Array(CHUNK);
  textGenerator(name)(text);
  return (target) => {
    const base = Math.floor(random() * (CHUNK - WINDOW));
    for (let at = 0; at < target.length;) {
      const [known, other] = [10 + Math.floor(random() * 32), 1 + Math.floor(random() * 9)];
      const from = base + Math.floor(random() ** 2 * (WINDOW - known));
      target.set(text.subarray(from, from + Math.min(known, target.length - at)), at);
      at += known;
      const place = Math.floor(random() * (CHUNK - other));
      if (at < target.length) {
        target.set(noise.subarray(place, place + Math.min(other, target.length - at)), at);
      }
      at += other;
    }
  };
}

/** Times that no clock decided. */
const TIME = new Date('2026-01-01T00:00:00Z');

function makeTree(path: string, fill: (root: string) => void): string {
  if (existsSync(path)) return path;
  const temporary = `${path}.new`;
  rmSync(temporary, { recursive: true, force: true });
  mkdirSync(temporary, { recursive: true });
  fill(temporary);
  renameSync(temporary, path);
  return path;
}

/**
 * A tree as /usr is one: mostly small files (sizes are log-normal with a median near 3 KiB), every 8th of them a
 * program, a symbolic link for every 12th.
 */
export function smallTree(folder: string, files: number, size: number): string {
  return makeTree(join(folder, `small-${files}-${size}-v${VERSION}`), (root) => {
    const random = numbers('small');
    const text = textGenerator('small');
    const code = codeGenerator('small');
    const weights = Array.from({ length: files }, () => {
      const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
      return Math.min(Math.exp(1.5 * normal), 150);
    });
    const scale = size / weights.reduce((sum, weight) => sum + weight, 0);
    for (const [index, weight] of weights.entries()) {
      const branch = Math.floor(index / 16);
      const place = join(root, `d${branch % 7}`, `sub${branch % 53}`, `package-${branch}`);
      mkdirSync(place, { recursive: true });
      const file = join(place, `file-${index}.${index % 8 === 7 ? 'so' : 'txt'}`);
      const length = Math.max(1, Math.round(weight * scale));
      const content = Buffer.alloc(length);
      if (index % 8 === 7) code(content);
      else text(content);
      writeFileSync(file, content, { mode: index % 20 === 0 ? 0o755 : 0o644 });
      utimesSync(file, TIME, TIME);
      if (index % 12 === 0) symlinkSync(`file-${index}.txt`, join(place, `link-${index}`));
    }
  });
}

/** Of a large file, in bytes. */
const PIECE = 128 << 10;

/** A few large files: libraries and data of programs. */
export function largeTree(folder: string, files: number, size: number): string {
  return makeTree(join(folder, `large-${files}-${size}-v${VERSION}`), (root) => {
    const random = numbers('large');
    const code = codeGenerator('large');
    const weights = Array.from({ length: files }, () => Math.exp(random() * 4));
    const scale = size / weights.reduce((sum, weight) => sum + weight, 0);
    // Made once, and taken in another order each time: as different as a compressor's window can see.
    const pool = new Uint8Array(16 * CHUNK);
    for (let at = 0; at < pool.length; at += PIECE) code(pool.subarray(at, at + PIECE));
    for (const [index, weight] of weights.entries()) {
      const place = join(root, `lib${index % 5}`);
      mkdirSync(place, { recursive: true });
      const file = join(place, `data-${index}.so`);
      const fd = openSync(file, 'w');
      const length = Math.round(weight * scale);
      for (let at = 0; at < length; at += PIECE) {
        const start = Math.floor(random() * (pool.length - PIECE));
        writeSync(fd, pool, start, Math.min(PIECE, length - at));
      }
      closeSync(fd);
      utimesSync(file, TIME, TIME);
    }
  });
}

/** Reads a file or all files of a tree, so that they are in the page cache. @returns their size in bytes. */
export function warm(path: string): number {
  const buffer = Buffer.allocUnsafe(4 * CHUNK);
  const readAll = (file: string): number => {
    const fd = openSync(file, 'r');
    let total = 0;
    for (let got = 1; got > 0; total += got) got = readSync(fd, buffer);
    closeSync(fd);
    return total;
  };
  let entries;
  try {
    entries = readdirSync(path, { recursive: true, withFileTypes: true });
  } catch {
    return readAll(path);
  }
  return entries
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + readAll(join(entry.parentPath, entry.name)), 0);
}

/** APKs to sign, which are the same on every machine, and a key that is made once. */

import { spawnSync } from 'node:child_process';
import { createPrivateKey } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync, writeSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { crc32 } from 'node:zlib';
import { generator, makeFile } from './inputs.ts';

const CHUNK = 1 << 20;
/** Raised when the bytes change, so that kept inputs are made anew. */
const VERSION = 1;

const LARGE_FILES = 8;
const PAGE = 4096;

interface Entry {
  readonly name: string;
  readonly size: number;
  /** Random bytes if left out. */
  readonly content?: Buffer;
}

/** Half of the large ones are libraries. */
function entriesOf(size: number, smallFiles: number): readonly Entry[] {
  const small = Array.from({ length: smallFiles }, (_, index) => ({
    name: `assets/data/${index % 40}/file-${index}.txt`,
    size: 1 + ((index * 7919) % 4000),
  }));
  const left = size - small.reduce((sum, entry) => sum + entry.size, 0);
  const large = Array.from({ length: LARGE_FILES }, (_, index) => ({
    name: index % 2 === 0 ? `lib/x86_64/lib${index}.so` : `assets/large-${index}.bin`,
    size: Math.floor(left / LARGE_FILES),
  }));
  return [...small, ...large];
}

/** 1981-01-01 01:01:02. */
const [TIME, DATE] = [0x0821, 0x0221];

function header(signature: number, fields: readonly (readonly [size: 2 | 4, value: number])[]) {
  const out = Buffer.alloc(4 + fields.reduce((sum, [size]) => sum + size, 0));
  out.writeUInt32LE(signature, 0);
  let at = 4;
  for (const [size, value] of fields) {
    if (size === 2) out.writeUInt16LE(value, at);
    else out.writeUInt32LE(value, at);
    at += size;
  }
  return out;
}

/** Extra data of zeros that makes what follows begin at a multiple of the alignment. */
const paddingTo = (alignment: number, at: number): Buffer =>
  Buffer.alloc((alignment - (at % alignment)) % alignment);

/** An unsigned APK of about `size` bytes: all of it stored, libraries on pages, the rest on multiples of 4. */
export function apkFile(
  folder: string,
  size: number,
  smallFiles: number,
  manifest: Uint8Array,
): string {
  return makeFile(join(folder, `apk-${size}-${smallFiles}-v${VERSION}.apk`), (fd) => {
    const next = generator(`apk ${size}`);
    const records: Buffer[] = [];
    let at = 0;
    const content = Buffer.from(manifest);
    const first: Entry = { name: 'AndroidManifest.xml', size: content.length, content };
    for (const entry of [first, ...entriesOf(size, smallFiles)]) {
      const name = Buffer.from(entry.name);
      const extra = paddingTo(entry.name.endsWith('.so') ? PAGE : 4, at + 30 + name.length);
      const start = at;
      at += 30 + name.length + extra.length;
      let crc = 0;
      for (let done = 0; done < entry.size; done += CHUNK) {
        const chunk = entry.content ?? next(Math.min(CHUNK, entry.size - done));
        crc = crc32(chunk, crc);
        writeSync(fd, chunk, 0, chunk.length, at + done);
      }
      at += entry.size;
      const common = [
        [2, 10],
        [2, 0],
        [2, 0],
        [2, TIME],
        [2, DATE],
        [4, crc],
        [4, entry.size],
        [4, entry.size],
        [2, name.length],
      ] as const;
      const local = header(0x04034b50, [...common, [2, extra.length]]);
      writeSync(fd, Buffer.concat([local, name, extra]), 0, undefined, start);
      const rest = [2, 2, 2, 2].map((field) => [field as 2, 0] as const);
      records.push(header(0x02014b50, [[2, 10], ...common, ...rest, [4, 0], [4, start]]), name);
    }
    const directory = Buffer.concat(records);
    const count = records.length / 2;
    const end = header(0x06054b50, [
      [2, 0],
      [2, 0],
      [2, count],
      [2, count],
      [4, directory.length],
      [4, at],
      [2, 0],
    ]);
    writeSync(fd, Buffer.concat([directory, end]), 0, undefined, at);
  });
}

export interface BenchKey {
  /** PEM, for us, and PKCS #8 DER, for apksigner. */
  readonly pem: string;
  readonly pk8: string;
  readonly certificate: string;
}

/** An RSA key of 2048 bits, made by us on first use. */
export function benchKey(root: string, folder: string): BenchKey {
  const at = (name: string): string => join(folder, `key-v${VERSION}`, name);
  const key = { pem: at('key.pem'), pk8: at('key.pk8'), certificate: at('key.crt') };
  if (existsSync(at('.'))) return key;
  const made = join(folder, `key-v${VERSION}.new`);
  mkdirSync(made, { recursive: true });
  const pem = join(made, 'key.pem');
  const { status, stderr } = spawnSync(
    process.execPath,
    [
      resolve(root, 'bin/microbuild.js'),
      'keys',
      'generate',
      pem,
      '--type=rsa2048',
      `--cert=${join(made, 'key.crt')}`,
      '--subject=microbuild bench',
    ],
    { encoding: 'utf8' },
  );
  if (status !== 0) throw new Error(`No key could be made: ${stderr}`);
  const der = createPrivateKey(readFileSync(pem)).export({ type: 'pkcs8', format: 'der' });
  writeFileSync(join(made, 'key.pk8'), der, { mode: 0o600 });
  renameSync(made, at('.'));
  return key;
}

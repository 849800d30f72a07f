/** What the Linux kernel shows of an EROFS image. */

import {
  createReadStream,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  rmSync,
  writeFileSync,
  type BigIntStats,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { planErofs } from '../../src/formats/erofs/plan.ts';
import { writeErofs } from '../../src/formats/erofs/writer.ts';
import {
  device,
  directory,
  regularFile,
  specialFile,
  symlink,
  type Directory,
  type Inode,
  type InodeAttributes,
} from '../../src/io/file-tree.ts';
import { MemorySink } from '../../src/io/image-sink.ts';
import { runTool } from '../support/tools.ts';

/** Whether images can be mounted here: by root, with loop devices, and a kernel that knows EROFS. */
export async function canMountErofs(): Promise<boolean> {
  if (process.getuid?.() !== 0) return false;
  const folder = mkdtempSync(join(tmpdir(), 'mb-mount-'));
  try {
    const image = join(folder, 'empty.erofs');
    const sink = new MemorySink();
    await writeErofs(planErofs(directory(), { buildTime: 0, uuid: new Uint8Array(16) }), sink);
    writeFileSync(image, sink.bytes());
    return await withMountedErofs(image, () => Promise.resolve(true));
  } catch {
    return false;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Runs `use` while the kernel has the image mounted. */
export async function withMountedErofs<T>(
  image: string,
  use: (path: string) => Promise<T>,
): Promise<T> {
  const at = `${image}.mounted`;
  mkdirSync(at, { recursive: true });
  const { status, stderr } = runTool('mount', ['-t', 'erofs', '-o', 'loop,ro', image, at]);
  if (status !== 0) throw new Error(`This kernel does not mount ${image}: ${stderr}`);
  try {
    return await use(at);
  } finally {
    runTool('umount', [at]);
  }
}

const deviceNumber = (rdev: bigint): [major: number, minor: number] => [
  Number(((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & ~0xfffn)),
  Number((rdev & 0xffn) | ((rdev >> 12n) & ~0xffn)),
];

/** The tree below a folder, with extended attributes as `getfattr` tells them. */
export function readMountedTree(root: string): Directory {
  const xattrs = readXattrs(root);
  const byNumber = new Map<bigint, Inode>();
  const make = (at: string, stat: BigIntStats): Inode => {
    const second =
      stat.mtimeNs >= 0n ? stat.mtimeNs / 10n ** 9n : (stat.mtimeNs - 999_999_999n) / 10n ** 9n;
    const attributes: InodeAttributes = {
      mode: Number(stat.mode & 0o7777n),
      uid: Number(stat.uid),
      gid: Number(stat.gid),
      mtime: Number(second),
      mtimeNsec: Number(stat.mtimeNs - second * 10n ** 9n),
    };
    if (stat.isFile()) {
      const stream = (): AsyncIterable<Uint8Array> => createReadStream(at);
      return regularFile({ size: Number(stat.size), stream }, attributes);
    }
    if (stat.isSymbolicLink()) return symlink(readlinkSync(at), attributes);
    if (stat.isCharacterDevice()) {
      return device('char-device', ...deviceNumber(stat.rdev), attributes);
    }
    if (stat.isBlockDevice()) return device('block-device', ...deviceNumber(stat.rdev), attributes);
    if (!stat.isDirectory()) return specialFile(stat.isFIFO() ? 'fifo' : 'socket', attributes);
    const result = directory(attributes);
    for (const name of readdirSync(at)) result.children.set(name, load(join(at, name)));
    return result;
  };
  const load = (at: string): Inode => {
    const stat = lstatSync(at, { bigint: true });
    const known = byNumber.get(stat.ino);
    if (known !== undefined) return known;
    const inode = make(at, stat);
    for (const [name, value] of xattrs.get(at) ?? []) inode.xattrs.set(name, value);
    byNumber.set(stat.ino, inode);
    return inode;
  };
  return load(root) as Directory;
}

/** Of all files below a folder, by path. */
function readXattrs(root: string): Map<string, [string, Uint8Array][]> {
  const options = ['-R', '-P', '-h', '-d', '-m', '-', '-e', 'hex', '--absolute-names'];
  const { status, stdout, stderr } = runTool('getfattr', [...options, root]);
  if (status !== 0) throw new Error(`getfattr: ${stderr}`);
  const found = new Map<string, [string, Uint8Array][]>();
  let current: [string, Uint8Array][] = [];
  for (const line of stdout.split('\n')) {
    if (line.startsWith('# file: ')) {
      current = [];
      found.set(unescape(line.slice(8)), current);
    } else if (line !== '') {
      const equals = line.indexOf('=');
      const [name, hex] =
        equals === -1 ? [line, ''] : [line.slice(0, equals), line.slice(equals + 1)];
      current.push([unescape(name), new Uint8Array(Buffer.from(hex.slice(2), 'hex'))]);
    }
  }
  return found;
}

/** `getfattr` writes some bytes as three octal digits. */
function unescape(text: string): string {
  const bytes = text
    .replaceAll(/[^\0-\x7f]/gu, (character) => Buffer.from(character).toString('latin1'))
    .replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));
  return Buffer.from(bytes, 'latin1').toString('utf8');
}

/** The machine: Node, the kernel, the folders that microbuild writes to. */

import { existsSync, readFileSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { endianness, release } from 'node:os';
import { join } from 'node:path';
import { randomUUID } from 'node:crypto';
import { defaultCacheDirectory } from '../../cache/store.ts';
import { makeFolder } from '../../io/make-folder.ts';
import type { Checker } from './check.ts';

/** The first that has ML-DSA keys. */
const RECOMMENDED_NODE = 24;

export const checkNode: Checker = () => {
  const { node } = process.versions;
  const old = Number(node.split('.')[0]) < RECOMMENDED_NODE;
  return Promise.resolve({
    name: 'Node',
    for: 'everything',
    status: 'ok', // bin/microbuild.js has refused what is too old
    found: old ? `${node}; keys of ML-DSA need ${RECOMMENDED_NODE}` : node,
  });
};

export const checkCache: Checker = async ({ env }) => {
  const folder = defaultCacheDirectory(env);
  const about = { name: 'cache folder', for: 'image, lock' };
  const probe = join(folder, `doctor-${randomUUID()}`);
  try {
    await makeFolder(folder, 0o700);
    await writeFile(probe, '');
    await rm(probe);
    return { ...about, status: 'ok', found: folder };
  } catch (error) {
    const { code = 'error' } = error as NodeJS.ErrnoException;
    return {
      ...about,
      status: 'missing',
      found: `${folder} cannot be written (${code})`,
      fix: 'Make it writable, or name another one: export MICROBUILD_CACHE=FOLDER',
    };
  }
};

/** `AT_PAGESZ` of the auxiliary vector: Node has no function for it. */
const AT_PAGESZ = 6n;

export const checkPageSize: Checker = () => {
  const about = { name: 'page size', for: 'mounting images on this machine' };
  const size = pageSize();
  if (size === undefined) {
    const fix = 'Nothing: images can be made and read on any system';
    return Promise.resolve({ ...about, status: 'limited', found: 'unknown (no Linux)', fix });
  }
  return Promise.resolve({
    ...about,
    status: 'ok',
    found: `${size} bytes: blocks of images and hash trees can be mounted up to that`,
  });
};

function pageSize(): number | undefined {
  let vector: Buffer;
  try {
    vector = readFileSync('/proc/self/auxv');
  } catch {
    return undefined;
  }
  const read = (at: number): bigint =>
    endianness() === 'LE' ? vector.readBigUInt64LE(at) : vector.readBigUInt64BE(at);
  for (let at = 0; at + 16 <= vector.length; at += 16) {
    if (read(at) === AT_PAGESZ) return Number(read(at + 8));
  }
  return undefined;
}

/** Where kernels with fs-verity show it: built-in signatures, ext4, f2fs. */
const FS_VERITY_SIGNS = [
  '/proc/sys/fs/verity',
  '/sys/fs/ext4/features/verity',
  '/sys/fs/f2fs/features/verity',
  '/sys/fs/btrfs/features/verity',
];

export const checkFsVerity: Checker = () => {
  const about = { name: 'fs-verity in the kernel', for: 'fsverity enable and measure' };
  const sign = FS_VERITY_SIGNS.find((path) => existsSync(path));
  return Promise.resolve(
    sign !== undefined
      ? { ...about, status: 'ok', found: sign }
      : {
          ...about,
          status: 'limited',
          found: `not in ${release()}`,
          fix: 'Boot a kernel with CONFIG_FS_VERITY=y; digests and signatures need none',
        },
  );
};

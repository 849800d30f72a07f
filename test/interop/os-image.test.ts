/**
 * The disk of a system: each partition as a program would cut it out, judged by veritysetup, and compared with
 * what `avb add_hashtree_footer` makes of the same image, which is what AOSP's avbtool makes of it.
 */

import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  writeOsImage,
  type OsImage,
  type OsImageOptions,
} from '../../src/builder/steps/os-image.ts';
import { toHex } from '../../src/core/digest.ts';
import type { Descriptor } from '../../src/formats/avb/descriptor.ts';
import { readVbmeta } from '../../src/formats/avb/footer.ts';
import { decodeVbmeta } from '../../src/formats/avb/vbmeta.ts';
import { readGpt, type Gpt } from '../../src/formats/gpt/reader.ts';
import { openFileSource, sliceSource, type ByteSource } from '../../src/io/byte-source.ts';
import { bytesContent, directory, regularFile, type Directory } from '../../src/io/file-tree.ts';
import { loadNativeLibrary } from '../../src/native/library.ts';
import { addHashtreeFooterToFile } from '../../src/signing/avb/hashtree-footer.ts';
import { generateKeyFile } from '../../src/signing/keys/generate.ts';
import { readPrivateKey } from '../../src/signing/keys/private-key-file.ts';
import { keySigner } from '../../src/signing/signer.ts';
import { BUILD_TIME, testBytes } from '../unit/formats/erofs/trees.ts';
import { runTool } from '../support/tools.ts';

const PARTITIONS = [
  { name: 'system', fec: undefined, hash: 'sha256', salt: undefined },
  { name: 'vendor', fec: { roots: 2 }, hash: 'sha256', salt: undefined },
  { name: 'a-name-longer-than-volumes-have', fec: { roots: 24 }, hash: 'sha512', salt: '5aa5' },
] as const;

function treeWith(seed: number): Directory {
  const root = directory({ mtime: BUILD_TIME });
  for (let index = 0; index < 30; index += 1) {
    const content = bytesContent(testBytes(index * 4001, seed + index));
    root.children.set(`file-${index}`, regularFile(content, { mtime: BUILD_TIME }));
  }
  return root;
}

const library = await loadNativeLibrary();
let folder = '';
let disk = '';
let os: OsImage;
let options: OsImageOptions;
let table: Gpt;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'microbuild-os-'));
  disk = join(folder, 'os.img');
  const key = join(folder, 'key.pem');
  await generateKeyFile(key, 2048);
  const signer = keySigner(await readPrivateKey(key));
  options = {
    partitions: PARTITIONS.map(({ name, fec, hash, salt }, index) => ({
      name,
      tree: treeWith(index),
      filesystem: {
        type: 'erofs',
        compression: 'none',
        deduplicate: false,
        tails: 'inline',
        level: 0,
        clusterSize: 4096,
      },
      hash,
      fec,
      salt: salt === undefined ? undefined : new Uint8Array(Buffer.from(salt, 'hex')),
    })),
    sourceDate: BUILD_TIME,
    rollbackIndex: 3,
    image: {
      algorithm: 'SHA256_RSA2048',
      signer,
      development: true,
    },
    library,
  };
  os = await writeOsImage(disk, options);
  table = await inDisk(readGpt);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function inDisk<T>(read: (source: ByteSource) => Promise<T>): Promise<T> {
  const source = await openFileSource(disk);
  try {
    return await read(source);
  } finally {
    await source.close();
  }
}

function placeOf(label: string): { readonly offset: number; readonly size: number } {
  const place = table.partitions.find((partition) => partition.label === label);
  if (place === undefined) throw new TypeError(`There is no ${label}`);
  return place;
}

/** The descriptors of the vbmeta that a partition has. */
async function descriptorsOf(label: string): Promise<readonly Descriptor[]> {
  const { offset, size } = placeOf(label);
  return inDisk(async (source) => {
    const { bytes } = await readVbmeta(sliceSource(source, offset, size));
    return decodeVbmeta(bytes).descriptors;
  });
}

/** A partition in a file of its own, and what is known of it. */
async function cutOut(name: string) {
  const { offset, size } = placeOf(`${name}_a`);
  const bytes = readFileSync(disk).subarray(offset, offset + size);
  const path = join(folder, `${name}.img`);
  writeFileSync(path, bytes);
  const [descriptor] = await descriptorsOf(`${name}_a`);
  const image = os.partitions[name];
  if (descriptor?.kind !== 'hashtree' || image === undefined) {
    throw new TypeError(`${name} has no hash tree`);
  }
  return { bytes, path, descriptor, image };
}

test('the disk has vbmeta and the partitions, in order', () => {
  const labels = table.partitions.map(({ label }) => label);
  expect(labels).toEqual(['vbmeta_a', ...PARTITIONS.map(({ name }) => `${name}_a`)]);
});

test('the vbmeta of the disk says of each partition what that says of itself', async () => {
  const all = await descriptorsOf('vbmeta_a');
  expect(all).toHaveLength(PARTITIONS.length);
  for (const [index, { name, fec, hash }] of PARTITIONS.entries()) {
    expect(await descriptorsOf(`${name}_a`)).toEqual([all[index]]);
    expect(all[index]).toMatchObject({
      kind: 'hashtree',
      partitionName: name,
      hashAlgorithm: hash,
      fecNumRoots: fec?.roots ?? 0,
      rootDigest: os.partitions[name]?.tree.rootDigest,
    });
  }
});

test('names decide about salts, not the order of partitions nor what else there is', async () => {
  const path = join(folder, 'other.img');
  const partitions = options.partitions.slice(1, 2);
  const other = await writeOsImage(path, { ...options, partitions });
  expect(other.partitions['vendor']?.tree).toEqual(os.partitions['vendor']?.tree);
});

describe.each(PARTITIONS)('the partition $name', ({ name, fec, hash, salt }) => {
  test('is what add_hashtree_footer makes of its file system', async () => {
    const { bytes, path, descriptor, image } = await cutOut(name);
    if (salt !== undefined) expect(toHex(descriptor.salt)).toBe(salt);
    truncateSync(path, image.size);
    const { algorithm, signer } = options.image;
    await addHashtreeFooterToFile(path, {
      partitionName: name,
      hashAlgorithm: hash,
      salt: descriptor.salt,
      fecRoots: fec?.roots,
      vbmeta: { algorithm, signer, rollbackIndex: 3n },
    });
    // Without a partition's size it leaves out the room that ours has before the block of the footer.
    const made = readFileSync(path);
    const end = made.length - 4096;
    expect(Buffer.compare(made.subarray(0, end), bytes.subarray(0, end))).toBe(0);
    expect(Buffer.compare(made.subarray(end), bytes.subarray(-4096))).toBe(0);
    expect(bytes.subarray(end, -4096).every((byte) => byte === 0)).toBe(true);
  });

  test('is verified by veritysetup, which finds its blocks right with the parity where there is one', async () => {
    const { bytes, path, descriptor, image } = await cutOut(name);
    const { size, tree } = image;
    const verify = (...more: string[]) =>
      runTool('veritysetup', [
        'verify',
        '--no-superblock',
        `--hash=${hash}`,
        `--salt=${toHex(descriptor.salt)}`,
        '--data-block-size=4096',
        '--hash-block-size=4096',
        `--data-blocks=${size / 4096}`,
        `--hash-offset=${tree.treeOffset}`,
        ...more,
        path,
        path,
        toHex(tree.rootDigest),
      ]);
    expect(verify()).toMatchObject({ status: 0 });
    writeFileSync(path, Buffer.from(bytes).fill(0x55, 40_960, 45_056));
    expect(verify().status).not.toBe(0);
    if (image.fec === undefined) return;
    const { stdout, stderr } = verify(
      `--fec-device=${path}`,
      `--fec-offset=${image.fec.offset}`,
      `--fec-roots=${image.fec.roots}`,
      '--debug',
    );
    expect(`${stdout}${stderr}`).toMatch(/[1-9]\d* repairable/);
  });
});

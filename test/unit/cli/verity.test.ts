/** `microbuild verity` as a user calls it. */

import { spawnSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { planErofs } from '../../../src/formats/erofs/plan.ts';
import { writeErofs } from '../../../src/formats/erofs/writer.ts';
import { bytesContent, directory, regularFile } from '../../../src/io/file-tree.ts';
import { MemorySink } from '../../../src/io/image-sink.ts';
import { openSandbox, type CliResult, type Sandbox } from '../../support/cli.ts';

const BLOCK = 4096;
let sandbox: Sandbox;
let count = 0;
let folder: string;

beforeAll(() => {
  sandbox = openSandbox();
});
afterAll(() => sandbox.dispose());
beforeEach(() => {
  count += 1;
  folder = join(sandbox.folder, `case-${count}`);
});

/** An EROFS with two files of 20 blocks, in the folder of the test. */
async function writeImage(): Promise<Uint8Array> {
  const root = directory();
  for (const [name, byte] of [
    ['good', 0x11],
    ['bad', 0x22],
  ] as const) {
    root.children.set(name, regularFile(bytesContent(new Uint8Array(20 * BLOCK).fill(byte))));
  }
  const sink = new MemorySink();
  await writeErofs(planErofs(root, { buildTime: 0, uuid: new Uint8Array(16) }), sink);
  mkdirSync(folder);
  writeFileSync(join(folder, 'image'), sink.bytes());
  return sink.bytes();
}

const at = (name: string): string => join(folder, name);
/** Runs `microbuild verity VERB`; words without a dash are files of the test's folder. */
const verity = (verb: string, ...words: string[]): Promise<CliResult> =>
  run('verity', verb, ...words);
const run = (...words: string[]): Promise<CliResult> =>
  sandbox.microbuild(words.map((word) => word.replace(/@/g, `${folder}/`)));

/** Turns over all bits of blocks. */
function spoil(name: string, ...blocks: number[]): void {
  const bytes = readFileSync(at(name));
  for (const block of blocks) {
    for (let i = block * BLOCK; i < (block + 1) * BLOCK; i += 1) bytes[i]! ^= 0xff;
  }
  writeFileSync(at(name), bytes);
}

describe('verity format and verify', () => {
  test('a corrupt block is named with its file, and the exit code is 3', async () => {
    const image = await writeImage();
    const format = await verity('format', '@image', '@hash', '--root-hash-file', '@root');
    expect(format).toMatchObject({ status: 0, stderr: '' });
    const root = readFileSync(at('root'), 'utf8');
    expect(format.stdout).toContain(`Root digest: ${root}`);
    expect(await verity('verify', '@image', '@hash', root)).toMatchObject({ status: 0 });

    const block = image.findIndex((byte, i) => i % BLOCK === 0 && byte === 0x22) / BLOCK;
    spoil('image', block);
    const verify = await verity('verify', '@image', '@hash', '--root-hash-file', '@root');
    expect(verify.status).toBe(3);
    expect(verify.stdout).toContain(`data block ${block}, at ${block * BLOCK} of`);
    expect(verify.stdout).toContain(': /bad');

    const json = await verity('verify', '@image', '@hash', root, '--json', '--engine', 'js');
    expect(JSON.parse(json.stdout)).toMatchObject({
      intact: false,
      corruptBlocks: 1,
      corrupt: [{ level: 'data', index: block, files: ['/bad'] }],
      engine: 'js',
    });
  });

  test('a failed format leaves no file behind, and the image as it was', async () => {
    const image = await writeImage();
    const format = await verity('format', '@image', '--fec-roots', '25');
    expect(format.status).toBe(2);
    expect(format.stderr).toContain('25 parity bytes');
    expect(Buffer.compare(readFileSync(at('image')), image)).toBe(0);
    expect(readdirSync(folder)).toEqual(['image']);
  });

  test.each<[string, string[], RegExp]>([
    ['sha1', ['format', '@image', '@hash', '--hash', 'sha1'], /collisions/],
    ['an unknown algorithm', ['format', '@image', '@hash', '--hash', 'md5'], /Known are sha256/],
    ['a tree over the data', ['format', '@image', '--hash-offset', '4096'], /overwrite the data/],
    ['no UUID', ['format', '@image', '@hash', '--uuid', 'x'], /is no UUID/],
    ['too many blocks', ['format', '@image', '@hash', '--data-blocks', '99999'], /has \d+ bytes/],
    ['half a block', ['format', '@image', '@hash', '--data-block-size', '65536'], /whole blocks/],
    ['a size in words', ['format', '@image', '@hash', '--data-blocks', 'ten'], /no whole number/],
    [
      'no root digest',
      ['verify', '@image', '@image', '--hash-offset', '0'],
      /"verity"|root digest/,
    ],
    [
      'no salt',
      ['verify', '@image', '@image', '00', '--no-superblock', '--hash-offset', '0'],
      /salt must be given/,
    ],
    ['no parity to repair by', ['repair', '@image', '@hash', '00', '--in-place'], /without parity/],
    ['no place for the result', ['repair', '@image', '00', '--fec-roots', '2'], /--output or --in/],
  ])('%s is refused with a reason', async (_, [verb = '', ...words], reason) => {
    await writeImage();
    const result = await verity(verb, ...words);
    expect([2, 3]).toContain(result.status);
    expect(result.stderr).toMatch(reason);
    expect(result.stderr).not.toContain('bug');
    expect(readdirSync(folder)).toEqual(['image']);
  });

  test.each<[string, string[], RegExp]>([
    ['a block size', ['--data-block-size', '100'], /--data-block-size 100: .*512 to 65536/],
    ['another block size', ['--hash-block-size', '131072'], /--hash-block-size 131072/],
    ['no blocks', ['--data-blocks', '0'], /--data-blocks 0/],
    ['a long salt', ['--salt', '00'.repeat(257)], /257 bytes: there is room for 256/],
    ['the root digest over the data', ['--root-hash-file', '@image'], /it is .*image too/],
    ['the root digest over the tree', ['--root-hash-file', '@hash'], /it is .*hash too/],
    ['a folder for the root digest', ['--root-hash-file', '@'], /is a folder/],
  ])('format refuses %s as a matter of usage', async (_, words, reason) => {
    const image = await writeImage();
    const { status, stderr } = await verity('format', '@image', '@hash', ...words);
    expect({ status, stderr }).toEqual({ status: 2, stderr: expect.stringMatching(reason) });
    expect(Buffer.compare(readFileSync(at('image')), image)).toBe(0);
    expect(readdirSync(folder)).toEqual(['image']);
  });

  test('one block of data has no tree, and is verified nevertheless', async () => {
    mkdirSync(folder);
    writeFileSync(at('one'), Buffer.alloc(65_536, 7));
    const sizes = ['--data-block-size', '65536', '--hash-block-size', '65536'];
    const fec = ['--fec-device', '@fec', '--fec-roots', '4'];
    const root = ['--root-hash-file', '@root'];
    expect(await verity('format', '@one', '@hash', ...sizes, ...fec, ...root)).toMatchObject({
      status: 0,
      stderr: '',
    });
    expect(await verity('verify', '@one', '@hash', ...fec, ...root)).toMatchObject({ status: 0 });
    const bytes = Buffer.alloc(65_536, 7);
    bytes.fill(9, 100, 200);
    writeFileSync(at('one'), bytes);
    expect(await verity('verify', '@one', '@hash', ...root)).toMatchObject({ status: 3 });
    expect(await verity('repair', '@one', '@hash', ...fec, ...root, '--in-place')).toMatchObject({
      status: 0,
    });
    expect(readFileSync(at('one')).equals(Buffer.alloc(65_536, 7))).toBe(true);
  });

  test('parity that would be behind the end of the file is refused with its place', async () => {
    await writeImage();
    await verity('format', '@image', '@hash', '--root-hash-file', '@root');
    const words = ['--root-hash-file', '@root', '--fec-device', '@hash', '--fec-offset', '1048576'];
    expect(await verity('verify', '@image', '@hash', ...words)).toMatchObject({
      status: 3,
      stderr: expect.stringContaining('what the parity covers would end at 1048576'),
    });
  });

  test('repair replaces no input, no device, nor one output by another', async () => {
    await writeImage();
    const root = ['--root-hash-file', '@root'];
    const fec = ['--fec-device', '@fec'];
    await verity('format', '@image', '@hash', ...root, ...fec);
    const before = ['image', 'hash', 'fec'].map((name) => readFileSync(at(name)));
    for (const [words, reason] of [
      [['-o', '@image'], 'image too'],
      [['-o', '@hash'], 'hash too'],
      [['-o', '@fec'], 'fec too'],
      [['-o', '@new', '--output-hash', '@./new'], 'new too'],
      [['-o', '/dev/null'], 'not a regular file'],
      [['-o', '@'], 'is a folder'],
    ] as const) {
      expect(await verity('repair', '@image', '@hash', ...root, ...fec, ...words)).toMatchObject({
        status: 2,
        stderr: expect.stringContaining(reason),
      });
    }
    expect(['image', 'hash', 'fec'].map((name) => readFileSync(at(name)))).toEqual(before);
    expect(readdirSync(folder).toSorted()).toEqual(['fec', 'hash', 'image', 'root']);
    expect(lstatSync('/dev/null').isCharacterDevice()).toBe(true);
  });

  test.each([
    ['verity', 'dump'],
    ['fsverity', 'digest'],
    ['fsverity', 'digest', '--engine', 'system'],
  ])('%s %s does not wait for the writer of a pipe', async (...words) => {
    mkdirSync(folder);
    spawnSync('mkfifo', [at('pipe')]);
    expect(await run(...words, '@pipe')).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('not a regular file'),
    });
  });

  test('options that contradict the superblock are refused', async () => {
    await writeImage();
    await verity('format', '@image', '@hash', '--root-hash-file', '@root', '--salt', '-');
    const verify = await verity(
      'verify',
      '@image',
      '@hash',
      '--root-hash-file',
      '@root',
      '--data-block-size',
      '1024',
    );
    expect(verify.status).toBe(2);
    expect(verify.stderr).toContain('contradicts the superblock, which says 4096');
  });

  test('a superblock that claims more than there is fails the verification', async () => {
    await writeImage();
    await verity('format', '@image', '@hash', '--root-hash-file', '@root');
    const hash = readFileSync(at('hash'));
    hash.writeBigUInt64LE(1n << 39n, 72);
    writeFileSync(at('hash'), hash);
    const verify = await verity('verify', '@image', '@hash', '--root-hash-file', '@root');
    expect(verify.status).toBe(3);
    expect(verify.stderr).toContain('the file has');
    const dump = await verity('dump', '@hash');
    expect(dump).toMatchObject({ status: 0 });
    expect(dump.stdout).toMatch(/in the file +false/);
    hash.fill(0, 0, 8);
    writeFileSync(at('hash'), hash);
    expect((await verity('dump', '@hash')).status).toBe(1);
  });

  test('what stands behind data or tree is not overwritten unasked', async () => {
    const image = await writeImage();
    writeFileSync(at('image'), Buffer.concat([image, Buffer.alloc(5 * BLOCK, 'metadata')]));
    const blocks = ['--data-blocks', String(image.length / BLOCK)];
    const first = await verity('format', '@image', ...blocks);
    expect(first.status).toBe(2);
    expect(first.stderr).toContain(`--hash-offset ${image.length} to overwrite it`);
    const offset = ['--hash-offset', String(image.length)];
    const second = await verity('format', '@image', ...blocks, ...offset, '--fec-roots', '2');
    expect(second.status).toBe(2);
    expect(second.stderr).toContain(`--fec-offset ${image.length + 2 * BLOCK} to overwrite it`);
    const fec = ['--fec-offset', String(image.length + 5 * BLOCK), '--root-hash-file', '@root'];
    expect(await verity('format', '@image', ...blocks, ...offset, ...fec)).toMatchObject({
      status: 0,
    });
    expect(readFileSync(at('image')).includes('metadata')).toBe(true);
    // The metadata is covered by the parity.
    spoil('image', image.length / BLOCK + 3);
    expect((await verity('verify', '@image', ...offset, ...fec)).status).toBe(3);
    const repair = await verity('repair', '@image', ...offset, ...fec, '--in-place');
    expect(repair.status).toBe(0);
    expect(repair.stdout).toMatch(/metadata/);
  });

  test('dump says where everything is', async () => {
    const image = await writeImage();
    await verity('format', '@image', '--salt', 'aabb');
    const dump = await verity('dump', '@image', '--hash-offset', String(image.length), '--json');
    expect(JSON.parse(dump.stdout)).toMatchObject({
      algorithm: 'sha256',
      salt: 'aabb',
      dataBlocks: image.length / BLOCK,
      treeOffset: image.length + BLOCK,
      levels: [{ level: 0, offset: image.length + BLOCK, blocks: 1 }],
    });
  });
});

describe('verity repair', () => {
  const fec = ['--fec-device', '@fec', '--fec-roots', '3'];
  const root = ['--root-hash-file', '@root'];

  test('gives the image back, aside and in place', async () => {
    const image = await writeImage();
    await verity('format', '@image', '@hash', ...root, ...fec);
    const hash = readFileSync(at('hash'));
    spoil('image', 0, 3, 7);
    const broken = readFileSync(at('image'));
    const verify = await verity('verify', '@image', '@hash', ...root, ...fec);
    expect(verify.status).toBe(3);
    expect(verify.stdout).toContain('microbuild verity repair');

    const aside = await verity('repair', '@image', '@hash', ...root, ...fec, '-o', '@fixed');
    expect(aside).toMatchObject({ status: 0 });
    expect(aside.stdout).toContain('Corrected 3 data blocks and 0 hash blocks');
    expect(Buffer.compare(readFileSync(at('fixed')), image)).toBe(0);
    expect(Buffer.compare(readFileSync(at('image')), broken)).toBe(0);

    spoil('image', 12);
    spoil('hash', 1);
    const inPlace = await verity('repair', '@image', '@hash', ...root, ...fec, '--in-place');
    expect(inPlace.status).toBe(3);
    // One codeword, three roots, five blocks: beyond repair, and said so.
    expect(inPlace.stdout).toContain('More is wrong than the parity can correct');
    writeFileSync(at('image'), image);
    expect(await verity('repair', '@image', '@hash', ...root, ...fec, '--in-place')).toMatchObject({
      status: 0,
    });
    expect(Buffer.compare(readFileSync(at('hash')), hash)).toBe(0);
    expect(readdirSync(folder).sort()).toEqual(['fec', 'fixed', 'hash', 'image', 'root']);
  });

  test('what cannot be proved is not written aside', async () => {
    await writeImage();
    await verity('format', '@image', '@hash', ...root, ...fec);
    spoil('image', 1, 2, 3, 4);
    const repair = await verity('repair', '@image', '@hash', ...root, ...fec, '-o', '@fixed');
    expect(repair.status).toBe(3);
    expect(repair.stdout).toContain('data block 4');
    expect(existsSync(at('fixed'))).toBe(false);
  });

  test('wrong parity is found by verify and written anew in place', async () => {
    await writeImage();
    const all = ['--root-hash-file', '@root', '--hash-offset'];
    const { length } = readFileSync(at('image'));
    await verity('format', '@image', '--fec-roots', '2', '--root-hash-file', '@root');
    const good = readFileSync(at('image'));
    const bad = Buffer.from(good);
    bad[bad.length - 5]! ^= 1;
    writeFileSync(at('image'), bad);
    const verify = await verity('verify', '@image', ...all, String(length), '--fec-roots', '2');
    expect(verify.status).toBe(3);
    expect(verify.stdout).toContain('the parity is wrong');
    const words = ['@image', ...all, String(length), '--fec-roots', '2', '--in-place'];
    expect((await verity('repair', ...words)).stdout).toContain('parity of 1 rounds anew');
    expect(Buffer.compare(readFileSync(at('image')), good)).toBe(0);
  });
});

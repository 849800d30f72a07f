/** `microbuild erofs create` with compression and deduplication, judged by the kernel, diff and our check. */

import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CreatedErofs } from '../../src/builder/create-erofs-image.ts';
import { checkErofs } from '../../src/formats/erofs/check.ts';
import { extractErofs } from '../../src/formats/erofs/extract.ts';
import { openFileSource } from '../../src/io/byte-source.ts';
import { loadNativeLibrary } from '../../src/native/library.ts';
import { openSandbox, type Sandbox } from '../support/cli.ts';
import { tmpDir } from '../support/tmp-dir.ts';
import { runTool } from '../support/tools.ts';
import { isMountable } from './judge-erofs.ts';
import { withMountedErofs } from './mounted-erofs.ts';

const hasLibrary = (await loadNativeLibrary()) !== undefined;

/** Sources, and data that compresses well, badly and by turns, twice, with holes and links. */
function writeSamples(folder: string): void {
  cpSync(join(import.meta.dirname, '../../src/formats/avb'), folder, { recursive: true });
  const text = Buffer.from(Array.from({ length: 6_000 }, (_, i) => `${i * i} `).join(''));
  const noise = Buffer.concat(
    Array.from({ length: 400 }, (_, i) => createHash('sha512').update(`${i}`).digest()),
  );
  const turns = Array.from({ length: 10 }, (_, i) => [
    text.subarray(i * 3000, i * 3000 + 3000 + i * 321),
    noise.subarray(i * 2000, i * 2000 + 5000 - i * 123),
    Buffer.alloc(i * 1000),
  ]);
  mkdirSync(join(folder, 'again'));
  for (const [name, bytes] of Object.entries({
    text,
    noise,
    'again/noise': noise,
    turns: Buffer.concat(turns.flat()),
    holes: Buffer.concat([Buffer.alloc(300_000), noise, Buffer.alloc(200_001)]),
    empty: Buffer.alloc(0),
    block: noise.subarray(0, 4096),
  })) {
    writeFileSync(join(folder, name), bytes);
  }
  linkSync(join(folder, 'text'), join(folder, 'again', 'text'));
  symlinkSync('turns', join(folder, 'link'));
}

describe('microbuild erofs create', () => {
  let sandbox: Sandbox;
  let source: string;
  const at = (name: string): string => join(sandbox.folder, name);
  beforeAll(() => {
    sandbox = openSandbox();
    source = at('source');
    writeSamples(source);
  });
  afterAll(() => sandbox.dispose());

  const create = async (
    image: string,
    args: readonly string[],
    env: NodeJS.ProcessEnv = {},
  ): Promise<CreatedErofs> => {
    const options = ['erofs', 'create', source, at(image), ...args, '--json'];
    const { status, stdout, stderr } = await sandbox.microbuild(options, env);
    if (status !== 0) throw new Error(stderr + stdout);
    return JSON.parse(stdout) as CreatedErofs;
  };
  /** Our check finds nothing; extracted and, where it can be, mounted, it is the folder. */
  const expectSame = async (image: string, mounts = true): Promise<void> => {
    const read = await openFileSource(at(image));
    const out = join(tmpDir(), 'out');
    try {
      expect(await checkErofs(read)).toMatchObject({ problems: [] });
      await extractErofs(read, out);
    } finally {
      await read.close();
    }
    const same = { status: 0, stdout: '', stderr: '' };
    expect(runTool('diff', ['-r', '--no-dereference', source, out])).toEqual(same);
    if (!isMountable || !mounts) return;
    await withMountedErofs(at(image), (path) => {
      expect(runTool('diff', ['-r', '--no-dereference', source, path])).toEqual(same);
      expect(statSync(join(path, 'text')).ino).toBe(statSync(join(path, 'again/text')).ino);
      return Promise.resolve();
    });
  };

  test.each([
    '--compress lz4',
    '--compress lz4hc --cluster-size 65536',
    '--compress lz4hc,12 --tails fragments --cluster-size 16384',
    '--compress deflate,1 --cluster-size 16384 --tails blocks',
    '--compress deflate --tails fragments',
    '--compress zstd,1',
    '--compress zstd,3 --cluster-size 65536 --tails blocks',
    '--compress zstd,2 --cluster-size 1048576 --tails fragments',
    '--dedupe',
  ])('%s keeps every file, and the library does not show', async (options) => {
    const args = options.split(' ');
    const created = await create('a', args);
    expect(created.image.size).toBe(statSync(at('a')).size);
    await expectSame('a');
    if (!hasLibrary) return;
    expect(await create('b', args, { MICROBUILD_NATIVE: '' })).toEqual({
      ...created,
      image: { ...created.image, path: at('b') },
    });
    expect(Buffer.compare(readFileSync(at('a')), readFileSync(at('b')))).toBe(0);
  });

  test.each(['--compress lz4 --tails fragments', '--compress zstd,1', '--dedupe'])(
    '%s with blocks of 16 KiB keeps every file',
    async (options) => {
      await create('large', [...options.split(' '), '--block-size', '16384']);
      await expect(expectSame('large', false)).resolves.toBeUndefined();
    },
  );

  test('stores less, and less the harder it tries', async () => {
    const sizeOf = async (...args: string[]): Promise<number> =>
      (await create('size', args)).image.size;
    const plain = await sizeOf();
    const fast = await sizeOf('--compress', 'lz4');
    const best = await sizeOf('--compress', 'lz4hc,12', '--cluster-size', '65536');
    expect(await sizeOf('--dedupe')).toBeLessThan(plain);
    expect(fast).toBeLessThan(plain * 0.8);
    expect(best).toBeLessThan(fast);
  });

  test('the tree of a compressed image is what veritysetup verifies', async () => {
    const args = ['--compress', 'lz4hc,3', '--hash-file', at('c.tree')];
    const { verity } = await create('c', args);
    const verified = ['verify', at('c'), at('c.tree'), verity?.rootDigest ?? ''];
    expect(runTool('veritysetup', verified)).toMatchObject({ status: 0, stderr: '' });
  });

  test.each([
    ['--compress brotli', /lz4, lz4hc, deflate or zstd/],
    ['--compress toString', /lz4, lz4hc, deflate or zstd/],
    ['--compress lz4,3', /it has no levels/],
    ['--compress lz4hc,0', /levels are 1 to 12/],
    ['--compress lz4hc,', /levels are 1 to 12/],
    ['--compress deflate,10', /levels are 1 to 9/],
    ['--compress lz4 --dedupe', /--dedupe with --compress/],
    ['--compress lz4 --cluster-size 5000', /whole blocks of 4096 up to 1 MiB/],
    ['--compress lz4 --cluster-size 2097152', /up to 1 MiB/],
    ['--compress lz4 --block-size 16384 --cluster-size 4096', /whole blocks of 16384/],
    ['--compress lz4 --tails none', /inline.*fragments.*blocks/s],
    ['--cluster-size 4096', /without --compress/],
  ])('refuses %s, says why, and writes nothing', async (options, message) => {
    const args = ['erofs', 'create', source, at('none'), ...options.split(' ')];
    const { status, stderr } = await sandbox.microbuild(args);
    expect(stderr).toMatch(message);
    expect(status).toBe(2);
    expect(existsSync(at('none'))).toBe(false);
  });
});

/**
 * A file system without room, of several sizes, for the output, the cache and temporary files; and places that cannot be written.
 * Each time: a message that says where, exit code 1, what was there as it was, nothing half-written beside it.
 */

import { execFileSync } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openSandbox, runProcess, type CliResult, type Sandbox } from '../support/cli.ts';
import { copyHello } from '../support/recipes.ts';
import { tmpDir } from '../support/tmp-dir.ts';
import { runTool } from '../support/tools.ts';

let sandbox: Sandbox;
const at = (...names: string[]): string => join(sandbox.folder, ...names);

beforeAll(async () => {
  sandbox = openSandbox();
  copyHello(at('hello'));
  mkdirSync(at('root'));
  for (let index = 0; index < 20; index += 1) {
    writeFileSync(at('root', `file-${index}`), randomFillSync(new Uint8Array(200_000)));
  }
  writeFileSync(at('data.img'), randomFillSync(new Uint8Array(4 << 20)));
  mkdirSync(at('apk'));
  writeFileSync(at('apk', 'noise'), randomFillSync(new Uint8Array(4 << 20)));
  execFileSync('zip', ['-q', '-0', '-r', at('app.apk'), '.'], { cwd: at('apk') });
  const { status } = await sandbox.microbuild(['image', at('hello'), '-o', at('bundle')]);
  expect(status).toBe(0);
  const request = [
    '-key',
    at('keys', 'payload.pem'),
    '-out',
    at('payload.crt'),
    '-subj',
    '/CN=test',
  ];
  runTool('openssl', ['req', '-x509', '-new', ...request]);
});
afterAll(() => sandbox.dispose());

/**
 * Runs microbuild where `small` is a file system of so many bytes.
 *
 * @param before Shell commands that put something there.
 * @returns what it said, then what is in `small`.
 */
async function inSmall(
  small: string,
  size: number,
  args: readonly string[],
  { before = ':', env = {} }: { before?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<CliResult & { readonly left: string }> {
  const script = `
    mount -t tmpfs -o size=${size} tmpfs "$0" || exit 99
    cd "$0" && { ${before}; } || exit 98
    sum() { find . -type f ! -path './cas/*' ! -path './ac/*' -exec sha256sum {} + | sort; }
    sum >&3
    "$@"
    status=$?
    echo === >&3
    sum >&3
    exit $status`;
  // Root has a mount namespace for the asking; others where the system lets them map themselves.
  const own = process.getuid?.() === 0 ? ['--mount'] : ['--user', '--map-root-user', '--mount'];
  const program = [process.execPath, resolve('bin/microbuild.js'), ...args];
  const wrapped = `exec 3>"${at('left')}"; ${script}`;
  const result = await runProcess('unshare', [...own, 'sh', '-c', wrapped, small, ...program], {
    ...process.env,
    MICROBUILD_KEYS: at('keys'),
    XDG_RUNTIME_DIR: at('run'),
    NO_COLOR: '1',
    ...env,
  });
  if (result.status >= 98) throw new Error(`No file system of its own: ${result.stderr}`);
  const left = execFileSync('cat', [at('left')], { encoding: 'utf8' });
  return { ...result, left };
}

/** What is there is what was there. */
function expectAsBefore(left: string): void {
  const [before, after] = left.split('===\n');
  expect(after).toBe(before);
}

const K = 1024;

describe('an output on a full disk', () => {
  const works: readonly (readonly [string, () => readonly string[], readonly number[]])[] = [
    // What is taken from the bundle that is there has holes, and room.
    ['image', () => ['image', at('hello'), '-o', 'out', '--force'], [64 * K, 5000 * K, 40_000 * K]],
    [
      'image as one file',
      () => ['image', at('hello'), '-o', 'x.mbundle', '--force'],
      [64 * K, 70_000 * K],
    ],
    [
      'erofs create',
      () => ['erofs', 'create', at('root'), 'r.erofs', '--verity'],
      [64 * K, 3000 * K],
    ],
    [
      'verity format',
      () => ['verity', 'format', at('data.img'), 'tree', '--fec-device', 'fec'],
      [24 * K, 60 * K],
    ],
    [
      'sign apk',
      () => [
        'sign',
        'apk',
        at('app.apk'),
        '-o',
        'signed.apk',
        '--v1',
        'false',
        '--min-sdk-version',
        '24',
        '--key',
        at('keys', 'payload.pem'),
        '--cert',
        at('payload.crt'),
      ],
      [64 * K, 3000 * K],
    ],
  ];

  test.each(works)('%s: says where, and leaves what was there', async (_, args, sizes) => {
    for (const size of sizes) {
      const small = tmpDir();
      const before = 'echo old > old';
      const { status, stderr, left } = await inSmall(small, size, args(), { before });
      expect(stderr).toMatch(/^error: Cannot \w+ \S+: no space left on device/m);
      expect(stderr).toMatch(/help: Make room.*; \d+(\.\d+)? [KM]?i?B are free there now/);
      expect(status).toBe(1);
      expectAsBefore(left);
    }
  });

  test('an old bundle stays as it was, to the byte', async () => {
    const small = tmpDir();
    const args = ['image', at('hello'), '-o', 'out', '--force'];
    const { status, stderr, left } = await inSmall(small, 90_000 * K, args, {
      before: `cp -r ${at('bundle')} out`,
    });
    expect(stderr).toContain('no space left on device');
    expect(status).toBe(1);
    expectAsBefore(left);
    expect(left).toContain('out/manifest.json');
  });

  test('an image that is changed where it is gets back what it was', async () => {
    const small = tmpDir();
    const image = ['--image', 'data.img', '--partition_name', 'data'];
    const key = ['--key', at('keys', 'image.pem'), '--algorithm', 'SHA256_RSA4096'];
    const { status, stderr, left } = await inSmall(
      small,
      4120 * K,
      ['avb', 'add_hashtree_footer', ...image, ...key],
      { before: `cp ${at('data.img')} data.img` },
    );
    expect(stderr).toContain('no space left on device');
    expect(status).toBe(1);
    expectAsBefore(left);
  });
});

describe('a cache on a full disk', () => {
  test('ends a build with the name of the cache, before anything is asked for in vain', async () => {
    for (const [size, cold] of [
      [600 * K, true],
      [24_000 * K, false],
    ] as const) {
      const cache = tmpDir();
      const vendored = at('vendored');
      cpSync(at('hello'), vendored, { recursive: true });
      const made = await sandbox.microbuild(['vendor', vendored]);
      expect(made.status).toBe(0);
      const output = join(tmpDir(), 'out');
      const args = ['image', cold ? at('hello') : vendored, '-o', output];
      const { status, stderr, left } = await inSmall(cache, size, args, {
        env: { MICROBUILD_CACHE: cache },
      });
      expect(stderr).toMatch(/error: Cannot \w+ \S+: no space left on device/);
      expect(stderr).toContain(cache);
      expect(status).toBe(1);
      expect(left).not.toMatch(/ \.\/tmp\//);
    }
  });
});

describe('a place that cannot be written', () => {
  test('a file system for reading only', async () => {
    const small = tmpDir();
    const args = ['erofs', 'create', at('root'), 'r.erofs'];
    const { status, stderr, left } = await inSmall(small, 1 << 20, args, {
      before: 'echo old > old; mount -o remount,ro .',
    });
    expect(stderr).toContain('EROFS');
    expect(stderr).toContain('Choose a place that can be written');
    expect(status).toBe(1);
    expectAsBefore(left);
  });

  test.each([22, 25])('no more than %i open files', async (limit) => {
    const output = join(tmpDir(), 'out');
    const script = `ulimit -n ${limit}; exec "$0" "$@"`;
    const words = [
      process.execPath,
      resolve('bin/microbuild.js'),
      'image',
      at('hello'),
      '-o',
      output,
    ];
    const env = { ...process.env, MICROBUILD_KEYS: at('keys'), CI: '' };
    const { status, stderr } = await runProcess('sh', ['-c', script, ...words], env);
    expect(stderr).not.toContain('This is a bug');
    // How many files Node itself has open is its own matter.
    if (!stderr.includes('error:')) return;
    expect(stderr).toMatch(/^error: Cannot .+: too many open files \(EMFILE\)\n {2}help: Raise/m);
    expect(status).toBe(1);
    expect(existsSync(output)).toBe(false);
  });

  test('a device that is full takes no results, and that is a failure', async () => {
    const program = `exec "$0" bin/microbuild.js schema > /dev/full`;
    const { status, stderr } = await runProcess(
      'sh',
      ['-c', program, process.execPath],
      process.env,
    );
    expect(status).toBe(1);
    expect(stderr).toContain('no space left on device');
  });
});

/** The same recipe, lock and keys give the same bytes, whoever builds them, where and when. */

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openSandbox, runProcess, type Sandbox } from '../support/cli.ts';
import { copyHello } from '../support/recipes.ts';

/** Somebody else on this machine, for whom only root can build. */
const NOBODY = 65534;
const canBeNobody =
  process.getuid?.() === 0 &&
  spawnSync('test', ['-r', 'bin/microbuild.js'], { uid: NOBODY, gid: NOBODY }).status === 0;

let sandbox: Sandbox;
let reference: Record<string, string>;

/** SHA-256 of every file of a bundle. */
function digests(bundle: string): Record<string, string> {
  return Object.fromEntries(
    readdirSync(bundle, { recursive: true, encoding: 'utf8' })
      .filter((name) => statSync(join(bundle, name)).isFile())
      // It tells when it was built, and under which number.
      .filter((name) => name !== 'attestations/provenance.dsse.json')
      .sort()
      .map((name) => [
        name,
        createHash('sha256')
          .update(readFileSync(join(bundle, name)))
          .digest('hex'),
      ]),
  );
}

beforeAll(async () => {
  sandbox = openSandbox();
  const bundle = join(sandbox.folder, 'reference');
  const recipe = copyHello(join(sandbox.folder, 'first', 'hello'));
  const { status, stderr } = await sandbox.microbuild(['image', recipe, '-o', bundle]);
  if (status !== 0) throw new Error(stderr);
  reference = digests(bundle);
});
afterAll(() => sandbox.dispose());

/** Builds a fresh copy of the recipe through `wrapper`, with an empty cache of steps. */
async function rebuild(
  name: string,
  wrapper: readonly string[],
  env: NodeJS.ProcessEnv = {},
  user: { uid?: number; gid?: number } = {},
): Promise<Record<string, string>> {
  const folder = join(sandbox.folder, name, 'another', 'place');
  mkdirSync(folder, { recursive: true });
  const bundle = join(folder, 'bundle');
  const recipe = copyHello(join(folder, 'recipe'));
  const keys = join(folder, 'keys');
  cpSync(join(sandbox.folder, 'keys'), keys, { recursive: true });
  if (user.uid !== undefined) {
    chmodSync(sandbox.folder, 0o755);
    for (const path of [folder, keys, ...readdirSync(keys).map((each) => join(keys, each))]) {
      chownSync(path, user.uid, NOBODY);
    }
  }
  const command = [
    ...wrapper,
    process.execPath,
    join(process.cwd(), 'bin/microbuild.js'),
    'image',
    recipe,
    '-o',
    bundle,
  ];
  const { status, stderr } = await runProcess(
    command[0] ?? '',
    command.slice(1),
    { ...process.env, MICROBUILD_KEYS: keys, ...env },
    { cwd: folder, ...user },
  );
  if (status !== 0) throw new Error(stderr);
  return digests(bundle);
}

describe('two builds give equal bytes', () => {
  test('in another folder', async () => {
    expect(await rebuild('folder', [])).toEqual(reference);
  });

  test('in another time zone and locale', async () => {
    const env = { TZ: 'Pacific/Kiritimati', LC_ALL: 'tr_TR.UTF-8', LANG: 'tr_TR.UTF-8' };
    expect(await rebuild('zone', [], env)).toEqual(reference);
  });

  test('with another umask', async () => {
    expect(await rebuild('umask', ['sh', '-c', 'umask 077; exec "$@"', 'sh'])).toEqual(reference);
  });

  test('with one core', async () => {
    expect(await rebuild('core', ['taskset', '-c', '0'])).toEqual(reference);
  });

  test('at another time of day and year', async () => {
    expect(await rebuild('clock', ['faketime', '-f', '@2035-06-01 03:04:05'])).toEqual(reference);
  });

  test('without the cache and without the native library', async () => {
    const env = { MICROBUILD_CACHE: join(sandbox.folder, 'empty-cache'), MICROBUILD_NATIVE: '' };
    expect(await rebuild('cache', [], env)).toEqual(reference);
  });

  test.skipIf(!canBeNobody)('by another user', async () => {
    const env = {
      HOME: '/nonexistent',
      MICROBUILD_CACHE: join(sandbox.folder, 'user', 'another', 'place', 'cache'),
    };
    expect(await rebuild('user', [], env, { uid: NOBODY, gid: NOBODY })).toEqual(reference);
  });
});

/**
 * Ctrl-C, SIGTERM, SIGHUP, a second Ctrl-C and SIGKILL at any moment: every command that writes leaves what was there or what it
 * makes, whole; nothing half-written beside it, in the cache, among temporary files; and no process.
 */

import { execFileSync, spawn } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import {
  closeSync,
  constants,
  cpSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openUndoableFile } from '../../src/signing/avb/undoable-file.ts';
import { openSandbox, type Sandbox } from '../support/cli.ts';
import { endAtMoments, seeded, type Moment, type Work } from '../support/interrupted.ts';
import { commandLine } from '../support/leftovers.ts';
import { startServer } from '../support/loopback-server.ts';
import { copyHello, edit } from '../support/recipes.ts';
import { tmpDir } from '../support/tmp-dir.ts';
import { runTool } from '../support/tools.ts';
import { copyWarmCache } from '../support/warm-cache.ts';

const UUID = '00112233-4455-6677-8899-aabbccddeeff';

const MOMENTS: readonly Moment[] = [
  { signal: 'SIGTERM' },
  { signal: 'SIGINT', again: 3 },
  { signal: 'SIGKILL' },
  { signal: 'SIGINT' },
  { signal: 'SIGHUP' },
];
/** Each command is ended so often, at random moments; the next one in the ways that follow. */
const TIMES = 3;
let turn = 0;

let sandbox: Sandbox;
const at = (...names: string[]): string => join(sandbox.folder, ...names);
let random: () => number;

async function succeed(...args: string[]): Promise<void> {
  const { status, stderr } = await sandbox.microbuild(args, { MICROBUILD_CACHE: at('cache') });
  expect(stderr).not.toContain('error:');
  expect(status).toBe(0);
}

beforeAll(async () => {
  sandbox = openSandbox();
  random = seeded(Number(process.env['MICROBUILD_TEST_SEED'] ?? 20261124));
  copyHello(at('recipe', 'hello'));
  await copyWarmCache(sandbox, at('cache'));
  await succeed('image', at('recipe', 'hello'), '-o', at('bundle', 'hello'));
  rmSync(at('recipe', 'hello', 'build'), { recursive: true, force: true });
});
afterAll(() => sandbox.dispose());

function folder(name: string, fill: (path: string) => void): string {
  mkdirSync(at(name));
  fill(at(name));
  return at(name);
}

const noise = (size: number): Uint8Array => randomFillSync(new Uint8Array(size));

/** What is wrong with what runs leave that are ended. */
function wrongWith(work: Work, moments = MOMENTS): Promise<string[]> {
  const turns = Array.from(
    { length: TIMES },
    (_, index) => moments[(turn + index) % moments.length],
  );
  turn += TIMES;
  return endAtMoments(
    tmpDir(),
    work,
    turns.filter((each) => each !== undefined),
    random,
  );
}

describe('ended at any moment', () => {
  test('image replaces a bundle whole, or leaves the old one', async () => {
    const template = folder('image', (path) => {
      cpSync(at('recipe', 'hello'), join(path, 'hello'), { recursive: true });
      cpSync(at('bundle', 'hello'), join(path, 'out'), { recursive: true });
      edit(join(path, 'hello', 'microbuild.yaml'), [['versionCode: 1', 'versionCode: 2']]);
    });
    const args = ['image', 'hello', '-o', 'out'];
    expect(await wrongWith({ args, template, cache: at('cache') })).toEqual([]);
  });

  test('image makes a bundle of one file whole, or none, nor the folders above it', async () => {
    const template = folder('mbundle', (path) => {
      cpSync(at('recipe', 'hello'), join(path, 'hello'), { recursive: true });
    });
    const args = ['image', 'hello', '-o', 'new/folder/hello.mbundle'];
    expect(await wrongWith({ args, template, cache: at('cache') })).toEqual([]);
  });

  test('image leaves a cache of which everything is whole, however little was in it', async () => {
    const template = folder('cold', (path) => {
      cpSync(at('recipe', 'hello'), join(path, 'hello'), { recursive: true });
    });
    const cache = at('cold-cache');
    execFileSync('cp', ['-al', at('cache'), cache]);
    // The packages are there; what was made of them is not.
    for (const name of ['ac', 'microbuild']) rmSync(join(cache, name), { recursive: true });
    const args = ['image', 'hello', '-o', 'out'];
    const moments = MOMENTS.filter(({ signal }) => signal !== 'SIGKILL');
    expect(
      await wrongWith({ args, template, cache, between: [300, 2500], long: true }, moments),
    ).toEqual([]);
  });

  test('sign apk replaces an APK and its idsig whole, or not at all', async () => {
    const template = folder('apk', (path) => {
      const assets = join(path, 'assets');
      mkdirSync(assets);
      writeFileSync(join(assets, 'noise'), noise(24 << 20));
      execFileSync('zip', ['-q', '-0', '-r', '../app.apk', '.'], { cwd: assets });
      rmSync(assets, { recursive: true });
      copyKeys(path);
      const request = ['req', '-x509', '-new', '-key', 'payload.pem', '-subj', '/CN=test'];
      runTool('openssl', [...request, '-out', 'payload.crt'], { cwd: path });
    });
    const args = ['sign', 'apk', 'app.apk', '--key', 'payload.pem', '--cert', 'payload.crt'];
    const versions = ['--v1', 'false', '--min-sdk-version', '24'];
    expect(await wrongWith({ args: [...args, ...versions], template })).toEqual([]);
  });

  test('sign image, in place, leaves the image as it was or signed', async () => {
    const template = folder('vbmeta', (path) => {
      writeFileSync(join(path, 'system.img'), noise(8 << 20));
      copyKeys(path);
    });
    const key = ['--key', join(template, 'image.pem'), '--algorithm', 'SHA256_RSA4096'];
    await succeed(
      'avb',
      'add_hashtree_footer',
      '--image',
      join(template, 'system.img'),
      '--partition_name',
      'system',
      ...key,
    );
    const args = ['sign', 'image', 'system.img', '--key', 'image.pem', '--rollback-index', '7'];
    expect(await wrongWith({ args, template })).toEqual([]);
  });

  test('avb add_hashtree_footer, in place, leaves the image as it was or with a footer', async () => {
    const template = folder('footer', (path) => {
      writeFileSync(join(path, 'system.img'), noise(24 << 20));
      copyKeys(path);
    });
    const key = ['--key', 'image.pem', '--algorithm', 'SHA256_RSA4096'];
    const image = ['--image', 'system.img', '--partition_name', 'system'];
    expect(
      await wrongWith({ args: ['avb', 'add_hashtree_footer', ...image, ...key], template }),
    ).toEqual([]);
  });

  test('lock writes a lock with all pins, or none', async () => {
    const { template } = await servedRecipe('lock');
    expect(await wrongWith({ args: ['lock', 'hello'], template, cache: at('cache') })).toEqual([]);
  });

  test('vendor copies blobs whole, or not at all', async () => {
    const { template } = await servedRecipe('vendor');
    const other = at('other-cache');
    execFileSync('cp', ['-al', at('cache'), other]);
    await sandbox.microbuild(['lock', join(template, 'hello')], { MICROBUILD_CACHE: other });
    expect(
      await wrongWith({ args: ['vendor', 'hello'], template, cache: at('cache'), several: true }),
    ).toEqual([]);
  });

  test('erofs create writes an image whole, or none', async () => {
    const template = folder('erofs', (path) => {
      mkdirSync(join(path, 'root'));
      for (let index = 0; index < 200; index += 1) {
        writeFileSync(join(path, 'root', `file-${index}`), noise(100_000));
      }
      writeFileSync(join(path, 'root.erofs'), 'an older image');
    });
    const args = ['erofs', 'create', 'root', 'root.erofs', '--hash-file', 'tree'];
    expect(await wrongWith({ args, template })).toEqual([]);
  });

  test('verity format leaves an image with tree and parity behind it, or as it was', async () => {
    const template = folder('verity', (path) => {
      writeFileSync(join(path, 'system.img'), noise(16 << 20));
    });
    const args = ['verity', 'format', 'system.img', '--fec-roots', '2', '--root-hash-file', 'root'];
    expect(await wrongWith({ args, template })).toEqual([]);
  });

  test('run ends the machine, its backend and its sockets', async () => {
    const template = folder('machine', (path) => {
      cpSync(at('bundle', 'hello'), join(path, 'hello'), { recursive: true });
    });
    const args = ['run', 'hello', '--accel', 'tcg', '--timeout', '1'];
    const moments = MOMENTS.filter(({ signal }) => signal !== 'SIGKILL');
    expect(await wrongWith({ args, template, status: 124, between: [200, 1300] }, moments)).toEqual(
      [],
    );
  });
});

function copyKeys(path: string): void {
  for (const name of readdirSync(at('keys'))) cpSync(at('keys', name), join(path, name));
}

/** hello with an archive that comes slowly. */
async function servedRecipe(name: string): Promise<{ template: string }> {
  const files = at(`${name}-files`);
  mkdirSync(files);
  writeFileSync(join(files, 'noise'), noise(1 << 20));
  execFileSync('tar', ['-cf', at(`${name}.tar`), '-C', files, '.']);
  const archive = readFileSync(at(`${name}.tar`));
  const server = await startServer(async (_, response) => {
    response.writeHead(200, { 'content-length': archive.length });
    for (let from = 0; from < archive.length; from += 1 << 16) {
      response.write(archive.subarray(from, from + (1 << 16)));
      await sleep(15);
    }
    response.end();
  });
  const template = folder(name, (path) => {
    cpSync(at('recipe', 'hello'), join(path, 'hello'), { recursive: true });
    const line = '      - { guest: runtime }';
    edit(join(path, 'hello', 'microbuild.yaml'), [
      [line, `      - { tar: "${server.url}/x.tar", to: /x }\n${line}`],
    ]);
  });
  return { template };
}

test('a recipe in a pipe that nobody writes to does not hold up a second Ctrl-C', async () => {
  const pipe = join(tmpDir(), 'recipe');
  execFileSync('mkfifo', [pipe]);
  const child = spawn(process.execPath, [resolve('bin/microbuild.js'), 'image', pipe], {
    stdio: 'ignore',
  });
  const exited = new Promise<NodeJS.Signals | null>((done) =>
    child.on('exit', (_, signal) => done(signal)),
  );
  let writer: number | undefined;
  // It can be opened as soon as somebody waits for it.
  for (; writer === undefined; await sleep(20)) writer = openIfRead(pipe);
  child.kill('SIGINT');
  await sleep(50);
  child.kill('SIGINT');
  expect(await exited).toBe('SIGINT');
  closeSync(writer);
});

function openIfRead(pipe: string): number | undefined {
  try {
    return openSync(pipe, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENXIO') return undefined;
    throw error;
  }
}

test('verity format measures an image that was left half formatted when it is brought back', async () => {
  const path = folder('half', (made) => {
    writeFileSync(join(made, 'whole.img'), noise(1 << 16));
    cpSync(join(made, 'whole.img'), join(made, 'half.img'));
  });
  const file = await openUndoableFile(join(path, 'half.img'));
  await file.write(1 << 16, noise(1 << 12));
  const [journal = ''] = readdirSync(path).filter((name) => name.includes('.undo-'));
  // Of a process with the number of this one that started at another time.
  const left = journal.replace(/\d+(-[0-9a-f]+)$/, '1$1');
  const bytes = readFileSync(join(path, journal));
  await file.commit();
  writeFileSync(join(path, left), bytes);
  for (const name of ['whole.img', 'half.img']) {
    await succeed('verity', 'format', join(path, name), '--salt', '00', '--uuid', UUID);
  }
  expect(existsSync(join(path, left))).toBe(false);
  expect(readFileSync(join(path, 'half.img')).equals(readFileSync(join(path, 'whole.img')))).toBe(
    true,
  );
});

test('what payload.build started ends with the build, its children and theirs', async () => {
  const scratch = tmpDir();
  const script = `sleep 301 & sh -c 'sleep 302; :' & wait`;
  const recipe = copyHello(join(scratch, 'hello'), [
    ['command: [make]', `command: [sh, -c, "${script}"]`],
  ]);
  const args = ['image', recipe, '-o', join(scratch, 'out'), '--force'];
  const child = spawn(process.execPath, [resolve('bin/microbuild.js'), ...args], {
    stdio: 'ignore',
    env: { ...process.env, MICROBUILD_CACHE: at('cache'), MICROBUILD_KEYS: at('keys') },
  });
  const exited = new Promise<number | null>((done) => child.on('exit', done));
  const isThere = (line: string): boolean => /^sleep 30[12]\b/.test(line);
  let started: number[] = [];
  while (started.map(commandLine).filter(isThere).length < 2 && child.exitCode === null) {
    await sleep(20);
    started = descendants(child.pid ?? 0);
  }
  child.kill('SIGINT');
  expect(await exited).toBe(130);
  expect(started.filter((pid) => commandLine(pid) !== '')).toEqual([]);
  expect(existsSync(join(scratch, 'out'))).toBe(false);
});

/** Processes that a process started from any of its threads, and theirs; of one that has just ended none. */
function descendants(pid: number): number[] {
  let children: string[];
  try {
    children = readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
      readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').split(' '),
    );
  } catch {
    return [];
  }
  const own = children.filter(Boolean).map(Number);
  return own.flatMap((each) => [each, ...descendants(each)]);
}

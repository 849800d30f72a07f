/** Whole builds, in this process: what the order of steps, earlier builds and failures do not change. */

import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildImage, type BuildOptions, type BuildResult } from '../../../src/builder/build.ts';
import { parseBuildRecord } from '../../../src/bundle/build-record.ts';
import { measurementsOf } from '../../../src/bundle/measurements.ts';
import { watchInputs } from '../../../src/cache/build-stamp.ts';
import { defaultCacheDirectory } from '../../../src/cache/store.ts';
import { RecipeError } from '../../../src/core/errors.ts';
import type { BuildEvent } from '../../../src/core/events.ts';
import { readRecipe } from '../../../src/recipe/parse.ts';
import { openSandbox, type Sandbox } from '../../support/cli.ts';
import { copyHello, type Edits } from '../../support/recipes.ts';

/** A second partition and a second payload, whose build fails when `broken` is there. */
const RICH: Edits = [
  [
    '\npayload:\n',
    `
  vendor:
    mount: /vendor/files
    verity: { fec: true }
    contents:
      - { inline: vendor, to: /name }

payloads:
  other:
    package: dev.microbuild.other
    versionCode: 2
    build: { command: [sh, other.sh], inputs: [other.sh, src, Makefile], outputs: [build/libhello.so] }
    libraries: { x86_64: [build/libhello.so] }
    entry: libhello.so
    rpcPort: 9

payload:
`,
  ],
];

let sandbox: Sandbox;
/** Text that no other run has in its system, so that earlier ones are of no help. */
const chance = randomBytes(16).toString('hex');
beforeAll(() => {
  sandbox = openSandbox();
});
afterAll(() => sandbox.dispose());

function recipeFolder(name: string, edits: Edits = []): string {
  const folder = copyHello(join(sandbox.folder, 'recipes', name), [
    ['name: hello', `name: ${name}`],
    ...edits,
  ]);
  writeFileSync(join(folder, 'motd'), `${chance}\n`);
  writeFileSync(join(folder, 'other.sh'), 'test ! -e broken && make\n');
  return folder;
}

interface Built extends BuildResult {
  readonly events: readonly BuildEvent[];
}

async function build(
  folder: string,
  output: string,
  options: Partial<BuildOptions> = {},
): Promise<Built> {
  const events: BuildEvent[] = [];
  const result = await buildImage({
    recipe: await readRecipe(folder),
    output: join(sandbox.folder, output),
    packageRoot: process.cwd(),
    keyFolder: join(sandbox.folder, 'keys'),
    cacheDirectory: defaultCacheDirectory(process.env),
    sourceDate: 1_600_000_000,
    relockMissing: true,
    env: process.env,
    reporter: { report: (event) => events.push(event) },
    ...options,
  });
  return { ...result, events };
}

/** Whether the step that makes images took all of them from somewhere else. */
const isCached = ({ events }: Built): boolean | undefined =>
  events.flatMap((event) =>
    event.kind === 'step-done' && event.step === 'system.image' ? [event.cached] : [],
  )[0];

describe('a build', { timeout: 120_000 }, () => {
  let folder: string;
  let first: Built;
  beforeAll(async () => {
    folder = recipeFolder('rich', RICH);
    first = await build(folder, 'one', { schedule: { width: 1 }, force: true });
  }, 120_000);

  test('makes the same bytes in any order of its steps, on one core or many', async () => {
    for (const choose of [
      (ready: number) => ready - 1,
      (ready: number) => Math.floor(Math.random() * ready),
    ]) {
      const next = await build(folder, 'two', { schedule: { width: 8, choose }, force: true });
      expect(next.manifest).toEqual(first.manifest);
    }
  });

  test('has every partition and payload in its manifest, and its measurements', () => {
    const { manifest } = first;
    expect(manifest.files.map(({ path }) => path)).toEqual(
      expect.arrayContaining(['build.json', 'payload-other.img', 'payload.img']),
    );
    expect(manifest.payloads?.['other']).toMatchObject({ versionCode: 2, rpcPort: 9 });
    expect(manifest.payload.interfaces).toEqual(['interfaces/dev/microbuild/hello/IHello.aidl']);
    const { partitions, payloads } = measurementsOf(manifest);
    expect(Object.keys(partitions)).toEqual(['system', 'vendor']);
    expect(payloads['other']?.apkRootDigest).toMatch(/^[0-9a-f]{64}$/);
  });

  test('holds for verify, with all its partitions and payloads', async () => {
    const { status, stdout, stderr } = await sandbox.microbuild(['verify', first.path]);
    expect(`${status}: ${stdout}${stderr}`).toMatch(/^0: /);
  });

  test('records its inputs by their lines, and where each inode comes from', () => {
    const record = parseBuildRecord(readFileSync(join(first.path, 'build.json'), 'utf8'));
    const text = readFileSync(join(folder, 'microbuild.yaml'), 'utf8').split('\n');
    const deb = record.inputs.find(({ at }) => at === 'partitions.system.contents[1]');
    expect(deb).toMatchObject({ kind: 'deb', name: 'musl', file: 'microbuild.yaml' });
    expect(deb?.digest).toMatch(/^sha256:[0-9a-f]{64}$/);
    expect(text[(deb?.line ?? 0) - 1]).toContain('deb: musl');
    expect(record.payload.entries).toEqual([
      { name: 'lib/x86_64/libhello.so', input: 'payload.libraries.x86_64[0]' },
    ]);
    const inodes = record.partitions['vendor']?.origins.reduce((sum, [count]) => sum + count, 0);
    expect(inodes).toBe(2);
    expect(JSON.stringify(record)).not.toContain(sandbox.folder);
  });

  test('takes its system from the bundle that it replaces, and makes the same', async () => {
    writeFileSync(join(folder, 'motd'), `${chance} and more\n`);
    await setTimeout(50);
    const clean = await build(folder, 'clean', { force: true });
    const next = await build(folder, 'one');
    expect(next.manifest).toEqual(clean.manifest);
    expect(next.manifest.chain.systemRootDigest).not.toBe(first.manifest.chain.systemRootDigest);
  });

  test('stands, and says so, where nothing can be written down of it', async () => {
    const cacheDirectory = join(sandbox.folder, 'spoilt');
    await mkdir(cacheDirectory);
    for (const name of ['ac', 'cas', 'tmp', 'kernel-facts']) {
      symlinkSync(join(defaultCacheDirectory(process.env), name), join(cacheDirectory, name));
    }
    writeFileSync(join(cacheDirectory, 'microbuild'), 'no folder');
    const stamp = { subject: { output: join(sandbox.folder, 'spoilt-out'), facts: {} } };
    const again = await build(folder, 'spoilt-out', {
      cacheDirectory,
      stamp: { ...stamp, inputs: watchInputs() },
      tool: 'x',
    });
    expect(existsSync(join(again.path, 'manifest.json'))).toBe(true);
    expect(again.events).toContainEqual(
      expect.objectContaining({
        kind: 'warning',
        message: expect.stringContaining('Cannot remember this build') as string,
      }),
    );
  });

  test('leaves nothing behind when a step fails, and the old bundle as it was', async () => {
    const output = join(sandbox.folder, 'one');
    const before = readFileSync(join(output, 'manifest.json'), 'utf8');
    writeFileSync(join(folder, 'other.sh'), 'echo no >&2; exit 3\n');
    await expect(build(folder, 'one')).rejects.toThrow(RecipeError);
    await expect(build(folder, 'new')).rejects.toThrow(RecipeError);
    expect(readFileSync(join(output, 'manifest.json'), 'utf8')).toBe(before);
    expect(existsSync(join(sandbox.folder, 'new'))).toBe(false);
    expect(readdirSync(sandbox.folder).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  test('ends when it is told to, and leaves nothing behind', async () => {
    const control = new AbortController();
    const reporter = {
      report: (event: BuildEvent) => {
        if (event.kind === 'step-start') control.abort();
      },
    };
    const stopped = build(folder, 'new', { reporter, signal: control.signal });
    await expect(stopped).rejects.toMatchObject({ name: 'AbortError' });
    expect(existsSync(join(sandbox.folder, 'new'))).toBe(false);
    expect(readdirSync(sandbox.folder).filter((name) => name.startsWith('.'))).toEqual([]);
  });
});

test('ten recipes with the same system write it once', { timeout: 120_000 }, async () => {
  const folders = Array.from({ length: 10 }, (_, index) => recipeFolder(`same-${index}`));
  await setTimeout(50);
  const built: Built[] = [];
  for (const [index, folder] of folders.entries()) {
    built.push(await build(folder, index % 2 === 0 ? `same-${index}` : `same-${index}.mbundle`));
  }
  expect(built.map(isCached)).toEqual([false, ...Array.from({ length: 9 }, () => true)]);
  const roots = new Set(built.map(({ manifest }) => manifest.chain.systemRootDigest));
  expect(roots.size).toBe(1);
});

describe('microbuild image', { timeout: 120_000 }, () => {
  const run = async (folder: string, ...more: string[]) => {
    const output = join(sandbox.folder, 'cli', 'out');
    const args = ['image', folder, '-o', output, '--json', ...more];
    const { status, stdout, stderr } = await sandbox.microbuild(args);
    expect(`${status} ${stderr}`).toMatch(/^0 /);
    return JSON.parse(stdout) as { upToDate: boolean; manifest: BuildResult['manifest'] };
  };

  test('does nothing, and says the same, when nothing changed since the last time', async () => {
    const folder = recipeFolder('again');
    await mkdir(join(sandbox.folder, 'cli'));
    await setTimeout(50);
    const metadata = join(sandbox.folder, 'metadata.json');
    const first = await run(folder, '--metadata-file', metadata);
    expect(first.upToDate).toBe(false);
    const { measurements } = JSON.parse(readFileSync(metadata, 'utf8')) as {
      measurements: unknown;
    };
    expect(measurements).toMatchObject(measurementsOf(first.manifest));
    rmSync(metadata);

    expect(await run(folder, '--metadata-file', metadata)).toEqual({ ...first, upToDate: true });
    expect(existsSync(metadata)).toBe(true);
    expect(await run(folder, '--force')).toEqual(first);

    writeFileSync(join(folder, 'motd'), 'another\n');
    await setTimeout(50);
    const changed = await run(folder);
    expect(changed.upToDate).toBe(false);
    expect(changed.manifest).not.toEqual(first.manifest);

    // What is changed from outside is made again.
    writeFileSync(join(sandbox.folder, 'cli', 'out', 'vm.json'), '{}');
    expect(await run(folder)).toEqual(changed);
    expect((await run(folder)).upToDate).toBe(true);
    rmSync(join(folder, 'motd'));
    writeFileSync(join(folder, 'motd'), 'another\n');
    expect((await run(folder)).upToDate).toBe(false);
  });
});

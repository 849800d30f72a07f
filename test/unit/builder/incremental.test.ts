/** Builds after a change: the same bytes as a clean build's, and nothing made that is there already. */

import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { buildImage, type BuildOptions } from '../../../src/builder/build.ts';
import { defaultCacheDirectory } from '../../../src/cache/store.ts';
import type { BuildEvent } from '../../../src/core/events.ts';
import { readRecipe } from '../../../src/recipe/parse.ts';
import { openSandbox, type Sandbox } from '../../support/cli.ts';
import { copyHello } from '../../support/recipes.ts';

let sandbox: Sandbox;
let folder: string;
beforeAll(async () => {
  sandbox = openSandbox();
  folder = copyHello(join(sandbox.folder, 'recipe'), [
    ['name: hello', 'name: incremental'],
    ['to: /system/etc/motd }', 'to: /system/etc/motd }\n      - { dir: tree }'],
    ['\npayload:\n', '\npayload:\n  assets: assets\n'],
    [
      '\npayload:\n',
      `
payloads:
  other:
    package: dev.microbuild.other
    versionCode: 2
    build: { command: [make], inputs: [Makefile, src], outputs: [build/libhello.so] }
    libraries: { x86_64: [build/libhello.so] }
    entry: libhello.so
    assets: other

payload:
`,
    ],
  ]);
  for (const place of PLACES) {
    for (let at = 0; at < 6; at += 1) put(place, `d${at % 2}/f${at}`, 700 * at ** 3 + 1, at);
  }
  await settle();
});
afterAll(() => sandbox.dispose());

const PLACES = ['tree', 'assets', 'other'] as const;
const DISKS = { assets: 'payload.img', other: 'payload-other.img' } as const;
/** Until what was changed is old enough to be remembered. */
const settle = (): Promise<void> => setTimeout(40);

function put(place: string, name: string, size: number, fill: number): void {
  const path = join(folder, place, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, Buffer.alloc(size, `${fill} `));
}

async function build(output: string, options: Partial<BuildOptions>): Promise<BuildEvent[]> {
  const events: BuildEvent[] = [];
  await buildImage({
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
  return events;
}
const incremental = (output = 'next', tool = 'test'): Promise<BuildEvent[]> =>
  build(output, { tool });
const inode = (name: string): number => statSync(join(sandbox.folder, 'next', name)).ino;
const cachedSteps = (events: readonly BuildEvent[]): string[] =>
  events
    .flatMap((event) => (event.kind === 'step-done' && event.cached ? [event.step] : []))
    .filter((step) => step !== 'kernel' && step !== 'fetch')
    .sort();

/** All bytes of a bundle in a folder. */
const bytesOf = (output: string): Record<string, Buffer> => {
  const at = join(sandbox.folder, output);
  const names = readdirSync(at, { recursive: true, withFileTypes: true }).filter((each) =>
    each.isFile(),
  );
  return Object.fromEntries(
    names
      .map((each) => join(each.parentPath, each.name))
      .sort()
      .map((path) => [path.slice(at.length), readFileSync(path)]),
  );
};
async function expectClean(output = 'next'): Promise<void> {
  await build('clean', { force: true });
  expectEqual(output);
}
function expectEqual(output: string): void {
  const [next, clean] = [bytesOf(output), bytesOf('clean')];
  expect(Object.keys(next)).toEqual(Object.keys(clean));
  for (const [name, bytes] of Object.entries(clean)) {
    expect(`${name} ${next[name]?.equals(bytes)}`).toBe(`${name} true`);
  }
}

const change = fc.record({
  place: fc.constantFrom(...PLACES),
  kind: fc.constantFrom('add', 'remove', 'rename', 'mode', 'edit', 'quiet', 'grow', 'touch'),
  at: fc.nat(),
  size: fc.nat({ max: 9000 }),
});
type Change = typeof change extends fc.Arbitrary<infer T> ? T : never;

function apply({ place, kind, at, size }: Change, fill: number): void {
  const root = join(folder, place);
  const files = readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((each) => each.isFile())
    .map((each) => join(each.parentPath, each.name))
    .sort();
  const path = files[at % files.length];
  if (kind === 'add' || path === undefined) {
    put(place, `d${at % 3}/n${at}`, size, fill);
    return;
  }
  const { mode, atime, mtime } = statSync(path);
  const edit = (): void => {
    const bytes = readFileSync(path);
    bytes.fill(fill, at % (bytes.length + 1));
    writeFileSync(path, bytes);
  };
  const kinds: Record<Exclude<Change['kind'], 'add'>, () => void> = {
    remove: () => rmSync(path),
    rename: () => renameSync(path, join(root, `moved${at}`)),
    mode: () => chmodSync(path, mode ^ 0o111),
    edit,
    // Neither size nor time say that it is another one.
    quiet() {
      edit();
      utimesSync(path, atime, mtime);
    },
    grow: () => appendFileSync(path, Buffer.alloc(size, fill)),
    touch: () => utimesSync(path, 1, fill),
  };
  kinds[kind]();
}

test('any series of changes gives the bytes of a clean build', { timeout: 300_000 }, async () => {
  expect.hasAssertions();
  await incremental();
  let fill = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(change, { maxLength: 3 }), async (changes) => {
      for (const each of changes) apply(each, (fill += 1));
      await settle();
      await incremental();
      await expectClean();
    }),
    { numRuns: 6 },
  );
});

test('a change makes its own part anew, and nothing else', { timeout: 120_000 }, async () => {
  const all = ['boot', 'payload', 'payload.other', 'system.image'];
  await incremental();
  await settle();
  expect(cachedSteps(await incremental())).toEqual(all);
  const system = inode('os.img');
  for (const place of ['assets', 'other'] as const) {
    const before = inode(DISKS[place === 'assets' ? 'other' : 'assets']);
    put(place, 'changed', 10, 1);
    await settle();
    const step = place === 'assets' ? 'payload' : 'payload.other';
    expect(cachedSteps(await incremental())).toEqual(all.filter((each) => each !== step));
    // Not even a copy was made of the other disks.
    expect(inode(DISKS[place === 'assets' ? 'other' : 'assets'])).toBe(before);
    expect(inode('os.img')).toBe(system);
  }
  await expectClean();
  put('tree', 'changed', 10, 1);
  await settle();
  expect(cachedSteps(await incremental())).toEqual(['payload', 'payload.other']);
});

test(
  'a disk in the old bundle that was tampered with is made anew',
  { timeout: 120_000 },
  async () => {
    await incremental();
    const disk = join(sandbox.folder, 'next', 'payload.img');
    const image = join(sandbox.folder, 'next', 'os.img');
    for (const path of [disk, image]) {
      const { atime, mtime } = statSync(path);
      const bytes = readFileSync(path);
      const at = bytes.length >> 1;
      bytes[at] = (bytes[at] ?? 0) ^ 1;
      writeFileSync(path, bytes);
      utimesSync(path, atime, mtime);
    }
    await settle();
    expect(cachedSteps(await incremental())).not.toContain('payload');
    await expectClean();
  },
);

test(
  'nothing signed is taken by other keys, by another tool, or where it is forbidden',
  { timeout: 120_000 },
  async () => {
    const disks = ['payload', 'payload.other'];
    let system = 0;
    const signed = (events: readonly BuildEvent[]): string[] => {
      const steps = cachedSteps(events).filter((step) => disks.includes(step));
      const before = system;
      system = inode('os.img');
      return system === before ? [...steps, 'os'] : steps;
    };
    await incremental();
    await settle();
    system = inode('os.img');
    expect(signed(await incremental('elsewhere'))).toEqual([...disks, 'os']);
    await expectClean('elsewhere');
    expect(signed(await incremental('next', 'another'))).toEqual([]);
    expect(signed(await build('next', {}))).toEqual([]);
    expect(signed(await build('next', { tool: 'test', force: true }))).toEqual([]);
    const keyFolder = join(sandbox.folder, 'other-keys');
    expect(signed(await build('next', { tool: 'test', keyFolder }))).toEqual([]);
    expect(signed(await build('next', { tool: 'test', keyFolder }))).toEqual([...disks, 'os']);
  },
);

test(
  'builds at once, of one output and of others, keep out of their ways',
  { timeout: 120_000 },
  async () => {
    await incremental();
    put('tree', 'at-once', 5000, 7);
    await settle();
    await Promise.all(['next', 'next', 'next', 'one', 'two'].map((output) => incremental(output)));
    await build('clean', { force: true });
    for (const output of ['next', 'one', 'two']) expectEqual(output);
    expect(readdirSync(sandbox.folder).filter((name) => name.startsWith('.'))).toEqual([]);
    // What they remembered of each other is right.
    await incremental();
    expectEqual('next');
  },
);

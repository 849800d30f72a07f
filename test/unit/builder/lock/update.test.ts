import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { allPinsOf, debsUsed } from '../../../../src/builder/lock.ts';
import { openFileDigests } from '../../../../src/builder/file-digests.ts';
import { checkLock } from '../../../../src/builder/lock/check.ts';
import { checkPins } from '../../../../src/builder/lock/tool-pins.ts';
import { updateLock } from '../../../../src/builder/lock/update.ts';
import { openCache } from '../../../../src/cache/store.ts';
import type { BuildEvent } from '../../../../src/core/events.ts';
import { formatLock, parseLock } from '../../../../src/recipe/lockfile.ts';
import { readRecipe } from '../../../../src/recipe/parse.ts';
import { registryContent, startRegistry } from '../../../support/loopback-registry.ts';
import { startServer } from '../../../support/loopback-server.ts';
import { copyHello } from '../../../support/recipes.ts';
import { tmpDir } from '../../../support/tmp-dir.ts';

const LAST = '- { deb: musl';

/** A copy of hello with further sources, whose packages and kernel are pinned. */
async function setUp(sources: readonly string[]) {
  const folder = copyHello(join(tmpDir(), 'recipe'));
  const file = join(folder, 'microbuild.yaml');
  const text = readFileSync(file, 'utf8');
  writeFileSync(
    file,
    text.replace(LAST, [...sources.map((each) => `- ${each}`), LAST].join('\n      ')),
  );
  const lockPath = join(folder, 'microbuild.lock');
  const lock = parseLock(readFileSync(lockPath, 'utf8'), lockPath);
  const kernel = lock.debs['linux-image-cloud-amd64'];
  if (kernel === undefined) throw new TypeError('hello pins no kernel');
  const facts = { release: '6.1.0', erofs: ['CONFIG_EROFS_FS'], sha256: kernel.sha256 };
  writeFileSync(lockPath, formatLock({ ...lock, kernel: facts }));
  const cache = await openCache(join(tmpDir(), 'cache'));
  // No repository is asked: what would be needed of apt is pinned.
  const env = { ...process.env, PATH: '/usr/bin:/bin', HOME: tmpDir() };
  const read = () => readRecipe(folder);
  return { folder, lockPath, cache, env, read, context: { cache, env } };
}

describe('updateLock()', () => {
  test('pins an address by what it holds, and says which line asks for it when that changes', async () => {
    let content = 'first';
    const server = await startServer((_, response) => {
      response.end(content);
    });
    const { read, context } = await setUp([`{ tar: "${server.url}/x.tar", to: /x }`]);
    const recipe = await read();
    const url = `${server.url}/x.tar`;
    const first = await updateLock(recipe, [], context);
    expect(first.changes.map(({ name, before, size }) => [name, before, size.after])).toEqual([
      [url, undefined, 5],
    ]);
    expect(await checkLock(recipe, first.lock)).toEqual([]);

    content = 'another one';
    const again = await updateLock(recipe, [], context);
    expect([again.changes, again.written]).toEqual([[], false]);
    const updated = await updateLock(recipe, [url], context);
    expect(updated.changes).toMatchObject([
      {
        section: 'archives',
        size: { before: 5, after: 11 },
        moved: false,
        askedBy: [{ file: 'microbuild.yaml', at: 'partitions.system.contents[1].tar' }],
      },
    ]);
  });

  test('a dry run tells the same and writes nothing', async () => {
    const { read, context, lockPath, folder } = await setUp(['{ tar: x.tar, to: /x }']);
    writeFileSync(join(folder, 'x.tar'), 'content');
    const before = readFileSync(lockPath, 'utf8');
    const { changes } = await updateLock(await read(), [], { ...context, dryRun: true });
    expect(changes.map(({ name }) => name)).toEqual(['x.tar']);
    expect(readFileSync(lockPath, 'utf8')).toBe(before);
  });

  test('pins the commit of a name, whatever git is configured with and says of its files', async () => {
    const { read, context, folder } = await setUp(['{ git: ./repo, ref: main, to: /x }']);
    const repo = join(folder, 'repo');
    const git = (...args: string[]) =>
      execFileSync('git', ['-c', 'user.name=x', '-c', 'user.email=x@example.org', ...args], {
        cwd: repo,
        encoding: 'utf8',
      }).trim();
    execFileSync('git', ['init', '-q', '-b', 'main', repo]);
    writeFileSync(join(repo, 'version'), '$Format:%H$\n');
    writeFileSync(join(repo, 'hidden'), 'x\n');
    writeFileSync(
      join(repo, '.gitattributes'),
      'version export-subst text eol=crlf\nhidden export-ignore\n',
    );
    git('add', '.');
    git('commit', '-q', '-m', 'one', '--date', '2024-01-01T00:00:00Z');
    const { lock } = await updateLock(await read(), [], context);
    const pinned = lock.git['./repo#main'];
    expect(pinned?.commit).toBe(git('rev-parse', 'HEAD'));
    const tar = await context.cache.find(pinned?.sha256 ?? '');
    const list = execFileSync('tar', ['tf', tar ?? ''], { encoding: 'utf8' })
      .trim()
      .split('\n');
    expect(list).toEqual(['.gitattributes', 'hidden', 'version']);
    const content = execFileSync('tar', ['xOf', tar ?? '', 'version'], { encoding: 'utf8' });
    expect(content).toBe('$Format:%H$\n');

    git('config', 'tar.umask', '0077');
    git('commit', '-q', '--allow-empty', '-m', 'two');
    const updated = await updateLock(await read(), ['./repo'], context);
    expect(updated.changes.map(({ name }) => name)).toEqual(['./repo#main']);
  });

  test('pins an image of a registry for the architecture of the guest', async () => {
    const content = registryContent();
    content.image('1', { 'linux/amd64': [Buffer.from('a')], 'linux/arm64': [Buffer.from('b')] });
    const { host } = await startRegistry(content);
    const { read, context } = await setUp([`{ oci: "${host}/team/base:1", to: /x }`]);
    const { lock } = await updateLock(await read(), [], context);
    expect(lock.oci[`${host}/team/base:1`]).toMatchObject({
      platform: 'linux/amd64',
      layers: [{ size: 1 }],
    });
  });

  test('what cannot be had is told at the line that asks for it', async () => {
    const server = await startServer((_, response) => {
      response.writeHead(404).end();
    });
    const { read, context } = await setUp([`{ tar: "${server.url}/x.tar", to: /x }`]);
    const recipe = await read();
    await expect(updateLock(recipe, [], context)).rejects.toThrow(
      /microbuild\.yaml:\d+:\d+: Cannot lock http.*x\.tar: it answers 404/,
    );
  });

  test('a name that nothing has is refused, with those that there are', async () => {
    const { read, context } = await setUp([]);
    await expect(updateLock(await read(), ['nonsense'], context)).rejects.toMatchObject({
      message: 'The recipe names nothing called nonsense',
      hint: expect.stringContaining('musl, kernel, tools') as string,
    });
  });

  test('tools are pinned when they are asked for, and then stay until they are asked for again', async () => {
    const { read, context } = await setUp([]);
    const recipe = await read();
    const tools = { microbuild: '1.0.0', guest: 'ab'.repeat(32) };
    const other = { ...tools, microbuild: '1.1.0' };
    expect((await updateLock(recipe, [], { ...context, tools })).lock.tools).toBeUndefined();
    expect((await updateLock(recipe, ['tools'], { ...context, tools })).lock.tools).toEqual(tools);
    expect((await updateLock(recipe, [], { ...context, tools: other })).lock.tools).toEqual(tools);
    expect((await updateLock(recipe, ['tools'], { ...context, tools: other })).lock.tools).toEqual(
      other,
    );
  });
});

describe('a recipe with profiles', () => {
  const PROFILES = `profiles:
  more: { partitions: { system: { contents+: [{ tar: more.tar, to: /more }] } } }
  other: { partitions: { system: { contents: [{ guest: runtime }, { zip: other.zip, to: /other }] } } }
  small: { when: { arch: aarch64 }, partitions: { system: { contents+: [{ tar: small.tar, to: /s }] } } }
  arm: { arch: aarch64, partitions: { system: { contents+: [{ deb: musl-dev }] } } }
`;
  async function profiled() {
    const made = await setUp([]);
    const file = join(made.folder, 'microbuild.yaml');
    writeFileSync(file, `${readFileSync(file, 'utf8')}\n${PROFILES}`);
    for (const name of ['more.tar', 'other.zip', 'small.tar']) {
      writeFileSync(join(made.folder, name), name);
    }
    const warnings: string[] = [];
    const report = (event: BuildEvent) =>
      void (event.kind === 'warning' && warnings.push(event.message));
    const context = { ...made.context, reporter: { report } };
    const choose = (...profiles: string[]) => readRecipe(made.folder, { profiles });
    return { ...made, context, choose, warnings };
  }

  test('has one lock for all of them, whichever is chosen when it is made', async () => {
    const { choose, context } = await profiled();
    const { lock } = await updateLock(await choose(), [], context);
    expect(Object.keys(lock.files).sort()).toEqual(['more.tar', 'other.zip', 'small.tar']);
    for (const names of [[], ['more'], ['other'], ['more', 'other']]) {
      const recipe = await choose(...names);
      expect(await checkLock(recipe, lock)).toEqual([]);
      expect((await updateLock(recipe, [], context)).changes).toEqual([]);
    }
  });

  test('takes of the lock what is chosen, and vendors all of it', async () => {
    const { choose, context } = await profiled();
    const { lock } = await updateLock(await choose(), [], context);
    const used = async (...names: string[]) => {
      const recipe = await choose(...names);
      return debsUsed(recipe, lock).map((deb) => deb.package.replace(/\d\S*/, ''));
    };
    expect(await used()).toEqual(['linux-image-', 'musl']);
    expect(await used('other')).toEqual(['linux-image-']);
    const all = allPinsOf(await choose('other'), lock).map(({ update }) => update.split(' ').pop());
    expect(all).toEqual(['linux-image-cloud-amd64', 'musl']);
  });

  test('says which profile it leaves out, for another architecture', async () => {
    const { choose, context, warnings } = await profiled();
    const { lock } = await updateLock(await choose(), [], context);
    expect(warnings).toEqual([
      'The packages of profile small, arm are not pinned: it is for aarch64, this lock for x86_64',
    ]);
    expect(lock.debs['musl-dev']).toBeUndefined();
  });

  test('tells a problem of a profile at its line', async () => {
    const { choose, context, folder } = await profiled();
    rmSync(join(folder, 'other.zip'));
    await expect(updateLock(await choose('more'), [], context)).rejects.toThrow(
      /microbuild\.yaml:\d+:\d+: Cannot lock other\.zip: there is no such file/,
    );
  });

  test('keeps what it says of one kernel, when another profile has another', async () => {
    const { choose, context, folder } = await profiled();
    const file = join(folder, 'microbuild.yaml');
    writeFileSync(
      file,
      `${readFileSync(file, 'utf8')}  own: { kernel: { source: { deb: null, file: vmlinux } } }\n`,
    );
    writeFileSync(join(folder, 'vmlinux'), 'no kernel at all');
    const { lock } = await updateLock(await choose('own'), [], context);
    expect(lock.kernel?.release).toBe('6.1.0');
    expect(await checkLock(await choose('own'), lock)).toEqual([]);
    await expect(updateLock(await choose('own'), ['kernel'], context)).rejects.toThrow(/vmlinux/);
  });
});

describe('what does not fit', () => {
  test('checkLock() names what is missing, left over or another', async () => {
    const { read, context, folder } = await setUp([
      '{ tar: x.tar, to: /x }',
      '{ deb: dash, dependencies: true }',
    ]);
    writeFileSync(join(folder, 'x.tar'), 'content');
    const recipe = await read();
    const empty = { ...(await updateLock(await read().then(withoutDash), [], context)).lock };
    writeFileSync(join(folder, 'x.tar'), 'changed');
    const problems = await checkLock(recipe, {
      ...empty,
      archives: { 'https://example.org/old.tar': { sha256: 'ab'.repeat(32), size: 1 } },
    });
    expect(problems.map(({ message }) => message)).toEqual([
      'dash is not pinned',
      'https://example.org/old.tar is pinned, but nothing asks for it',
      expect.stringMatching(/^x\.tar has the digest [0-9a-f]{64}, microbuild\.lock pins/),
    ]);
    expect(problems[0]?.askedBy).toMatchObject({ at: 'partitions.system.contents[2].deb' });
  });

  test('other tools and files are a warning, and an error for a locked build', async () => {
    const { read, folder, context } = await setUp(['{ tar: x.tar, to: /x }']);
    writeFileSync(join(folder, 'x.tar'), 'content');
    const recipe = await read();
    const tools = { microbuild: '1.0.0', guest: 'ab'.repeat(32) };
    const { lock } = await updateLock(recipe, ['tools'], { ...context, tools });
    writeFileSync(join(folder, 'x.tar'), 'changed');
    const events: BuildEvent[] = [];
    const check = {
      files: openFileDigests(join(folder, 'cache')),
      reporter: { report: (event: BuildEvent) => void events.push(event) },
      tools: () => Promise.resolve({ ...tools, guest: 'cd'.repeat(32) }),
    };
    await checkPins(recipe, lock, { ...check, locked: false });
    expect(events.map((event) => event.kind === 'warning' && event.message.slice(0, 30))).toEqual([
      'microbuild.lock pins the guest',
      expect.stringContaining('x.tar has the digest'),
    ]);
    await expect(checkPins(recipe, lock, { ...check, locked: true })).rejects.toMatchObject({
      code: 'lock',
      hint: expect.stringContaining('--update tools x.tar') as string,
    });
    await expect(
      checkPins(
        recipe,
        { ...lock, files: {} },
        { ...check, tools: () => Promise.resolve(tools), locked: true },
      ),
    ).rejects.toThrow('x.tar is not pinned');
  });
});

/** The recipe without the source that would need an index. */
async function withoutDash({ directory }: { directory: string }) {
  const file = join(directory, 'microbuild.yaml');
  const text = readFileSync(file, 'utf8');
  writeFileSync(file, text.replace(/ *- \{ deb: dash.*\n/, ''));
  try {
    return await readRecipe(directory);
  } finally {
    writeFileSync(file, text);
  }
}

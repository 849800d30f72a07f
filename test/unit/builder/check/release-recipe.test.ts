/** The recipe in a build record of somebody else: put together again where it can do no harm. */

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { releaseRecipe, type ReleaseRecipe } from '../../../../src/builder/check/release-recipe.ts';
import { openFileDigests } from '../../../../src/builder/file-digests.ts';
import { digestInputs } from '../../../../src/builder/input-digests.ts';
import { formatRecipePath } from '../../../../src/builder/recipe-path.ts';
import { recipeInputs } from '../../../../src/builder/recipe-inputs.ts';
import type { BuildRecord } from '../../../../src/bundle/build-record.ts';
import { openCache, type Cache } from '../../../../src/cache/store.ts';
import { MicrobuildError } from '../../../../src/core/errors.ts';
import { emptyLock } from '../../../../src/recipe/lockfile.ts';
import { readRecipe, type Recipe } from '../../../../src/recipe/parse.ts';
import { tmpDir } from '../../../support/tmp-dir.ts';

const RECIPE = (contents: string, command = ''): string => `apiVersion: microbuild/v1
name: tiny
arch: x86_64
kernel: { source: { file: vmlinux } }
partitions:
  system:
    contents:
      ${contents}
payload:
  package: dev.microbuild.tiny
  versionCode: 1
  libraries: { x86_64: [libtiny.so] }
  entry: libtiny.so
${command}`;

let cache: Cache;
let mine: string;

beforeEach(async () => {
  cache = await openCache(join(tmpDir(), 'cache'));
  mine = source(RECIPE('- { file: motd, to: /etc/motd }'));
});

/** A folder with a recipe and files, some of which are nobody else's business. */
function source(text: string): string {
  const folder = join(tmpDir(), 'source');
  mkdirSync(join(folder, 'keys'), { recursive: true });
  writeFileSync(join(folder, 'microbuild.yaml'), text);
  writeFileSync(join(folder, 'vmlinux'), 'kernel');
  writeFileSync(join(folder, 'libtiny.so'), 'library');
  writeFileSync(join(folder, 'motd'), 'hello\n');
  writeFileSync(join(folder, 'keys', 'release.pem'), 'my secret');
  return folder;
}

/** What a build of it would record. */
async function recordOf(folder: string): Promise<BuildRecord> {
  const recipe = await readRecipe(folder);
  const digests = await digestInputs(recipe, emptyLock, {
    files: openFileDigests(cache.directory),
  });
  return {
    recipe: {
      files: recipe.files,
      profiles: recipe.profiles,
      vars: recipe.vars,
      data: JSON.parse(JSON.stringify(recipe.data)) as unknown,
    },
    lock: null,
    inputs: recipeInputs(recipe, emptyLock).map(({ at, kind, name }) => {
      const digest = digests.get(formatRecipePath(at));
      return {
        at: formatRecipePath(at),
        kind,
        name,
        file: 'microbuild.yaml',
        line: 1,
        ...(digest && { digest }),
      };
    }),
  } as unknown as BuildRecord;
}

const withFiles = (
  record: BuildRecord,
  files: readonly (readonly [string, string])[],
): BuildRecord => ({
  ...record,
  recipe: {
    ...record.recipe,
    files: files.map(([path, text]) => ({
      path,
      text,
      sha256: createHash('sha256').update(text).digest('hex'),
    })),
  },
});

async function build(
  record: BuildRecord,
  own: Recipe | undefined,
  runBuildCommands = false,
): Promise<ReleaseRecipe & { readonly folder: string }> {
  const folder = join(tmpDir(), 'work');
  mkdirSync(folder);
  return { folder, ...(await releaseRecipe({ record, folder, own, cache, runBuildCommands })) };
}

test('it is what the release was built from, in a folder of its own', async () => {
  const own = await readRecipe(mine);
  const { recipe, different, folder } = await build(await recordOf(mine), own);
  expect(different).toEqual([]);
  expect(recipe.data).toEqual(own.data);
  expect(recipe.directory.startsWith(folder)).toBe(true);
  expect(readFileSync(join(recipe.directory, 'motd'), 'utf8')).toBe('hello\n');
  expect(existsSync(join(recipe.directory, 'keys'))).toBe(false);
});

test('a base above the recipe is above it here, too', async () => {
  const folder = join(dirname(mine), 'own');
  mkdirSync(folder);
  writeFileSync(
    join(folder, 'microbuild.yaml'),
    'apiVersion: microbuild/v1\nextends: ../source/microbuild.yaml\nname: other\n',
  );
  writeFileSync(join(folder, 'libtiny.so'), 'library');
  const { recipe, different } = await build(await recordOf(folder), await readRecipe(folder));
  expect([recipe.data.name, different]).toEqual(['other', []]);
});

test('a file that is another here is told with both digests, and the user’s is taken', async () => {
  const record = await recordOf(mine);
  writeFileSync(join(mine, 'motd'), 'another\n');
  const { recipe, different } = await build(record, await readRecipe(mine));
  expect(different).toMatchObject([{ at: 'partitions.system.contents[0]', name: 'motd' }]);
  expect(different[0]?.here).not.toBe(different[0]?.released);
  expect(readFileSync(join(recipe.directory, 'motd'), 'utf8')).toBe('another\n');
});

describe('a hostile record gets nothing', () => {
  test.each([
    [
      'names a file of the user that their recipe does not',
      '- { file: keys/release.pem, to: /etc/motd }',
    ],
    ['names a folder of it', '- { dir: keys, to: /etc }'],
  ])('that %s', async (_, contents) => {
    const theirs = source(RECIPE(contents));
    writeFileSync(join(theirs, 'keys', 'release.pem'), 'their bait');
    const failed = build(await recordOf(theirs), await readRecipe(mine));
    await expect(failed).rejects.toMatchObject({
      code: 'input',
      message: expect.stringMatching(/not here: keys/),
    });
  });

  test('and neither when it does not say which digest it had', async () => {
    const record = await recordOf(source(RECIPE('- { file: keys/release.pem, to: /etc/motd }')));
    const inputs = record.inputs.map(({ digest: _digest, ...input }) => input);
    const failed = build({ ...record, inputs }, await readRecipe(mine));
    await expect(failed).rejects.toMatchObject({ code: 'input' });
  });

  test('a file that is known to them already is no secret', async () => {
    const record = await recordOf(source(RECIPE('- { file: keys/release.pem, to: /etc/motd }')));
    const { different } = await build(record, await readRecipe(mine));
    expect(different).toEqual([]);
  });

  test.each([
    ['an absolute path', '/etc/cron.d/evil'],
    ['a path of another depth than there is', `${'../'.repeat(20)}evil`],
    ['a folder', 'folder/'],
    ['the folder itself', '.'],
    ['a NUL', 'a\0b'],
    ['the recipe again', 'microbuild.yaml'],
    ['the recipe by another way', 'x/../microbuild.yaml'],
    ['a file below the recipe', 'microbuild.yaml/x'],
  ])('that has %s', async (_, path) => {
    const record = await recordOf(mine);
    const [first] = record.recipe.files;
    const files = [
      [first?.path ?? '', first?.text ?? ''],
      [path, 'evil'],
    ] as const;
    await expect(build(withFiles(record, files), await readRecipe(mine))).rejects.toMatchObject({
      format: 'build-record',
    });
  });

  test('whose recipe is not what it says', async () => {
    const record = await recordOf(mine);
    const data = { ...(record.recipe.data as object), name: 'another' };
    const failed = build({ ...record, recipe: { ...record.recipe, data } }, await readRecipe(mine));
    await expect(failed).rejects.toMatchObject({ format: 'build-record', field: 'recipe.data' });
  });

  test('whose text is not what its digest says', async () => {
    const record = await recordOf(mine);
    const files = record.recipe.files.map((file) => ({ ...file, sha256: '0'.repeat(64) }));
    const failed = build(
      { ...record, recipe: { ...record.recipe, files } },
      await readRecipe(mine),
    );
    await expect(failed).rejects.toMatchObject({ format: 'build-record' });
  });

  test('that leads behind a link of the user’s: nothing there is changed or removed', async () => {
    const elsewhere = tmpDir();
    writeFileSync(join(elsewhere, 'diary'), 'dear diary');
    const theirs = source(
      RECIPE('- { dir: tree, to: /a }\n      - { file: tree/link/diary, to: /b }'),
    );
    mkdirSync(join(theirs, 'tree', 'link'), { recursive: true });
    writeFileSync(join(theirs, 'tree', 'link', 'diary'), 'bait');
    mkdirSync(join(mine, 'tree'));
    symlinkSync(elsewhere, join(mine, 'tree', 'link'));
    await expect(build(await recordOf(theirs), await readRecipe(mine))).rejects.toMatchObject({
      format: 'build-record',
      field: 'recipe.data',
    });
    expect(readFileSync(join(elsewhere, 'diary'), 'utf8')).toBe('dear diary');
  });

  test('that names a pipe in the user’s folder: it is not waited for', async () => {
    const theirs = source(RECIPE('- { file: pipe, to: /etc/motd }'));
    writeFileSync(join(theirs, 'pipe'), 'bait');
    execFileSync('mkfifo', [join(mine, 'pipe')]);
    const failed = build(await recordOf(theirs), await readRecipe(mine));
    await expect(failed).rejects.toMatchObject({ code: 'input' });
  });

  test('whatever its paths are: nothing is written outside of the folder', async () => {
    const record = await recordOf(mine);
    const [first] = record.recipe.files;
    const own = await readRecipe(mine);
    const part = fc.constantFrom(
      '..',
      '.',
      'a',
      'b',
      '',
      'microbuild.yaml',
      '/',
      '~',
      '\\',
      'c\nd',
    );
    await fc.assert(
      fc.asyncProperty(fc.array(part, { minLength: 1, maxLength: 5 }), async (parts) => {
        const top = tmpDir();
        const folder = join(top, 'a', 'b', 'work');
        mkdirSync(folder, { recursive: true });
        const files = [
          [first?.path ?? '', first?.text ?? ''],
          [parts.join('/'), 'evil'],
        ] as const;
        const options = {
          record: withFiles(record, files),
          folder,
          own,
          cache,
          runBuildCommands: false,
        };
        const failed = await releaseRecipe(options).then(
          () => undefined,
          (error: unknown) => error,
        );
        expect(failed === undefined || failed instanceof MicrobuildError).toBe(true);
        expect(readdirSync(top)).toEqual(['a']);
        expect(readdirSync(join(top, 'a'))).toEqual(['b']);
        expect(readdirSync(join(top, 'a', 'b'))).toEqual(['work']);
      }),
      { numRuns: 60 },
    );
  });
});

describe('a build command', () => {
  const BUILD = '  build: { command: [make, all], inputs: [motd], outputs: [libtiny.so] }\n';

  test('of somebody else does not run unless the user says so', async () => {
    const record = await recordOf(source(RECIPE('- { file: motd, to: /etc/motd }', BUILD)));
    const own = await readRecipe(mine);
    await expect(build(record, own)).rejects.toMatchObject({
      code: 'usage',
      message: expect.stringContaining('make all'),
    });
    await expect(build(record, undefined)).rejects.toMatchObject({ code: 'usage' });
    expect((await build(record, own, true)).different).toEqual([]);
  });

  test('that the user’s recipe has, too, may run', async () => {
    const theirs = source(RECIPE('- { file: motd, to: /etc/motd }', BUILD));
    const { different } = await build(await recordOf(theirs), await readRecipe(theirs));
    expect(different).toEqual([]);
  });
});

import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { watchedPaths } from '../../../src/builder/watched-paths.ts';
import { emptyLock } from '../../../src/recipe/lockfile.ts';
import { readRecipe } from '../../../src/recipe/parse.ts';
import { copyHello } from '../../support/recipes.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

test('what links in the inputs of a build command lead to is watched, though they lead in circles', async () => {
  const outside = tmpDir();
  mkdirSync(join(outside, 'deep'));
  writeFileSync(join(outside, 'deep', 'shared.h'), '');
  symlinkSync('..', join(outside, 'deep', 'up'));
  const folder = copyHello(tmpDir(), []);
  symlinkSync(outside, join(folder, 'src', 'link'));
  symlinkSync('nowhere', join(folder, 'src', 'broken'));
  const recipe = await readRecipe(folder);
  const watched = await watchedPaths({
    recipe,
    lock: emptyLock,
    guest: {
      arch: 'x86_64',
      runtime: 'musl',
      init: '/g/init',
      launcher: '/g/launcher',
      vmPayload: '/g/libvm_payload.so',
      libraryFolder: '/g',
      includeFolder: '/g/include',
      crateList: '/g/crates.json',
    },
    keys: [],
    packageRoot: '/p',
    env: { PATH: '' },
  });
  expect(watched).toEqual(
    expect.arrayContaining([
      join(folder, 'src', 'hello.c'),
      join(folder, 'src', 'broken'),
      join(outside, 'deep', 'shared.h'),
    ]),
  );
  expect(new Set(watched).size).toBe(watched?.length);
});

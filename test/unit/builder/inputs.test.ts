import { chmodSync, cpSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { checkInputs } from '../../../src/builder/inputs.ts';
import { RecipeError, type Diagnostic } from '../../../src/core/errors.ts';
import { readRecipe } from '../../../src/recipe/parse.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

/** A copy of hello, its recipe changed. */
function copyOfHello(from = '', to = ''): string {
  const folder = join(tmpDir(), 'hello');
  cpSync('recipes/hello', folder, { recursive: true });
  const recipe = join(folder, 'microbuild.yaml');
  writeFileSync(recipe, readFileSync(recipe, 'utf8').replace(from, to));
  return folder;
}

async function problems(folder: string): Promise<readonly Diagnostic[]> {
  const recipe = await readRecipe(folder);
  try {
    await checkInputs(recipe);
  } catch (error) {
    if (error instanceof RecipeError) return error.diagnostics;
    throw error;
  }
  return [];
}

describe('checkInputs()', () => {
  test('accepts hello', async () => {
    expect(await problems(copyOfHello())).toEqual([]);
  });

  test('asks for libraries that the guest can run', async () => {
    const [problem, ...rest] = await problems(copyOfHello('arch: x86_64', 'arch: aarch64'));
    expect(rest).toEqual([]);
    expect(problem?.message).toBe('The entry library "libhello.so" is not among payload.libraries');
    expect(problem?.hint).toBe('List it under payload.libraries.arm64-v8a: the guest is aarch64');
  });

  test('names a missing file at its line', async () => {
    const folder = copyOfHello();
    rmSync(join(folder, 'motd'));
    const [problem, ...rest] = await problems(folder);
    expect(rest).toEqual([]);
    expect(problem?.message).toBe('"motd" does not exist');
    expect(problem?.source?.slice(problem.column - 1)).toMatch(/^motd/);
  });

  test.each(['../outside', 'a/../../outside'])(
    'refuses the path %s outside the recipe',
    async (path) => {
      const folder = copyOfHello('file: motd', `file: ${path}`);
      writeFileSync(join(folder, '..', 'outside'), 'x');
      expect((await problems(folder))[0]?.message).toContain('outside the folder of the recipe');
    },
  );

  test('refuses a symbolic link that leads outside', async () => {
    const folder = copyOfHello();
    rmSync(join(folder, 'motd'));
    symlinkSync('/etc/hostname', join(folder, 'motd'));
    expect((await problems(folder))[0]?.message).toContain('leads outside');
  });

  test.skipIf(process.getuid?.() === 0)('names a file that cannot be read', async () => {
    const folder = copyOfHello();
    chmodSync(join(folder, 'motd'), 0);
    expect((await problems(folder))[0]?.message).toContain('permission denied');
  });

  test('refuses a folder where a file is wanted', async () => {
    const folder = copyOfHello('file: motd', 'file: src');
    expect((await problems(folder))[0]?.message).toContain('not a regular file');
  });

  test('refuses an entry library that the payload does not have', async () => {
    const folder = copyOfHello('entry: libhello.so', 'entry: libother.so');
    const [problem] = await problems(folder);
    expect(problem?.message).toContain('libother.so');
    expect(problem?.hint).toContain('libhello.so');
  });
});

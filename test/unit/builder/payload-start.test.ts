import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { builtPayload, payloadsOf, type RecipePayload } from '../../../src/builder/payloads.ts';
import { planStart, type PlannedStart } from '../../../src/builder/steps/payload-start.ts';
import { RecipeError } from '../../../src/core/errors.ts';
import { readRecipe, type Recipe } from '../../../src/recipe/parse.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

/** Hello with other words for what is run. */
async function recipeWith(payload: string): Promise<Recipe> {
  const folder = join(tmpDir(), 'hello');
  cpSync('recipes/hello', folder, { recursive: true });
  const file = join(folder, 'microbuild.yaml');
  writeFileSync(file, readFileSync(file, 'utf8').replace('  entry: libhello.so', payload));
  writeFileSync(
    join(folder, 'vm.json'),
    '{"task":{"type":"microdroid_launcher","command":"libhello.so"}}',
  );
  return readRecipe(folder);
}

const planFor = (recipe: Recipe): Promise<PlannedStart> =>
  planStart(recipe, builtPayload(recipe, payloadsOf(recipe)[0] as RecipePayload, undefined));

const configText = async (payload: string): Promise<unknown> => {
  const { config } = await planFor(await recipeWith(payload));
  return JSON.parse(Buffer.from(config ?? []).toString());
};

describe('planStart()', () => {
  test('starts a library by its name, with the number of extra APKs', async () => {
    const recipe = await recipeWith('  entry: libhello.so\n  extraApks: [{ apk: a.apk }]');
    expect(await planFor(recipe)).toEqual({
      start: { kind: 'config', payloadBinaryName: 'libhello.so', extraApkCount: 1 },
      command: 'libhello.so',
      config: undefined,
    });
  });

  test('takes a configuration file as it is', async () => {
    const recipe = await recipeWith('  config: vm.json');
    const { start, command, config } = await planFor(recipe);
    expect(start).toEqual({ kind: 'config-path', path: '/mnt/apk/assets/vm_config.json' });
    expect(command).toBe('libhello.so');
    expect(Buffer.from(config ?? [])).toEqual(readFileSync(join(recipe.directory, 'vm.json')));
  });

  test('writes a configuration of the recipe, and names extra APKs in it', async () => {
    const task = { type: 'microdroid_launcher', command: 'libhello.so' };
    const config = '  config: { task: { type: microdroid_launcher, command: libhello.so } }';
    expect(await configText(config)).toEqual({ task });
    expect(await configText(`${config}\n  extraApks: [{ apk: sub/a.apk }]`)).toEqual({
      extra_apks: [{ path: 'a.apk' }],
      task,
    });
  });

  test.each([
    ['{ task: { type: microdroid_launcher, command: libother.so } }', 'libother.so'],
    ['{ task: { command: tool } }', 'absolute path'],
    ['{ task: { command: /mnt/apk/bin/tool }, extra_apks: [{ path: a }] }', '1 extra APKs'],
  ])('refuses at its place what the guest would refuse: %s', async (config, text) => {
    const recipe = await recipeWith(`  config: ${config}`);
    const refused = planFor(recipe);
    await expect(refused).rejects.toThrow(RecipeError);
    const problem = await refused.catch((error: unknown) => (error as RecipeError).diagnostics[0]);
    expect(problem).toMatchObject({ message: expect.stringContaining(text) as string });
  });
});

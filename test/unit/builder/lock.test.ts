import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { requireLock } from '../../../src/builder/lock.ts';
import { wantsOf } from '../../../src/builder/lock/wants.ts';
import { readRecipe } from '../../../src/recipe/parse.ts';
import { copyHello, ON_AARCH64, type Edits } from '../../support/recipes.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

const recipeWith = (edits: Edits) => readRecipe(copyHello(join(tmpDir(), 'hello'), edits));

describe('wantsOf()', () => {
  test.each([
    ['x86_64', 'linux-image-cloud-amd64'],
    ['aarch64', 'linux-image-cloud-arm64'],
  ])('a recipe for %s that names no kernel has %s', async (arch, kernel) => {
    const recipe = await recipeWith([
      ['arch: x86_64', `arch: ${arch}`],
      ['  source: { deb: linux-image-cloud-amd64 }\n', ''],
    ]);
    expect(wantsOf(recipe)).toContainEqual(
      expect.objectContaining({ section: 'debs', name: kernel, follow: 'kernel' }),
    );
  });
});

describe('requireLock()', () => {
  test('takes pins for the architecture of the recipe', async () => {
    const lock = await requireLock(await recipeWith([]));
    expect(lock.debs['musl']?.architecture).toBe('amd64');
  });

  test('a package that is pinned for another architecture is not pinned', async () => {
    await expect(requireLock(await recipeWith(ON_AARCH64))).rejects.toThrow(
      'linux-image-cloud-arm64 is not pinned; musl is pinned for amd64, not for arm64',
    );
  });
});

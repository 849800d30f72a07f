import { expect, test } from 'vitest';
import { RecipeError } from '../../../../src/core/errors.ts';
import { checkKernelMounts } from '../../../../src/builder/steps/kernel-mounts.ts';
import { parseRecipe } from '../../../../src/recipe/parse.ts';

const recipe = parseRecipe(
  Buffer.from(`apiVersion: microbuild/v1
name: mounts
partitions:
  system: { filesystem: { compression: lz4 }, contents: [{ guest: runtime }] }
  vendor: { filesystem: { compression: zstd }, contents: [{ inline: x, to: /x }] }
  more: { filesystem: { compression: deflate }, contents: [{ inline: x, to: /x }] }
payload: { package: a.b, versionCode: 1, config: { task: { command: /bin/x } } }
`),
  '/r/microbuild.yaml',
);

function told(release: string, erofs?: readonly string[]): string[] {
  try {
    checkKernelMounts(recipe, { release, erofs });
    return [];
  } catch (error) {
    if (!(error instanceof RecipeError)) throw error;
    return error.diagnostics.map(({ line, column }) => `${line}:${column}`);
  }
}

test('each partition that a kernel does not mount is told, and no other', () => {
  expect(told('6.1.0-18-cloud-amd64')).toEqual(['5:40', '6:38']);
  expect(told('6.6.0')).toEqual(['5:40']);
  expect(told('6.10.0')).toEqual([]);
});

test('options that a kernel is built without are told; what is not known is not', () => {
  const all = ['', '_ZIP', '_ZIP_DEFLATE', '_ZIP_ZSTD'].map((each) => `CONFIG_EROFS_FS${each}`);
  expect(told('6.12.0', all)).toEqual([]);
  expect(told('6.12.0', all.slice(0, 3))).toEqual(['5:40']);
  expect(told('6.12.0', [])).toEqual(['4:40', '5:40', '6:38']);
  expect(told('no version')).toEqual([]);
});

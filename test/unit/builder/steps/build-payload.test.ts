import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { checkedRecipe } from '../../../../src/builder/checks/check.ts';
import { builtPayload, payloadsOf } from '../../../../src/builder/payloads.ts';
import { buildPayload } from '../../../../src/builder/steps/build-payload.ts';
import { readRecipe, type Recipe } from '../../../../src/recipe/parse.ts';
import { tmpDir } from '../../../support/tmp-dir.ts';

const BASE = `apiVersion: microbuild/v1
name: base
partitions: { system: { contents: [{ guest: runtime }] } }
payload:
  package: dev.example.base
  versionCode: 1
  build:
    command: [sh, -c, 'cat src/a src/b > out/made; ls . ..']
    inputs: [src, out/keep]
    outputs: [out/made]
  files: [{ file: out/made, to: made }, { file: src/a, to: a }]
  config: { task: { command: /mnt/apk/made } }
`;

function written(files: Readonly<Record<string, string>>): string {
  const folder = tmpDir();
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  return folder;
}

const FILES = {
  'base/microbuild.yaml': BASE,
  'base/src/a': 'a',
  'base/src/b': 'b',
  'base/out/keep': '',
};

async function build(recipe: Recipe) {
  const [payload] = payloadsOf(recipe);
  if (payload === undefined) throw new Error('there is a payload');
  const folder = tmpDir();
  await buildPayload(recipe, payload, folder, {
    env: process.env,
    sourceDate: 0,
    arch: 'x86_64',
    runtime: 'musl',
    toolFolder: '/',
    includeFolder: '/',
    libraryFolder: '/',
  });
  return { folder, payload: builtPayload(recipe, payload, folder) };
}

test('the build of a base runs in a copy of the folder of the base, wherever that is', async () => {
  const folder = written({
    ...FILES,
    'own/deep/microbuild.yaml': 'extends: ../../base/microbuild.yaml\nname: own\n',
  });
  const { recipe } = await checkedRecipe(join(folder, 'own/deep'));
  const built = await build(recipe);
  const [made = '', source = ''] = built.payload.data.files.map(({ file }) =>
    built.payload.place(file),
  );
  expect(readFileSync(made, 'utf8')).toBe('ab');
  expect(made).toBe(join(built.folder, 'out/made'));
  expect(source).toBe(join(folder, 'base/src/a'));
});

test('a build whose command is another file’s than what it reads is told, and not run', async () => {
  const folder = written({
    ...FILES,
    'own/microbuild.yaml':
      'extends: ../base/microbuild.yaml\nname: own\npayload: { build: { command: [make] } }\n',
  });
  await expect(checkedRecipe(join(folder, 'own'))).rejects.toThrow(
    /"\.\.\/base\/src" is not below the folder of microbuild\.yaml/,
  );
});

test('an output that was not made is told at its line', async () => {
  const folder = written({
    'microbuild.yaml': BASE.replace('outputs: [out/made]', 'outputs: [out/made, ./out/gone]'),
    'src/a': 'a',
    'src/b': 'b',
    'out/keep': '',
  });
  const error: unknown = await build(await readRecipe(folder)).catch((thrown: unknown) => thrown);
  expect(String(error)).toMatch(
    /microbuild\.yaml:10:25: The build command did not make "(?:\.\/)?out\/gone"/,
  );
  // What was given to it is not what it made.
  expect(error).toMatchObject({ diagnostics: [{ hint: 'It made out/made' }] });
});

/** Recipes that stand on others: what comes out, and where each value was written. */

import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { RecipeError, UsageError } from '../../../src/core/errors.ts';
import { describeRecipe } from '../../../src/recipe/describe.ts';
import {
  parseRecipe,
  readDraft,
  readRecipe,
  type Recipe,
  type RecipeChoices,
} from '../../../src/recipe/parse.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

const BASE = `apiVersion: microbuild/v1
name: base
vars: { version: '1.2' }
partitions:
  system:
    contents:
      - { guest: runtime }
      - { file: motd, to: /system/etc/motd }
payload: { package: dev.example.base, versionCode: 1, entry: libx.so }
vm: { cpus: 2, rpcPort: 7 }
`;

/** Writes files, and answers their folder. */
function written(files: Readonly<Record<string, string>>): string {
  const folder = tmpDir();
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  return folder;
}

const read = (files: Readonly<Record<string, string>>, choices?: RecipeChoices): Promise<Recipe> =>
  readRecipe(join(written(files), 'app/microbuild.yaml'), choices);

/** The messages with their lines, as `file:line message`. */
async function problems(
  files: Readonly<Record<string, string>>,
  choices?: RecipeChoices,
): Promise<string[]> {
  const folder = written(files);
  const draft = await readDraft(join(folder, 'app/microbuild.yaml'), choices);
  return [...draft.problems, ...draft.warnings].map(
    ({ file, line, message }) => `${file.slice(folder.length + 1)}:${line} ${message}`,
  );
}

describe('extends and include', () => {
  test('own values lie on fragments, and those on bases; mappings merge, others replace', async () => {
    const { data, files } = await read({
      'base/microbuild.yaml': BASE,
      'app/parts/one.yaml': 'vm: { cpus: 3, memory: 512MiB }\nname: one\n',
      'app/parts/two.yaml': 'vm: { memory: 1GiB }\n',
      'app/microbuild.yaml':
        'name: app\nextends: ../base\ninclude: [parts/one.yaml, parts/two.yaml]\n',
    });
    expect(data.name).toBe('app');
    expect(data.vm).toMatchObject({ cpus: 3, memory: 1024, rpcPort: 7 });
    expect(files.map(({ path }) => path)).toEqual([
      'microbuild.yaml',
      '../base/microbuild.yaml',
      'parts/one.yaml',
      'parts/two.yaml',
    ]);
    expect(files[2]?.text).toContain('512MiB');
  });

  test('"key+" appends, null removes, and a mapping after null starts anew', async () => {
    const { data } = await read({
      'base/microbuild.yaml': BASE,
      'app/microbuild.yaml': `extends: ../base
partitions:
  system:
    contents+: [{ folder: /x }]
vm: { rpcPort: null }
`,
    });
    expect(data.partitions.system.contents.map((each) => Object.keys(each)[0])).toEqual([
      'guest',
      'file',
      'folder',
    ]);
    expect(data.vm.rpcPort).toBeUndefined();
  });

  test('paths are relative to the file that writes them, and so are positions', async () => {
    const recipe = await read({
      'base/microbuild.yaml': BASE,
      'app/microbuild.yaml': `extends: ../base
partitions:
  system:
    contents+:
      - { file: motd, to: /x }
      - { deb: ./a.deb }
payload: { assets: assets }
`,
    });
    const at = ['partitions', 'system', 'contents'];
    expect(recipe.data.partitions.system.contents).toMatchObject([
      {},
      { file: '../base/motd' },
      { file: 'motd' },
      { deb: './a.deb' },
    ]);
    expect(recipe.positionOf([...at, 1, 'file'])).toEqual({
      file: '../base/microbuild.yaml',
      line: 8,
      column: 17,
    });
    expect(recipe.positionOf([...at, 3, 'deb'])).toMatchObject({
      file: 'microbuild.yaml',
      line: 6,
    });
    expect(recipe.folderOf([...at, 1, 'file'])).toBe(join(recipe.directory, '../base'));
    expect(recipe.folderOf(['payload', 'assets'])).toBe(recipe.directory);
  });

  test.each([
    ['itself', { 'app/microbuild.yaml': 'extends: .\n' }, 'stands on itself'],
    [
      'a cycle',
      { 'app/microbuild.yaml': 'extends: a.yaml\n', 'app/a.yaml': 'include: microbuild.yaml\n' },
      'app/a.yaml:1 The recipe stands on itself: microbuild.yaml -> a.yaml -> microbuild.yaml',
    ],
    ['a missing file', { 'app/microbuild.yaml': 'extends: ../no\n' }, '"../no" does not exist'],
    ['an absolute path', { 'app/microbuild.yaml': 'extends: /etc/passwd\n' }, 'is not valid'],
    ['an address', { 'app/microbuild.yaml': 'extends: https://example.org/a\n' }, 'is not valid'],
    ['a variable', { 'app/microbuild.yaml': 'extends: "${x}"\n' }, 'is not valid'],
    [
      'appending to one value',
      { 'app/microbuild.yaml': 'extends: a.yaml\nname+: [x]\n', 'app/a.yaml': 'name: b\n' },
      '"name+" appends to a list, but "name" is one value (a.yaml:1)',
    ],
    ['removing nothing', { 'app/microbuild.yaml': 'vm:\n' }, 'nothing that this could remove'],
    [
      'a broken base',
      { 'app/microbuild.yaml': 'extends: a.yaml\n', 'app/a.yaml': 'x: [' },
      'a.yaml',
    ],
  ])('refuses %s at its place', async (_, files, message) => {
    expect((await problems(files)).join('\n')).toContain(message);
  });

  test('a symbolic link may not lead out of the folder that the path starts from', async () => {
    const folder = written({
      'base/microbuild.yaml': BASE,
      'app/microbuild.yaml': 'include: link.yaml\n',
    });
    symlinkSync(join(folder, 'base/microbuild.yaml'), join(folder, 'app/link.yaml'));
    const { problems: found } = await readDraft(join(folder, 'app'));
    expect(found[0]?.message).toContain('leads outside');
    symlinkSync('microbuild.yaml', join(folder, 'base/link.yaml'));
    writeFileSync(join(folder, 'app/microbuild.yaml'), 'extends: ../base/link.yaml\n');
    expect((await readDraft(join(folder, 'app'))).problems).toEqual([]);
  });

  test('what doubles itself without end is bounded in time and size', async () => {
    const files: Record<string, string> = { 'app/l0.yaml': 'payload: { interfaces: [a, b] }\n' };
    for (let level = 1; level <= 60; level += 1) {
      const below = `l${level - 1}.yaml`;
      files[`app/l${level}.yaml`] =
        `include: [${below}, ${below}]\npayload: { interfaces+: [x] }\n`;
    }
    files['app/microbuild.yaml'] = 'include: [l60.yaml, l60.yaml]\n';
    const started = performance.now();
    const found = await problems(files);
    expect(performance.now() - started).toBeLessThan(10_000);
    expect(found.length).toBeGreaterThan(0);
    expect(found.length).toBeLessThan(1000);
  });
});

describe('variables', () => {
  const recipe = (vars: string, versionName: string): string =>
    BASE.replace("vars: { version: '1.2' }", vars).replace(
      'versionCode: 1',
      () => `versionCode: 1, versionName: ${versionName}`,
    );

  test.each([
    ["vars: { a: x, b: '${a}y' }", "'${b}-${a}'", 'xy-x'],
    ['vars: { a: 1.10 }', "'v${a}'", 'v1.10'],
    ['vars: { a: true }', "'${a}!'", 'true!'],
    ['vars: { a: x }', "'$${a} ${a}'", '${a} x'],
    ['vars: { a: x }', "'$a $$ ${a}'", '$a $$ x'],
  ])('%s make of %s %s', async (vars, text, expected) => {
    const { data } = await read({ 'app/microbuild.yaml': recipe(vars, text) });
    expect(data.payload.versionName).toBe(expected);
  });

  test('a text that is one variable takes its type; the command line keeps it', async () => {
    const files = {
      'app/microbuild.yaml': BASE.replace('1.2', "1.2', cpus: 4, x: '${version}").replace(
        'cpus: 2',
        "cpus: '${cpus}'",
      ),
    };
    expect((await read(files)).data.vm.cpus).toBe(4);
    const set = await read(files, { vars: { cpus: '8' } });
    expect(set.data.vm.cpus).toBe(8);
    expect(set.vars).toEqual({ version: '1.2', cpus: 8, x: '1.2' });
    await expect(read(files, { vars: { cpus: 'many' } })).rejects.toThrow(UsageError);
    await expect(read(files, { vars: { cpu: '1' } })).rejects.toThrow('no such variable');
  });

  test.each([
    ["vars: { a: '${b}', b: '${a}' }", 'x', 'stands for itself: a -> b -> a'],
    ['vars: { a: x }', "'y ${aa}'", 'There is no variable "aa"'],
    ['vars: { a: x }', "'${a'", 'has no end'],
    ['vars: { a: [1] }', 'x', '"vars.a" is not one of the forms'],
    ['vars: { a: x, 1b: y }', "'${a}'", 'is not a valid name'],
    ['vars: { a: x }', 'y', 'Nothing uses the variable "a"'],
  ])('%s with %s: %s', async (vars, text, message) => {
    const found = await problems({ 'app/microbuild.yaml': recipe(vars, text) });
    expect(found.join('\n')).toContain(message);
    expect(found.filter((each) => !each.includes('Nothing uses')).length).toBeLessThan(2);
  });

  test('points at the very reference', async () => {
    const text = recipe('vars: { a: x }', "'${a} ${nope}'");
    const folder = written({ 'app/microbuild.yaml': text });
    const [problem] = (await readDraft(join(folder, 'app'))).problems;
    expect(problem?.source?.slice((problem?.column ?? 0) - 1)).toMatch(/^\$\{nope\}/);
    expect(problem?.length).toBe('${nope}'.length);
  });

  test('growth is bounded', async () => {
    const vars = Array.from({ length: 60 }, (_, index) =>
      index === 0 ? '  v0: xxxxxxxxxx' : `  v${index}: '\${v${index - 1}}\${v${index - 1}}'`,
    );
    const started = performance.now();
    const found = await problems({
      'app/microbuild.yaml': recipe(`vars:\n${vars.join('\n')}`, "'${v59}'"),
    });
    expect(performance.now() - started).toBeLessThan(2000);
    expect(found.join('\n')).toContain('grow by more than');
  });

  test('growth is bounded where values are nothing but one variable, too', async () => {
    const many = Array.from({ length: 2000 }, (_, index) => `  v${index}: '\${big}'`).join('\n');
    const found = await problems({
      'app/microbuild.yaml': recipe(`vars:\n  big: ${'x'.repeat(100_000)}\n${many}`, "'${v7}'"),
    });
    expect(found.join('\n')).toContain('grow by more than');
  });
});

describe('profiles', () => {
  const PROFILES = `${BASE.replace("vars: { version: '1.2' }", 'vars: { flavor: plain }')}profiles:
  release: { signing: { image: { rollbackIndex: 3 } } }
  big: { vm: { cpus: 8, rpcPort: null }, vars: { flavor: rich } }
  arm: { when: { arch: aarch64 }, vm: { cpus: 1 } }
  rich: { when: { var: { flavor: [rich, royal] } }, vm: { memory: 2GiB } }
  both: { when: { profile: release, runtime: musl }, vm: { debug: full } }
`;
  const files = { 'app/microbuild.yaml': PROFILES };

  test('are laid over the recipe in the order in which they are chosen', async () => {
    const plain = await read(files);
    expect(plain.profiles).toEqual([]);
    expect(plain.data.vm).toMatchObject({ cpus: 2, rpcPort: 7, memory: 256 });
    const chosen = await read(files, { profiles: ['release', 'big'] });
    expect(chosen.profiles).toEqual(['rich', 'both', 'release', 'big']);
    expect(chosen.data.vm).toMatchObject({ cpus: 8, memory: 2048, debug: 'full' });
    expect(chosen.data.vm.rpcPort).toBeUndefined();
    expect(chosen.data.signing.image.rollbackIndex).toBe(3);
  });

  test('conditions see the command line', async () => {
    expect((await read(files, { vars: { flavor: 'royal' } })).profiles).toEqual(['rich']);
    const arm = { 'app/microbuild.yaml': PROFILES.replace('name:', 'arch: aarch64\nname:') };
    expect((await read(arm)).profiles).toEqual(['arm']);
  });

  test('one that is not there is refused, with the nearest that is', async () => {
    await expect(read(files, { profiles: ['relase'] })).rejects.toMatchObject({
      hint: 'Did you mean "release"?',
    });
    expect((await read(files, { optionalProfiles: ['nothing', 'release'] })).profiles).toContain(
      'release',
    );
  });

  test('what is wrong in one that is not chosen is told, too', async () => {
    const text = PROFILES.replace('rollbackIndex: 3', 'rollbackIndex: none, kex: 1').replace(
      'runtime: musl',
      'runtime: mussel',
    );
    const found = await problems({ 'app/microbuild.yaml': text });
    expect(found.join('\n')).toMatch(/"signing.image.rollbackIndex" is the text "none"/);
    expect(found.join('\n')).toMatch(/Unknown key "kex"/);
    expect(found.join('\n')).toMatch(/cannot be the text "mussel"/);
  });

  test('conditions that depend on each other are refused', async () => {
    const text = `${BASE}profiles:
  a: { when: { arch: x86_64 }, arch: aarch64 }
`;
    expect((await problems({ 'app/microbuild.yaml': text })).join()).toContain(
      'depends on what profiles with conditions change',
    );
  });

  test('a base may have them, and what stands on it adds to them', async () => {
    const recipe = await read(
      {
        'base/microbuild.yaml': `${BASE}profiles: { dev: { partitions: { system: { contents+: [{ folder: /a }] } } } }\n`,
        'app/microbuild.yaml':
          'extends: ../base\nprofiles: { dev: { partitions: { system: { contents+: [{ folder: /b }] } } } }\n',
      },
      { profiles: ['dev'] },
    );
    expect(recipe.data.partitions.system.contents.slice(2)).toMatchObject([
      { folder: '/a' },
      { folder: '/b' },
    ]);
  });
});

describe('describeRecipe()', () => {
  test('gives a recipe of the same values, and tells where they come from', async () => {
    const recipe = await read({
      'base/microbuild.yaml': BASE,
      'app/microbuild.yaml': `extends: ../base
partitions:
  system:
    contents+:
      - { inline: "a $\${HOME}\\n# b", to: '/x: y', rules: [{ match: '*', xattrs: { user.a: null }, mode: '0600' }] }
    verity: { fec: true }
vm: { memory: 1GiB }
`,
    });
    const text = describeRecipe(recipe);
    expect(text).toContain('memory: 1GiB # microbuild.yaml:7');
    expect(text).toContain('cpus: 2 # ../base/microbuild.yaml:10');
    expect(text).toContain('runtime: musl # default');
    const again = parseRecipe(Buffer.from(text), join(recipe.directory, 'microbuild.yaml'));
    expect(again.data).toEqual(recipe.data);
  });
});

test('problems of values do not hide each other', async () => {
  await expect(
    read({ 'app/microbuild.yaml': BASE.replace('cpus: 2', 'cpus: 0').replace('base', 'B!') }),
  ).rejects.toSatisfy((error) => error instanceof RecipeError && error.diagnostics.length === 2);
});

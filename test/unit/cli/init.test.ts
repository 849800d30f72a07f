/** `microbuild init`: what it writes is a whole recipe, and the recipes of the project are what it writes. */

import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { readRecipe } from '../../../src/recipe/parse.ts';
import { templateNames, templates } from '../../../src/cli/init/templates.ts';
import { openSandbox, type CliResult } from '../../support/cli.ts';

const sandbox = openSandbox();
afterAll(() => sandbox.dispose());
const at = (...names: string[]): string => join(sandbox.folder, ...names);
const init = (...args: string[]): Promise<CliResult> => sandbox.microbuild(['init', ...args]);

/** The files of a folder by name, without what a build adds. */
function filesOf(folder: string): Map<string, string> {
  const names = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .filter((name) => !/^(?:build|target)\/|^microbuild\.lock$/.test(name))
    .sort();
  return new Map(names.map((name) => [name, readFileSync(join(folder, name), 'utf8')]));
}

describe('init', () => {
  test('writes each template as a recipe without problems, and says what comes next', async () => {
    expect(new Set(readdirSync('templates'))).toEqual(new Set(templateNames));
    for (const template of templateNames) {
      const folder = at(`my-${template}`);
      const { status, stdout } = await init(folder, '--template', template, '--json');
      expect(status).toBe(0);
      const made = JSON.parse(stdout) as { files: string[]; next: string[] };
      const files = filesOf(folder);
      expect(made.files).toEqual(
        expect.arrayContaining([...files.keys()].map((name) => join(folder, name))),
      );
      expect(made.files).toHaveLength(files.size);
      expect(made.next.slice(0, 2)).toEqual([
        `microbuild lock ${folder}`,
        `microbuild image ${folder}`,
      ]);
      expect(made.next[2]).toMatch(new RegExp(`^microbuild run out/my-${template}\\b`));
      for (const [name, text] of files) expect(`${name} ${text}`).not.toMatch(/__[A-Za-z]/);
      // Away from microbuild, no schema could be found by a relative path.
      expect(files.get('microbuild.yaml')).not.toContain('yaml-language-server');
      const { data } = await readRecipe(folder);
      expect(data).toMatchObject({
        name: `my-${template}`,
        payload: { package: `dev.example.my${template.replace('-', '')}` },
      });
    }
  });

  // One text in two places: a recipe is changed in its template, and written anew.
  test.each([
    ['hello', 'c-payload', 'dev.microbuild.hello'],
    ['rust-payload', 'rust-payload', 'dev.microbuild.recipes.rust'],
    ['keystore', 'keystore', 'dev.microbuild.recipes.keystore'],
  ])('recipes/%s is what it writes from %s', async (name, template, packageName) => {
    const names = ['--name', name, '--package', packageName];
    const folder = at('same', name);
    expect(await init(folder, '--template', template, ...names)).toMatchObject({ status: 0 });
    const made = filesOf(folder);
    const kept = filesOf(join('recipes', name));
    expect([...kept.keys()]).toEqual([...made.keys()]);
    for (const [file, text] of made) {
      const own = text
        .replaceAll(folder, `recipes/${name}`)
        .replaceAll(process.cwd(), '../..')
        .replace(/^/, file === 'microbuild.yaml' ? SCHEMA : '');
      expect([file, kept.get(file)]).toEqual([file, own]);
    }
  });
  const SCHEMA = '# yaml-language-server: $schema=../../schema/recipe.schema.json\n#\n';

  test('overwrites nothing: it names what is in the way, and writes nothing else', async () => {
    const folder = at('full');
    mkdirSync(join(folder, 'src'), { recursive: true });
    writeFileSync(join(folder, 'microbuild.yaml'), 'mine');
    writeFileSync(join(folder, 'src', 'full.c'), 'mine');
    const { status, stderr } = await init(folder, '--template', 'c-payload');
    expect(status).not.toBe(0);
    expect(stderr).toContain('it has microbuild.yaml, src/full.c');
    expect([...filesOf(folder)]).toEqual([
      ['microbuild.yaml', 'mine'],
      ['src/full.c', 'mine'],
    ]);
    // Other files may be there.
    writeFileSync(at('full', 'README'), 'mine');
    expect(await init(folder, '--template', 'keystore')).not.toMatchObject({ status: 0 });
    mkdirSync(at('started'));
    writeFileSync(at('started', 'README'), 'mine');
    expect(await init(at('started'))).toMatchObject({ status: 0 });
    expect(readFileSync(at('started', 'README'), 'utf8')).toBe('mine');
  });

  test('takes away again what it wrote before it failed', async () => {
    const folder = at('half');
    mkdirSync(folder);
    // A file where the last template file needs a folder.
    writeFileSync(join(folder, 'src'), 'mine');
    const { status, stderr } = await init(folder, '--template', 'c-payload');
    expect(status).not.toBe(0);
    expect(stderr).toContain('Cannot write');
    expect([...filesOf(folder).keys()]).toEqual(['src']);
  });

  test.each([
    ['My First VM', [], 'my-first-vm', 'dev.example.myfirstvm'],
    ['v1.2_x', [], 'v1-2-x', 'dev.example.v12x'],
    ['7up', [], 'up', 'dev.example.up'],
    ['any', ['--name', 'signer-2', '--package', 'com.example.a_b'], 'signer-2', 'com.example.a_b'],
  ])('names follow from the folder "%s" and %j', async (folder, options, name, packageName) => {
    const { stdout } = await init(at('named', folder), ...options, '--json');
    expect(JSON.parse(stdout)).toMatchObject({ name, package: packageName });
  });

  test.each([
    ['---', []],
    ['fine', ['--name', 'Upper']],
    ['fine', ['--name', 'a--b']],
    ['fine', ['--name', 'x'.repeat(64)]],
    ['fine', ['--package', 'single']],
    ['fine', ['--package', 'com.Example.x']],
    ['fine', ['--template', 'none']],
  ])('refuses the folder "%s" with %j, and makes no folder', async (folder, options) => {
    expect((await init(at('bad', folder), ...options)).status).toBe(2);
    expect(existsSync(at('bad'))).toBe(false);
  });

  test('code in Rust may stand in a package whose parts are words of Rust', async () => {
    const names = ['--name', 'loop', '--package', 'dev.move.loop'];
    const folder = at('words');
    expect(await init(folder, '--template', 'rust-payload', ...names)).toMatchObject({ status: 0 });
    const source = readFileSync(join(folder, 'src/lib.rs'), 'utf8');
    expect(source).toContain('use crate::aidl::dev::r#move::r#loop::{BnLoop, ILoop};');
    expect(readFileSync(join(folder, 'src/aidl.rs'), 'utf8')).toContain('pub mod r#move {');
  });

  test('every template says what it is, and the help lists it', async () => {
    const { stdout } = await init('--help');
    // Help is wrapped.
    const text = stdout.replaceAll(/\s+/g, ' ');
    for (const [name, { summary }] of Object.entries(templates)) {
      expect(text).toContain(`${name}, ${summary}`);
    }
  });
});

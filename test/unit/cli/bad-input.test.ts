/** What is wrong with the input is said with its place, before anything is written. */

import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sha256, toHex } from '../../../src/core/digest.ts';
import { formatLock, parseLock } from '../../../src/recipe/lockfile.ts';
import { LOCK_FILE } from '../../../src/recipe/names.ts';
import { generateKeyFile } from '../../../src/signing/keys/generate.ts';
import { openSandbox, runProcess, type Sandbox } from '../../support/cli.ts';
import { copyHello, type Edits } from '../../support/recipes.ts';

/** Somebody else on this machine, for whom only root can run. */
const NOBODY = 65534;
const canBeNobody =
  process.getuid?.() === 0 &&
  spawnSync('test', ['-r', 'bin/microbuild.js'], { uid: NOBODY, gid: NOBODY }).status === 0;
let sandbox: Sandbox;
let count = 0;

beforeAll(() => {
  sandbox = openSandbox();
});
afterAll(() => sandbox.dispose());

interface BadInput {
  readonly what: string;
  readonly edits?: Edits;
  /** Prepares the recipe's folder. */
  readonly prepare?: (folder: string) => Promise<unknown> | void;
  readonly message: RegExp;
  /** The line and column that must be named. */
  readonly at: RegExp;
}

/** Writes a file that the lock pins: what is wrong is its content. */
function pinFile(folder: string, name: string, content: string): void {
  writeFileSync(join(folder, name), content);
  const path = join(folder, LOCK_FILE);
  const lock = parseLock(readFileSync(path, 'utf8'), path);
  const pin = { sha256: toHex(sha256(Buffer.from(content))), size: content.length };
  writeFileSync(path, formatLock({ ...lock, files: { ...lock.files, [name]: pin } }));
}

const inputs: readonly BadInput[] = [
  {
    what: 'an unknown key',
    edits: [['filesystem:', 'filesystm:']],
    message: /Unknown key "filesystm"/,
    at: /microbuild\.yaml:18:5: /,
  },
  {
    what: 'a wrong type',
    edits: [['versionCode: 1', 'versionCode: one']],
    message: /"payload\.versionCode" is the text "one"/,
    at: /microbuild\.yaml:27:16: /,
  },
  {
    what: 'a missing file',
    prepare: (folder) => rmSync(join(folder, 'motd')),
    message: /"motd" does not exist/,
    at: /microbuild\.yaml:23:17: /,
  },
  {
    what: 'a path outside the recipe',
    edits: [['file: motd', 'file: ../../../../etc/hostname']],
    message: /outside the folder of the recipe/,
    at: /microbuild\.yaml:23:17: /,
  },
  {
    what: 'two sources with the same target path',
    edits: [['to: /system/etc/motd', 'to: /system/bin/microdroid_launcher']],
    message: /\/system\/bin\/microdroid_launcher is in the image already/,
    at: /microbuild\.yaml:23:9: /,
  },
  {
    what: 'a truncated deb',
    edits: [['{ deb: musl, exclude: [/usr] }', '{ deb: ./cut.deb }']],
    prepare: (folder) => pinFile(folder, './cut.deb', '!<arch>\ndebian-binary   16'),
    message: /cut\.deb/,
    at: /microbuild\.yaml:22:9: /,
  },
  {
    what: 'a key file that others may read',
    edits: [['vm: {', 'signing: { image: { key: image.pem } }\n\nvm: {']],
    async prepare(folder) {
      await generateKeyFile(join(folder, 'image.pem'), 2048);
      chmodSync(join(folder, 'image.pem'), 0o644);
    },
    message: /mode is 0?644|0644/,
    at: /microbuild\.yaml:37:26: /,
  },
  {
    what: 'a build command that fails',
    edits: [['command: [make]', 'command: [make, nothing-to-make]']],
    message: /nothing-to-make/,
    at: /microbuild\.yaml:30:14: /,
  },
];

describe.each(inputs)('microbuild image with $what', ({ edits, prepare, message, at }) => {
  test('says what and where, ends with 2, and writes nothing', async () => {
    const folder = copyHello(join(sandbox.folder, `recipe-${count++}`), edits);
    await prepare?.(folder);
    const out = join(sandbox.folder, `out-${count}`);
    const { status, stderr } = await sandbox.microbuild(['image', folder, '-o', out]);
    expect(stderr).toMatch(message);
    expect(stderr).toMatch(at);
    expect(stderr).not.toContain('bug in microbuild');
    expect(status).toBe(2);
    expect(existsSync(out)).toBe(false);
  });
});

test.skipIf(!canBeNobody)('a file that this user may not read is named with its line', async () => {
  const folder = copyHello(join(sandbox.folder, 'unreadable'));
  chmodSync(sandbox.folder, 0o755);
  chmodSync(join(folder, 'motd'), 0);
  const result = await runProcess(
    process.execPath,
    [join(process.cwd(), 'bin/microbuild.js'), 'image', folder, '-o', join(folder, 'out')],
    { ...process.env, MICROBUILD_CACHE: join(sandbox.folder, 'no-cache') },
    { uid: NOBODY, gid: NOBODY, cwd: '/' },
  );
  expect(result.stderr).toContain('"motd" cannot be read: permission denied');
  expect(result.status).toBe(2);
});

test('an output folder that is no bundle is not replaced', async () => {
  const folder = copyHello(join(sandbox.folder, 'precious'));
  const { status, stderr } = await sandbox.microbuild(['image', folder, '-o', sandbox.folder]);
  expect(stderr).toMatch(/Cannot (?:write the bundle|replace)/);
  expect(status).toBe(2);
  expect(existsSync(join(folder, 'microbuild.yaml'))).toBe(true);
});

describe('the command line', () => {
  test.each([
    ['an unknown command', ['imgae', 'x'], 'Did you mean microbuild image?'],
    ['an unknown option', ['image', 'recipes/hello', '--ouput', 'x'], 'Did you mean --output?'],
    ['a missing argument', ['image'], 'microbuild image needs RECIPE'],
    ['a missing value', ['image', 'recipes/hello', '--profile'], '--profile needs a value'],
    ['no command of a group', ['cache'], 'Name a command of cache: info,'],
  ])('%s ends with 2 and says what to do', async (_, args, text) => {
    const { status, stderr } = await sandbox.microbuild(args);
    expect(stderr).toContain(text);
    expect(status).toBe(2);
  });

  test('--json prints an error as JSON with its code and diagnostics', async () => {
    const folder = copyHello(join(sandbox.folder, 'json'), [['cpus: 1', 'cpus: 0']]);
    const { status, stdout } = await sandbox.microbuild(['image', folder, '--json']);
    expect(status).toBe(2);
    const { error } = JSON.parse(stdout) as { error: Record<string, unknown> };
    expect(error).toMatchObject({ exitCode: 2, type: 'RecipeError', code: 'recipe' });
    expect(error['diagnostics']).toMatchObject([{ line: 37, column: 29 }]);
  });

  test('the generated schema and reference pages are fresh', async () => {
    const { stderr } = await runProcess(
      process.execPath,
      ['scripts/generate.js', '--check'],
      process.env,
    );
    expect(stderr).toBe('');
  });
});

test('a word that is not UTF-8 is refused, not taken for another name', () => {
  const word = (bytes: string): string =>
    spawnSync('sh', ['-c', `exec node bin/microbuild.js inspect "$(printf '${bytes}')"`], {
      encoding: 'utf8',
    }).stderr;
  expect(word('/nowhere/\\377')).toContain('it is not UTF-8');
  // The character that stands for what cannot be read is one as any other.
  expect(word('/nowhere/\\357\\277\\275')).toContain('Cannot inspect');
});

test.each(['', '-'])(
  '"%s" for a recipe is refused, not taken for the one in this folder',
  async (word) => {
    const { status, stderr } = await sandbox.microbuild(['lint', word]);
    expect(status).toBe(2);
    expect(stderr).toContain('as <recipe>: it names nothing');
  },
);

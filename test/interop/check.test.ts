/** `microbuild check`, as a user runs it: what is not reproducible is found, and what makes it so is named. */

import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CheckReport, Culprit } from '../../src/builder/check/report.ts';
import { variationNames } from '../../src/builder/check/variation.ts';
import { openSandbox, type Sandbox } from '../support/cli.ts';
import { copyHello } from '../support/recipes.ts';

let sandbox: Sandbox;
const at = (...names: string[]): string => join(sandbox.folder, ...names);

/** What each file of the APK holds, as the shell writes it, and the variation that shows in it. */
const CULPRITS = {
  'date.txt': ['date', 'clock'],
  'pwd.txt': ['pwd', 'build-path'],
  'host.txt': ['hostname', 'host-name'],
  'order.txt': ['ls -f many', 'file-order'],
  'umask.txt': ['touch made && stat -c %a made', 'umask'],
  'cores.txt': ['nproc', 'cores'],
  'user.txt': ['id -u', 'user'],
  'home.txt': ['echo $HOME', 'home'],
  'limit.txt': ['ulimit -n', 'open-files'],
  'random.txt': ['head -c 8 /dev/urandom | od -An -tx1', 'nothing'],
} as const;

const BUILD = `set -e
make
mkdir -p out many
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do : > many/$i-file; done
${Object.entries(CULPRITS)
  .map(([name, [command]]) => `(${command}) > out/${name}`)
  .join('\n')}
echo 'const char *built(void) { return __DATE__ " " __TIME__; }' > dated.c
env -u SOURCE_DATE_EPOCH cc -c -o out/dated.bin dated.c
echo 'int traced(void) { return 1; }' > traced.c
cc -g -c -o out/traced.bin traced.c
`;

function culpritRecipe(folder: string): string {
  const outputs = [...Object.keys(CULPRITS), 'dated.bin', 'traced.bin'].map(
    (name) => `out/${name}`,
  );
  const files = outputs.map((path) => `    - { file: ${path}, to: assets/${path.slice(4)} }`);
  const recipe = copyHello(folder, [
    ['command: [make]', 'command: [sh, build.sh]'],
    ['inputs: [Makefile, src]', 'inputs: [Makefile, src, build.sh]'],
    ['outputs: [build/libhello.so]', `outputs: [build/libhello.so, ${outputs.join(', ')}]`],
    ['  entry:', `  files:\n${files.join('\n')}\n  entry:`],
  ]);
  writeFileSync(join(recipe, 'build.sh'), BUILD);
  return recipe;
}

async function check(...args: readonly string[]): Promise<CheckReport & { status: number }> {
  const { status, stdout, stderr } = await sandbox.microbuild(['check', ...args, '--json']);
  if (status > 1) throw new Error(stderr);
  return { status, ...(JSON.parse(stdout) as CheckReport) };
}

beforeAll(() => {
  sandbox = openSandbox();
});
afterAll(() => sandbox.dispose());

describe('a build command that lets its surroundings show', () => {
  let report: CheckReport & { status: number };
  const culprit = (name: string): Culprit | undefined =>
    report.culprits?.find(({ variations }) => variations.join() === name);
  /** The variations on which this machine lets anything be seen. */
  const isOn = (name: string): boolean =>
    name === 'nothing' || report.variations.some((each) => each.name === name && each.on);

  beforeAll(async () => {
    report = await check(culpritRecipe(at('culprits')), '--keep', at('kept'));
  });

  test('is not reproducible, and the first difference has its file and its cause', () => {
    expect(report).toMatchObject({
      status: 1,
      reproducible: false,
      first: { member: 'payload.img', path: expect.stringMatching(/^microdroid-apk!assets/) },
    });
    expect(report.first?.cause).toBeDefined();
    expect(Object.values(report.levels).some((count) => count > 0)).toBe(true);
  });

  test('every variation was tried, and those that could not be say why', () => {
    expect(report.variations.map(({ name }) => name)).toEqual(variationNames);
    expect(report.variations.filter(({ on, why }) => !on && why === undefined)).toEqual([]);
    for (const name of ['build-path', 'clock', 'umask', 'home', 'time-zone', 'locale']) {
      expect(`${name} ${isOn(name)}`).toBe(`${name} true`);
    }
  });

  test.each(Object.entries(CULPRITS))('%s: %s', (file, [, variation]) => {
    if (!isOn(variation)) return expect(report.variations.some(({ why }) => why)).toBe(true);
    expect(culprit(variation)?.paths).toContain(`payload.img!microdroid-apk!assets/${file}`);
    // And nothing else is blamed for it.
    const others = report.culprits?.filter((each) => each !== culprit(variation)) ?? [];
    expect(others.flatMap(({ paths }) => paths.filter((path) => path.includes(file)))).toEqual([]);
  });

  test.each([
    ['__DATE__ in a string of a binary', 'dated.bin', 'clock', 'timestamp'],
    ['the folder of the build in its debug information', 'traced.bin', 'build-path', 'build-path'],
  ])('%s', (_, file, variation, cause) => {
    const found = culprit(variation);
    expect(found?.paths.join()).toContain(`microdroid-apk!assets/${file}`);
    expect(report.comparison?.causes.map(({ name }) => name)).toContain(cause);
  });

  test('both outputs are kept to be looked at', async () => {
    expect(readdirSync(at('kept')).sort()).toEqual(['a', 'b']);
    const { status, stdout } = await sandbox.microbuild(['diff', at('kept', 'a'), at('kept', 'b')]);
    expect([status, stdout.includes('assets/date.txt')]).toEqual([1, true]);
  });
});

test('a build that fails elsewhere names what makes it fail', async () => {
  const recipe = copyHello(at('fails'), [
    ['command: [make]', "command: [sh, -c, 'test $(umask) != 0077 && make']"],
  ]);
  const report = await check(recipe, '--vary', 'umask,home,clock');
  expect(report).toMatchObject({ status: 1, reproducible: false });
  expect(report.failure).toContain('microbuild.yaml:');
  expect(report.culprits?.map(({ variations }) => variations)).toEqual([['umask']]);
});

describe('what cannot be checked is told at once', () => {
  test.each([
    ['a variation that there is not', ['--vary', 'moon'], 'Cannot vary "moon"'],
    ['too few builds', ['--times', '1'], 'Cannot build 1 times'],
    ['a folder for the outputs that has files', ['--keep', 'src'], 'it is not empty'],
    ['an option of the other kind of check', ['--attest', 'key.pem'], 'without --against'],
  ])('%s', async (_, args, message) => {
    const { status, stderr } = await sandbox.microbuild(['check', 'recipes/hello', ...args]);
    expect([status, stderr]).toEqual([2, expect.stringContaining(message)]);
  });

  test('a recipe that does not build as it is', async () => {
    const recipe = copyHello(at('broken'), [['command: [make]', 'command: ["false"]']]);
    const { status, stderr } = await sandbox.microbuild(['check', recipe]);
    expect(status).toBe(2);
    expect(stderr).toContain('microbuild.yaml');
  });
});

/** All recipes take some minutes: for a release, and once in a while. */
const recipes =
  process.env['MICROBUILD_TEST_ALL_RECIPES'] === undefined
    ? ['hello']
    : ['hello', 'debian', 'keystore', 'rust-payload', 'vendor'];

test.each(recipes)(
  'the recipe %s is reproducible',
  async (name) => {
    const report = await check(join('recipes', name));
    expect(report.comparison?.findings ?? []).toEqual([]);
    expect(report).toMatchObject({ status: 0, reproducible: true, builds: 2 });
    expect(report.files).toHaveProperty('os.img');
  },
  600_000,
);

/**
 * The recipes of the project are built, booted and called by the lines that stand on top of each: what a reader
 * copies is what is tested.
 */

import { createHash } from 'node:crypto';
import { cpSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { openSandbox, type CliResult } from '../support/cli.ts';

const sandbox = openSandbox();
cpSync('recipes', join(sandbox.folder, 'recipes'), { recursive: true });
afterAll(() => sandbox.dispose());

/** The command lines in the comment on top of a recipe, as words behind `microbuild`. */
function linesOf(recipe: string): string[][] {
  const text = readFileSync(join('recipes', recipe, 'microbuild.yaml'), 'utf8');
  const head = text.slice(0, text.indexOf('apiVersion:'));
  return [...head.matchAll(/^# {3}microbuild (?!aidl)(.+)$/gm)].map(([, line = '']) =>
    [...line.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? ''),
  );
}

/** The recipes are used in a copy, and outputs go beside it. */
const placed = (words: readonly string[]): string[] => {
  const inSandbox = words.map((word) => word.replace(/^(?=out\/|recipes\/)/, `${sandbox.folder}/`));
  const [verb, recipe = ''] = words;
  const hasOutput = verb !== 'image' || words.includes('-o');
  return hasOutput
    ? inSandbox
    : [...inSandbox, '-o', join(sandbox.folder, 'out', recipe.replace(/^recipes\//, ''))];
};

/** Runs the lines of a recipe, which all succeed. @returns what `run` and `logs` print, in order. */
async function follow(recipe: string): Promise<string[]> {
  const printed: string[] = [];
  for (const words of linesOf(recipe)) {
    const [verb] = words;
    const extra = verb === 'run' ? ['--timeout=120'] : [];
    const result: CliResult = await sandbox.microbuild([...placed(words), ...extra]);
    expect([words, result.status, result.status === 0 ? '' : result.stderr]).toEqual([
      words,
      0,
      '',
    ]);
    if (verb === 'run' || verb === 'logs') printed.push(result.stdout);
  }
  return printed;
}

describe('recipes', () => {
  const known = ['debian', 'hello', 'keystore', 'rust-payload', 'vendor'];

  test('there are no others', () => {
    expect(readdirSync('recipes').sort()).toEqual(known);
    for (const recipe of known) {
      expect(linesOf(recipe).map(([verb]) => verb)).toEqual(
        expect.arrayContaining(['lock', 'image', 'run']),
      );
    }
  });

  test('hello: a payload in C answers', async () => {
    const [answer] = await follow('hello');
    expect(answer).toContain('IHello.hello answers: "Hello, world! This is dev.microbuild.hello');
  });

  test('rust-payload: a payload in Rust answers', async () => {
    const [answer] = await follow('rust-payload');
    expect(answer).toContain('IRustPayload.add answers: 5');
  });

  test('keystore: a key signs, and the signature is verified, by RPC', async () => {
    const [answer] = await follow('keystore');
    expect(answer).toMatch(/IKeystore\.prove answers: "[0-9a-f]{128}"/);
  });

  test('debian: Debian’s Python runs a script of the APK', async () => {
    const [finished, log = ''] = await follow('debian');
    expect(finished).toContain('exit code 0');
    const script = readFileSync('recipes/debian/assets/main.py');
    const digest = createHash('sha256').update(script).digest('hex');
    expect(log.split('\n')).toEqual(
      expect.arrayContaining([
        expect.stringMatching(
          new RegExp(`Python 3\\.\\d+ in a verified micro-VM runs .*main\\.py, sha256 ${digest}`),
        ),
        '/usr/bin/python3.11: Read-only file system',
      ]),
    );
  });

  test('vendor: two payloads find what sources and rules say, and nothing else', async () => {
    const [finished, report = '', again, probe] = await follow('vendor');
    expect(finished).toContain('exit code 0');
    expect(report.trim().split('\n')).toEqual([
      '/vendor 040755 0:0',
      '/vendor/current 120777 0:0 -> etc/vendor.conf',
      '/vendor/etc 040755 0:0',
      '/vendor/etc/vendor.conf 100640 0:6000 23 bytes',
      '/vendor/firmware 040755 0:0',
      '/vendor/firmware/waves.bin 100444 0:0 200000 bytes version 1.2',
      '/vendor/share 040755 0:0',
      '/vendor/share/README 100644 0:0 32 bytes',
      '/vendor/share/start.sh 100755 0:0 22 bytes',
      '/vendor/state 040750 6000:6000',
      'version=1.2',
      'group=6000',
      '/vendor: Read-only file system',
    ]);
    expect(again).toContain('exit code 0');
    expect(probe).toContain('/vendor/firmware/waves.bin: 200000 bytes, f7047650daf4384f');
    const made = join(sandbox.folder, 'out');
    const vm = readFileSync(join(made, 'vendor-dev', 'vm.json'), 'utf8');
    expect(JSON.parse(vm)).toMatchObject({ initrd: 'initrd_debuggable.img' });
    expect(statSync(join(made, 'vendor-dev', 'os.img')).size).toBe(
      statSync(join(made, 'vendor', 'os.img')).size,
    );
  });
});

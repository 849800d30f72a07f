/** What is loaded before a command begins to work: not measured by a clock, which other programs move, but counted. */

import { statSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadCommands } from '../../src/cli/commands.ts';
import { HELP_WIDTHS, findHelp } from '../../src/cli/made-pages.ts';
import { commandWords, helpOf } from '../../src/cli/yargs.ts';
import { openSandbox, type Sandbox } from '../support/cli.ts';

const COUNTER = resolve('test/fixtures/count-loaded.cjs');

let sandbox: Sandbox;
beforeAll(() => {
  sandbox = openSandbox();
});
afterAll(() => sandbox.dispose());

async function loadedBy(line: string): Promise<{ names: string[]; bytes: number }> {
  const { stderr } = await sandbox.microbuild(line.split(' '), {
    NODE_OPTIONS: `--require ${COUNTER}`,
  });
  const list = /^loaded (\[.*\])$/m.exec(stderr)?.[1] ?? '[]';
  const paths = JSON.parse(list) as string[];
  // Without the hash that the bundle gives each name.
  const names = paths.map((path) => basename(path).replace(/(-[\w-]{8})?\.cjs$/, ''));
  return { names, bytes: paths.reduce((sum, path) => sum + statSync(path).size, 0) };
}

describe('before it works, a command loads no more than', () => {
  test.each([
    ['--help', 60_000],
    ['--version', 60_000],
    ['image --help', 60_000],
    ['sign apk --help', 60_000],
    ['ps', 120_000],
    ['stop nobody', 120_000],
    ['completion bash', 80_000],
    ['__complete words -- image', 220_000],
    ['keys info nowhere', 500_000],
    ['verity dump nowhere', 500_000],
    ['erofs create nowhere nothing', 250_000],
    ['inspect nowhere', 1_000_000],
  ])('%s: %i bytes of code, and no parser of arguments', async (line, most) => {
    const { names, bytes } = await loadedBy(line);
    expect(names).toContain('main');
    expect(names).not.toContain('yargs');
    expect(names).not.toContain('listr2');
    expect(bytes).toBeLessThan(most);
  });

  test('the counter sees the parser where it is needed', async () => {
    expect((await loadedBy('image --quiet --help')).names).toContain('yargs');
  });
});

describe('help that was made when microbuild was built', () => {
  test('is what the parser says', async () => {
    const commands = await loadCommands();
    const [, width = 100] = HELP_WIDTHS;
    // Laying out one takes the parser as long as a command: not all are laid out again.
    const some = commandWords(commands).filter((_, index) => index % 9 === 0);
    expect(some.length).toBeGreaterThan(8);
    for (const words of some) {
      const made = findHelp([...words, '--help'], width);
      expect(made).toBe(await helpOf(words, commands, '0.0.0', width));
    }
  });

  test.each(['image', 'verity', 'avb make_certificate'])(
    'is printed to the byte as the parser prints it: %s',
    async (name) => {
      const words = name.split(' ');
      const made = await sandbox.microbuild([...words, '--help']);
      const parsed = await sandbox.microbuild([...words, '--quiet', '--help']);
      expect(made.status).toBe(0);
      expect(made).toEqual(parsed);
    },
  );

  test('is laid out for the terminal, and left to the parser where that is narrower than all', () => {
    const longest = (text = ''): number => Math.max(...text.split('\n').map((line) => line.length));
    expect(longest(findHelp(['diff', '--help'], 80))).toBeLessThanOrEqual(80);
    expect(longest(findHelp(['diff', '--help'], undefined))).toBeGreaterThan(80);
    expect(findHelp(['diff', '--help'], 200)).toBe(findHelp(['diff', '--help'], 110));
    expect(findHelp(['diff', '--help'], 93)).toBe(findHelp(['diff', '--help'], 80));
    expect(findHelp(['diff', '--help'], 39)).toBeUndefined();
    expect(findHelp(['diff', '--json', '--help'], 80)).toBeUndefined();
    expect(findHelp(['nothing', '--help'], 80)).toBeUndefined();
    expect(findHelp(['diff'], 80)).toBeUndefined();
  });
});

import { expect, test } from 'vitest';
import { loadCommands } from '../../../src/cli/commands.ts';
import { checkCommandName, usageError } from '../../../src/cli/mistakes.ts';
import { withHelpSpelled } from '../../../src/cli/made-pages.ts';

const commands = await loadCommands();

test.each([
  [['imgae', 'x'], 'There is no command "imgae" of microbuild', 'Did you mean microbuild image?'],
  [['cache', 'prun'], 'There is no command "prun" of microbuild cache', 'microbuild cache prune?'],
  [['cache'], 'Name a command of cache: info, prune, verify, clear', 'See microbuild cache --help'],
  [['--json'], 'Name a command', 'See microbuild --help'],
  [['qqqqqqqq'], 'There is no command "qqqqqqqq" of microbuild', 'See microbuild --help'],
])('%j names no command, which is told', (argv, message, hint) => {
  const check = (): void => checkCommandName(argv, commands);
  expect(check).toThrow(message);
  expect(check).toThrow(expect.objectContaining({ hint: expect.stringContaining(hint) as string }));
});

test.each([
  [['image', 'x']],
  [['sign', 'app.apk']],
  [['sign', 'apk']],
  [['cache', '--help']],
  [['--help']],
])('%j names one', (argv) => {
  expect(() => checkCommandName(argv, commands)).not.toThrow();
});

test.each([
  [
    'Unknown argument: ouput',
    ['image', '.', '--ouput=x'],
    'There is no option --ouput of microbuild image',
    '--output',
  ],
  [
    'Unknown arguments: dry-ru, dryRu',
    ['lock', '.', '--dry-ru'],
    'There is no option --dry-ru of microbuild lock',
    '--dry-run',
  ],
  [
    'Unknown argument: b',
    ['image', 'a', 'b'],
    'microbuild image takes no more than RECIPE: "b" is too much',
    undefined,
  ],
  [
    'Unknown argument: b',
    ['doctor', 'b'],
    'microbuild doctor takes nothing: "b" is too much',
    undefined,
  ],
  [
    'Not enough arguments following: key',
    ['sign', 'apk', '--key'],
    '--key needs a value',
    undefined,
  ],
  [
    'Missing required argument: image',
    ['avb', 'info_image'],
    'microbuild avb info_image needs --image',
    undefined,
  ],
  [
    'Not enough non-option arguments: got 1, need at least 2',
    ['diff', 'a'],
    'microbuild diff needs A and B',
    undefined,
  ],
  [
    'Invalid values: Argument: accel, Given: "kvn", Choices: "auto", "kvm", "tcg"',
    ['run', 'x', '--accel', 'kvn'],
    'Cannot use "kvn" as --accel: it is one of auto, kvm, tcg',
    'kvm',
  ],
])('%s', (said, argv, message, meant) => {
  const { message: found, hint = '' } = usageError(said, argv, commands);
  expect(found).toBe(message);
  expect(hint).toMatch(/See microbuild .+ --help$/);
  expect(/Did you mean (\S+)\?/.exec(hint)?.[1]).toBe(meant);
});

test.each([
  [[], ['--help']],
  [['help'], ['--help']],
  [
    ['help', 'sign', 'apk'],
    ['sign', 'apk', '--help'],
  ],
  [
    ['help', 'image', '-h'],
    ['image', '--help'],
  ],
  [
    ['image', '-h'],
    ['image', '--help'],
  ],
  [
    ['image', '-o', '-h'],
    ['image', '-o', '-h'],
  ],
  [
    ['image', '--help'],
    ['image', '--help'],
  ],
])('%j asks for help as %j does', (argv, spelled) => {
  expect(withHelpSpelled(argv)).toEqual(spelled);
});

import fc from 'fast-check';
import type { Options } from 'yargs';
import { describe, expect, it } from 'vitest';
import { globalOptions, type CommandDefinition } from '../../../src/cli/command.ts';
import { loadCommands } from '../../../src/cli/commands.ts';
import { readPlainly } from '../../../src/cli/plain-arguments.ts';
import { parseWithYargs } from '../../../src/cli/yargs.ts';

const commands = await loadCommands();
const lines = commands.flatMap((each) =>
  'commands' in each
    ? each.commands.map((command) => ({ command, words: [each.name, command.name] }))
    : [{ command: each, words: [each.name] }],
);

/** Names that a command knows its arguments by. */
const namesOf = ({ positionals, options }: CommandDefinition): string[] =>
  Object.keys({ ...positionals, ...options, ...globalOptions });

/** What yargs makes of a line, or undefined where it refuses it or does something else. */
async function byYargs(
  argv: readonly string[],
): Promise<{ command: string; parsed: Record<string, unknown> } | undefined> {
  let found: { command: CommandDefinition; parsed: Record<string, unknown> } | undefined;
  try {
    await parseWithYargs(argv, commands, '1.0', (command, parsed) => {
      found = { command, parsed };
      return Promise.resolve();
    });
  } catch {
    return undefined;
  }
  return found && { command: found.command.name, parsed: valuesOf(found.command, found.parsed) };
}

const valuesOf = (
  command: CommandDefinition,
  parsed: Readonly<Record<string, unknown>>,
): Record<string, unknown> =>
  Object.fromEntries(
    namesOf(command)
      // To commands, no words are what an absent list is.
      .map((name) => [
        name,
        Array.isArray(parsed[name]) && parsed[name].length === 0 ? undefined : parsed[name],
      ])
      .filter(([, value]) => value !== undefined),
  );

function plainly(
  argv: readonly string[],
): { command: string; parsed: Record<string, unknown> } | undefined {
  const plain = readPlainly(argv, commands, globalOptions);
  return plain && { command: plain.command.name, parsed: valuesOf(plain.command, plain.parsed) };
}

const strange = [
  ...'- -- -x --help --version --no-json -qv -q=1 --json=false'.split(' '),
  ...'true false 1 007 1e3 0x10 -5 1.5 Infinity NaN .5 4096 sha256 abcdef'.split(' '),
  ...`'a' "a" ' a=b --a=b a.b __proto__ --__proto__ --constructor toString`.split(' '),
  ...'name ./path /path ä *.ts'.split(' '),
  '',
  ' 7',
  'a b',
];

/** Words of options as their definitions have them, some of them wrong. */
const optionWords = ([name, { choices, type }]: [string, Options]): fc.Arbitrary<string[]> => {
  const value = fc.oneof(
    ...(choices === undefined ? [] : [fc.constantFrom(...choices.map(String))]),
    fc.constantFrom(...strange),
    fc.nat().map(String),
    fc.string({ maxLength: 6 }),
  );
  return fc.oneof(
    {
      weight: 12,
      arbitrary:
        type === 'boolean'
          ? fc.constant<string[]>([`--${name}`])
          : value.map((word): string[] => [`--${name}`, word]),
    },
    value.map((word) => [`--${name}=${word}`]),
    fc.constant<string[]>([`--${name}`]),
  );
};

/** Command lines: mostly as they should be. */
const lineArbitrary = fc.constantFrom(...lines).chain(({ command, words }) => {
  const options = Object.entries({ ...command.options, ...globalOptions });
  const places = Object.values(command.positionals);
  const place = fc.oneof(
    {
      weight: 20,
      arbitrary: fc.constantFrom(
        'name',
        './path',
        'a.b',
        '/x y',
        ...places.flatMap(({ choices }) => choices ?? []).map(String),
      ),
    },
    fc.constantFrom(...strange),
    fc.string({ maxLength: 6 }),
  );
  return fc
    .tuple(
      fc.array(fc.constantFrom(...options).chain(optionWords), { maxLength: 4 }),
      fc.array(place, { minLength: Math.max(places.length - 1, 0), maxLength: places.length + 1 }),
      fc.constantFrom<string[][]>([], [['-q']], [['-v']]),
      fc.infiniteStream(fc.nat()),
    )
    .map(([given, at, letters, order]) => {
      const groups = [...given, ...letters, ...at.map((word) => [word])];
      const keyed = groups.map((group) => ({ group, key: order.next().value ?? 0 }));
      const shuffled = keyed.toSorted((a, b) => a.key - b.key);
      return [...words, ...shuffled.flatMap(({ group }) => group)];
    });
});

describe('readPlainly()', () => {
  it('reads nothing otherwise than yargs, and nothing that it refuses', async () => {
    let read = 0;
    await fc.assert(
      fc.asyncProperty(lineArbitrary, async (argv) => {
        const ours = plainly(argv);
        if (ours === undefined) return;
        read += 1;
        expect(ours).toEqual(await byYargs(argv));
      }),
      { numRuns: 1500 },
    );
    expect(read).toBeGreaterThan(100);
  });

  it.each([
    ['erofs', 'create', 'folder', 'image'],
    [
      'erofs',
      'create',
      'a',
      './b',
      '--hash-file',
      'c',
      '--exclude',
      '*.ts',
      '--exclude',
      'x',
      '-q',
    ],
    [
      'erofs',
      'create',
      '--block-size',
      '4096',
      '--mtime',
      '0',
      'a',
      'b',
      '--uuid',
      '1-2',
      '--json',
    ],
    ['verity', 'verify', 'data', 'hash', 'abcdef'],
    ['verify', 'bundle'],
    ['schema'],
  ])('reads the usual: %s %s %s %s', async (...argv) => {
    expect(plainly(argv)).toBeDefined();
    expect(plainly(argv)).toEqual(await byYargs(argv));
  });

  it.each([
    [[]],
    [['--help']],
    [['erofs']],
    [['erofs', '--help']],
    [['erofs', 'create', 'a']],
    [['erofs', 'create', 'a', 'b', 'c']],
    [['erofs', 'create', 'a', 'b', '--label']],
    [['erofs', 'create', 'a', 'b', '--label', 'x', '--label', 'y']],
    [['erofs', 'create', 'a', 'b', '--block-size', '8192']],
    [['erofs', 'create', 'a', 'b', '--exclud', 'x']],
    [['nothing']],
    [['constructor']],
  ])('leaves the rest to yargs: %j', (argv) => {
    expect(plainly(argv)).toBeUndefined();
  });
});

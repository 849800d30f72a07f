/** The one door to yargs: help, mistakes, and all that is not read without it. */

import yargs, { type Argv, type CommandModule } from 'yargs';
import {
  globalOptions,
  type Command,
  type CommandDefinition,
  type CommandGroup,
} from './command.ts';
import { helpWidth } from './made-pages.ts';
import { usageError } from './mistakes.ts';

/** What is done with the arguments of a command. */
type Invoke = (command: CommandDefinition, parsed: Record<string, unknown>) => Promise<void>;

/**
 * Parses the command line, and invokes what it says.
 *
 * @throws {UsageError} `usage` when it says nothing that can be done; what `invoke` throws.
 */
export async function parseWithYargs(
  argv: readonly string[],
  commands: readonly Command[],
  version: string,
  invoke: Invoke,
): Promise<void> {
  // The parser lays out its help before each run, which takes as long as the rest of its work: options
  // that nobody will see are left out of it.
  const shown = argv.includes('--help') ? commands : commands.map(withoutHelp);
  const parser = createParser(argv, shown, version, helpWidth(process.stdout.columns), invoke);
  await parser
    .fail((message, error) => {
      // Some of the parser's messages have lines of their own.
      const text = (message ?? '').replaceAll(/\s*\n\s*/g, ' ');
      // The parser's own say no more than the message.
      const isOwn = error === undefined || error.name === 'YError';
      throw isOwn ? usageError(text, argv, commands) : error;
    })
    .parseAsync();
}

/** The words of all commands and groups; none for the program itself. */
export const commandWords = (commands: readonly Command[]): string[][] => [
  [],
  ...commands.flatMap((command) => [
    [command.name],
    ...('commands' in command ? command.commands.map(({ name }) => [command.name, name]) : []),
  ]),
];

/** The help of a command, laid out for so many columns. */
export async function helpOf(
  words: readonly string[],
  commands: readonly Command[],
  version: string,
  width: number,
): Promise<string> {
  const argv = [...words, '--help'];
  const nothing = (): Promise<void> => Promise.resolve();
  let text = '';
  const parser = createParser(argv, commands, version, width, nothing);
  await parser.parseAsync(argv, {}, (_error, _parsed, output) => {
    text = output;
  });
  return text;
}

function createParser(
  argv: readonly string[],
  commands: readonly Command[],
  version: string,
  width: number,
  invoke: Invoke,
): Argv {
  const parser: Argv = yargs(withoutNegation(argv, commands))
    .scriptName('microbuild')
    .usage(
      '$0 <command>\n\nOne recipe in; a signed, verified, reproducible, bootable micro-VM bundle out.',
    )
    .options(globalOptions)
    .group(Object.keys(globalOptions), 'Output:')
    .version(version)
    .strict()
    .demandCommand(1, 'Name a command')
    .wrap(width)
    .exitProcess(false)
    .epilogue(
      'Exit codes: 0 ok, 1 failed, 2 usage or recipe, 3 verification failed, 4 environment, 5 signatures needed, 70 bug, 130 interrupted',
    );
  for (const command of commands) {
    parser.command('commands' in command ? bindGroup(command, invoke) : bind(command, invoke));
  }
  return parser;
}

/**
 * The parser takes `--no-X` for the opposite of `--X`, even where an option is called so: such words get a value, which it
 * then reads as it is written.
 */
function withoutNegation(argv: readonly string[], commands: readonly Command[]): string[] {
  const [name, verb] = wordsOf(argv, commands);
  const found = commands.find((each) => each.name === name);
  const command =
    found !== undefined && 'commands' in found
      ? found.commands.find((each) => each.name === verb)
      : found;
  const words: string[] = [];
  for (let at = 0; at < argv.length; at += 1) {
    const word = argv[at] ?? '';
    if (word === '--') return [...words, ...argv.slice(at)];
    const isNamed =
      word.startsWith('--no-') && Object.hasOwn(command?.options ?? {}, word.slice(2));
    const next = argv[at + 1] ?? '';
    const hasValue = isNamed && (next === 'true' || next === 'false');
    words.push(isNamed ? `${word}=${hasValue ? next : 'true'}` : word);
    if (hasValue) at += 1;
  }
  return words;
}

/** The words of a command line that name a command, as far as it has them. */
function wordsOf(argv: readonly string[], commands: readonly Command[]): string[] {
  const [name, verb = ''] = argv.filter((word) => !word.startsWith('-'));
  const command = commands.find((each) => each.name === name);
  if (command === undefined) return [];
  const hasVerb = 'commands' in command && command.commands.some((each) => each.name === verb);
  return hasVerb ? [command.name, verb] : [command.name];
}

/** The same command with nothing to be shown of it. */
function withoutHelp<T extends CommandDefinition | CommandGroup>(command: T): T {
  if ('commands' in command) return { ...command, commands: command.commands.map(withoutHelp) };
  const hide = <O extends object>(options: Readonly<Record<string, O>>): Record<string, O> =>
    Object.fromEntries(
      Object.entries(options).map(([name, option]) => [name, { ...option, hidden: true }]),
    );
  return {
    ...command,
    examples: [],
    positionals: hide(command.positionals),
    options: hide(command.options),
  };
}

function bindGroup(
  { name, summary, commands, implied }: CommandGroup,
  invoke: Invoke,
): CommandModule {
  return {
    command: name,
    describe: summary,
    builder(parser) {
      for (const command of commands) parser.command(bind(command, invoke));
      for (const [line, meaning] of implied?.examples ?? []) parser.example(`$0 ${line}`, meaning);
      return parser.demandCommand(1, `Name a command of ${name}`);
    },
    // Never reached: one of the commands is demanded.
    handler: () => undefined,
  };
}

function bind(command: CommandDefinition, invoke: Invoke): CommandModule {
  const places = Object.entries(command.positionals).map(([name, options]) => {
    const dots = options.array === true ? '..' : '';
    return options.required === false ? `[${name}${dots}]` : `<${name}${dots}>`;
  });
  return {
    command: [command.name, ...places].join(' '),
    describe: command.summary,
    builder(parser) {
      for (const [name, { required: _required, ...options }] of Object.entries(
        command.positionals,
      )) {
        parser.positional(name, options);
      }
      parser.options(command.options);
      for (const [line, meaning] of command.examples) parser.example(`$0 ${line}`, meaning);
      return parser;
    },
    handler: (parsed) => invoke(command, parsed),
  };
}

/**
 * A command is a value; this file alone binds it to yargs. It also holds the one catch: every error
 * becomes a message on stderr (and JSON on stdout with `--json`) and an exit code.
 */

import yargs, { type Argv, type CommandModule, type Options, type PositionalOptions } from 'yargs';
import { UsageError } from '../core/errors.ts';
import type { Reporter } from '../core/events.ts';
import { EXIT, exitCodeOf } from './exit-code.ts';
import { errorToJson, renderError } from './render/error.ts';
import { openProgress, type ProgressMode } from './render/progress.ts';
import type { Terminal } from './terminal.ts';

/** What a command is given besides its arguments. */
export interface CommandContext {
  readonly reporter: Reporter;
  /** Aborted by Ctrl-C and SIGTERM. */
  readonly signal: AbortSignal;
  readonly env: NodeJS.ProcessEnv;
  readonly terminal: Terminal;
  readonly json: boolean;
  readonly verbose: boolean;
}

/** What a command has to say at its end. */
export interface CommandResult {
  /** For people, without a last newline; empty for nothing. */
  readonly text: string;
  /** The same for programs; the stable form. */
  readonly json: unknown;
  readonly exitCode?: number;
}

export interface CommandDefinition {
  readonly name: string;
  readonly summary: string;
  readonly positionals: Readonly<
    Record<string, PositionalOptions & { readonly required?: boolean }>
  >;
  readonly options: Readonly<Record<string, Options>>;
  /** Command line and what it does. */
  readonly examples: readonly (readonly [line: string, meaning: string])[];
  /** Whether malformed input is a failed verification (exit 3) rather than a failure (exit 1). */
  readonly verifying?: boolean;
  run(args: CommandArguments, context: CommandContext): Promise<CommandResult>;
}

/** Commands under one name, as in `microbuild avb info_image`. */
export interface CommandGroup {
  readonly name: string;
  readonly summary: string;
  readonly commands: readonly CommandDefinition[];
}

/** Typed access to parsed arguments. */
export interface CommandArguments {
  text(name: string): string;
  optionalText(name: string): string | undefined;
  list(name: string): string[];
  optionalList(name: string): string[] | undefined;
  flag(name: string): boolean;
  number(name: string): number;
  optionalNumber(name: string): number | undefined;
}

const argumentsOf = (parsed: Record<string, unknown>): CommandArguments => ({
  text: (name) => parsed[name] as string,
  optionalText: (name) => parsed[name] as string | undefined,
  list: (name) => ((parsed[name] as unknown[] | undefined) ?? []).map(String),
  optionalList: (name) => (parsed[name] as unknown[] | undefined)?.map(String),
  flag: (name) => parsed[name] === true,
  number: (name) => parsed[name] as number,
  optionalNumber: (name) => parsed[name] as number | undefined,
});

const globalOptions: Record<string, Options> = {
  json: {
    type: 'boolean',
    default: false,
    describe: 'Print the result as JSON, events as JSON lines on stderr',
  },
  quiet: { type: 'boolean', default: false, alias: 'q', describe: 'Print only results and errors' },
  verbose: { type: 'boolean', default: false, alias: 'v', describe: 'Print more of what happens' },
};

/** Runs the command line. @returns the exit code. */
export async function runCommandLine(
  argv: readonly string[],
  commands: readonly (CommandDefinition | CommandGroup)[],
  world: { terminal: Terminal; env: NodeJS.ProcessEnv; signal: AbortSignal; version: string },
): Promise<number> {
  let exitCode: number = EXIT.ok;
  const invoke: Invoke = async (command, parsed) => {
    exitCode = await runCommand(command, parsed, world);
  };
  const parser: Argv = yargs([...argv])
    .scriptName('microbuild')
    .usage(
      '$0 <command>\n\nOne recipe in; a signed, verified, reproducible, bootable micro-VM bundle out.',
    )
    .options(globalOptions)
    .group(Object.keys(globalOptions), 'Output:')
    .completion('completion', 'Print a completion script for bash or zsh')
    .version(world.version)
    .strict()
    .recommendCommands()
    .demandCommand(1, 'Name a command')
    .wrap(Math.min(110, process.stdout.columns ?? 100))
    .exitProcess(false)
    .epilogue(
      'Exit codes: 0 ok, 1 failed, 2 usage or recipe, 3 verification failed, 4 environment, 70 bug, 130 interrupted',
    )
    .fail((message, error) => {
      throw error ?? new UsageError('usage', message, { hint: 'See microbuild --help' });
    });
  // The parser lays out its help before each run, which takes as long as the rest of its work: options
  // that nobody will see are left out of it.
  const isShown = argv.includes('--help') || argv.includes('--get-yargs-completions');
  const shown = isShown ? commands : commands.map(withoutHelp);
  for (const command of shown) {
    parser.command('commands' in command ? bindGroup(command, invoke) : bind(command, invoke));
  }
  try {
    await parser.parseAsync();
    return exitCode;
  } catch (error) {
    world.terminal.err(renderError(error, world.terminal, false));
    return exitCodeOf(error, false);
  }
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

type Invoke = (command: CommandDefinition, parsed: Record<string, unknown>) => Promise<void>;

function bindGroup({ name, summary, commands }: CommandGroup, invoke: Invoke): CommandModule {
  return {
    command: name,
    describe: summary,
    builder(parser) {
      for (const command of commands) parser.command(bind(command, invoke));
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

async function runCommand(
  command: CommandDefinition,
  parsed: Record<string, unknown>,
  world: { terminal: Terminal; env: NodeJS.ProcessEnv; signal: AbortSignal },
): Promise<number> {
  const { terminal } = world;
  const json = parsed['json'] === true;
  const verbose = parsed['verbose'] === true;
  const mode: ProgressMode = json
    ? 'json'
    : parsed['quiet'] === true
      ? 'quiet'
      : terminal.interactive
        ? 'tasks'
        : 'lines';
  const progress = openProgress(mode, terminal, verbose);
  try {
    const result = await command.run(argumentsOf(parsed), {
      ...world,
      reporter: progress,
      json,
      verbose,
    });
    await progress.close();
    if (json) terminal.out(JSON.stringify(result.json, jsonValue, 2));
    else if (result.text !== '') terminal.out(result.text);
    return result.exitCode ?? EXIT.ok;
  } catch (error) {
    await progress.close();
    const exitCode = world.signal.aborted
      ? EXIT.interrupted
      : exitCodeOf(error, command.verifying === true);
    if (world.signal.aborted) terminal.err('interrupted: nothing was left half-written');
    else terminal.err(renderError(error, terminal, verbose));
    if (json) terminal.out(JSON.stringify({ error: errorToJson(error, exitCode) }, jsonValue, 2));
    return exitCode;
  }
}

/** 64-bit values as decimal text: JSON numbers would lose digits. */
const jsonValue = (_key: string, value: unknown): unknown =>
  typeof value === 'bigint' ? value.toString() : value;

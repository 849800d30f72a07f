/**
 * A command is a value, and what it is given and gives. This file also holds the one catch: every error
 * becomes a message on stderr (and JSON on stdout with `--json`) and an exit code.
 */

import type { Options, PositionalOptions } from 'yargs';
import type { BuildEvent, Reporter } from '../core/events.ts';
import { EXIT, exitCodeOf } from './exit-code.ts';
import { exitCodeOfInterruption, Interruption } from './interruption.ts';
import { errorToJson, renderError } from './render/error.ts';
import { checkCommandName, checkPlaces, checkText } from './mistakes.ts';
import { readPlainly } from './plain-arguments.ts';
import type { ProgressMode } from './render/progress.ts';
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
  /** The command line behind `microbuild`, as it was given, up to `--`. */
  readonly argv: readonly string[];
  /** What stood behind `--`. */
  readonly rest: readonly string[];
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
  /** What is given behind `--`; without it nothing can be. */
  readonly rest?: string;
  /** Whether malformed input is a failed verification (exit 3) rather than a failure (exit 1). */
  readonly verifying?: boolean;
  /**
   * What it is at, for people at a terminal, when it takes over a second and tells nothing itself. A command that prints while it
   * runs has none.
   */
  readonly title?: (args: CommandArguments) => string | undefined;
  run(args: CommandArguments, context: CommandContext): Promise<CommandResult>;
}

/** Commands under one name, as in `microbuild avb info_image`. */
export interface CommandGroup {
  readonly name: string;
  readonly summary: string;
  readonly commands: readonly CommandDefinition[];
  readonly implied?: ImpliedCommands;
}

/** Command lines that mean a command of a group without naming it. */
export interface ImpliedCommands {
  readonly examples: CommandDefinition['examples'];
  /**
   * @param words Behind the name of the group.
   * @returns the whole line that is meant, and the commands that it is one of; undefined when the line
   *   names a command, or means none.
   */
  complete(
    words: readonly string[],
  ): Promise<{ argv: readonly string[]; commands: readonly Command[] } | undefined>;
}

export type Command = CommandDefinition | CommandGroup;

/** Typed access to parsed arguments. */
export interface CommandArguments {
  text(name: string): string;
  optionalText(name: string): string | undefined;
  list(name: string): string[];
  optionalList(name: string): string[] | undefined;
  flag(name: string): boolean;
  /** Undefined when neither `--NAME` nor `--no-NAME` was given. */
  optionalFlag(name: string): boolean | undefined;
  number(name: string): number;
  optionalNumber(name: string): number | undefined;
  /** Whatever was given, undefined for nothing. */
  any(name: string): unknown;
}

const argumentsOf = (parsed: Readonly<Record<string, unknown>>): CommandArguments => ({
  text: (name) => parsed[name] as string,
  optionalText: (name) => parsed[name] as string | undefined,
  list: (name) => ((parsed[name] as unknown[] | undefined) ?? []).map(String),
  optionalList: (name) => (parsed[name] as unknown[] | undefined)?.map(String),
  flag: (name) => parsed[name] === true,
  optionalFlag: (name) => parsed[name] as boolean | undefined,
  number: (name) => parsed[name] as number,
  optionalNumber: (name) => parsed[name] as number | undefined,
  any: (name) => parsed[name],
});

/** Of every command. */
export const globalOptions: Record<string, Options> = {
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
  given: readonly string[],
  known: readonly Command[],
  world: { terminal: Terminal; env: NodeJS.ProcessEnv; signal: AbortSignal; version: string },
): Promise<number> {
  let exitCode: number = EXIT.ok;
  try {
    checkText(given);
    const { argv: words, commands } = await completeLine(given, known);
    const { argv, rest } = splitRest(words, commands);
    checkCommandName(argv, commands);
    const plain = readPlainly(argv, commands, globalOptions);
    if (plain !== undefined) {
      return await runCommand(plain.command, plain.parsed, { ...world, argv, rest });
    }
    const { parseWithYargs } = await import('./yargs.ts');
    await parseWithYargs(argv, commands, world.version, async (command, parsed) => {
      exitCode = await runCommand(command, parsed, { ...world, argv, rest });
    });
    return exitCode;
  } catch (error) {
    exitCode = exitCodeOf(error, false);
    // What cannot be parsed may still ask for it.
    tellError(error, exitCode, { terminal: world.terminal, json: given.includes('--json') });
    return exitCode;
  }
}

/** The line that is meant: most say it outright. */
async function completeLine(
  argv: readonly string[],
  commands: readonly Command[],
): Promise<{ argv: readonly string[]; commands: readonly Command[] }> {
  const at = argv.findIndex((word) => !word.startsWith('-'));
  const group = commands.find(({ name }) => name === argv[at]);
  if (group === undefined || !('implied' in group) || argv.includes('--help')) {
    return { argv, commands };
  }
  const words = [...argv.slice(0, at), ...argv.slice(at + 1)];
  return (await group.implied?.complete(words)) ?? { argv, commands };
}

/** Cuts off what is behind `--`, for commands that take it. */
function splitRest(
  words: readonly string[],
  commands: readonly Command[],
): { argv: readonly string[]; rest: readonly string[] } {
  const at = words.indexOf('--');
  const name = words.find((word) => !word.startsWith('-'));
  const command = commands.find((each) => each.name === name);
  const takesRest = command !== undefined && 'rest' in command && command.rest !== undefined;
  if (at < 0 || !takesRest) return { argv: words, rest: [] };
  return { argv: words.slice(0, at), rest: words.slice(at + 1) };
}

async function runCommand(
  command: CommandDefinition,
  parsed: Readonly<Record<string, unknown>>,
  world: {
    terminal: Terminal;
    env: NodeJS.ProcessEnv;
    signal: AbortSignal;
    argv: readonly string[];
    rest: readonly string[];
  },
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
  // Help and mistakes come without it.
  const { openProgress } = await import('./render/progress.ts');
  const progress = openProgress(mode, terminal, verbose);
  const args = argumentsOf(parsed);
  // Who reads a log or events does not wait before them.
  const title = mode === 'tasks' ? command.title?.(args) : undefined;
  const silence = tellOfSilence(progress, command.name, title);
  try {
    checkPlaces(command, parsed, world.argv);
    const { reporter } = silence;
    const result = await command.run(args, { ...world, reporter, json, verbose });
    silence.end();
    await progress.close();
    if (json) terminal.out(JSON.stringify(result.json, jsonValue, 2));
    else if (result.text !== '') terminal.out(result.text);
    return result.exitCode ?? EXIT.ok;
  } catch (error) {
    silence.end(error instanceof Error ? error.message : String(error));
    await progress.close();
    const exitCode = world.signal.aborted
      ? exitCodeOfInterruption(world.signal)
      : exitCodeOf(error, command.verifying === true);
    const told = world.signal.aborted ? (world.signal.reason as unknown) : error;
    tellError(told, exitCode, { terminal, json, verbose });
    return exitCode;
  }
}

/** Nobody waits longer without being told for what, in milliseconds. */
const SILENCE_MS = 1000;

/** Reports a command as a step when it has reported nothing for a while. */
function tellOfSilence(
  reporter: Reporter,
  step: string,
  title: string | undefined,
): { readonly reporter: Reporter; end(failure?: string): void } {
  if (title === undefined) return { reporter, end: () => undefined };
  const started = performance.now();
  let isTold = false;
  const timer = setTimeout(() => {
    isTold = true;
    reporter.report({ kind: 'step-start', step, title });
  }, SILENCE_MS);
  return {
    reporter: {
      report(event) {
        clearTimeout(timer);
        reporter.report(event);
      },
    },
    end(failure) {
      clearTimeout(timer);
      if (!isTold) return;
      const milliseconds = performance.now() - started;
      reporter.report(
        failure === undefined
          ? { kind: 'step-done', step, title, cached: false, milliseconds }
          : { kind: 'step-failed', step, title, message: failure },
      );
    },
  };
}

/** Says what failed, for people or for programs. */
export function tellError(
  error: unknown,
  exitCode: number,
  { terminal, json, verbose = false }: { terminal: Terminal; json: boolean; verbose?: boolean },
): void {
  if (!json) {
    const isInterruption = error instanceof Interruption;
    terminal.err(isInterruption ? INTERRUPTED : renderError(error, terminal, verbose));
    return;
  }
  const fields = errorToJson(error, exitCode);
  const { message, hint } = fields as { readonly message: string; readonly hint?: string };
  const event: BuildEvent = {
    kind: 'error',
    exitCode,
    message,
    ...(hint !== undefined && { hint }),
  };
  terminal.err(JSON.stringify(event));
  terminal.out(JSON.stringify({ error: fields }, jsonValue, 2));
}

const INTERRUPTED = 'interrupted: nothing was left half-written';

/** 64-bit values as decimal text: JSON numbers would lose digits. */
const jsonValue = (_key: string, value: unknown): unknown =>
  typeof value === 'bigint' ? value.toString() : value;

/** What completion knows of the commands, as plain data: made of their definitions when microbuild is built. */

import type { Options } from 'yargs';
import type { Command, CommandDefinition } from '../command.ts';

/** What is looked for when somebody completes. */
export type LiveSource =
  | 'files'
  | 'folders'
  | 'machines'
  | 'running-machines'
  | 'instances'
  | 'profiles'
  | 'payloads';

/** What can stand somewhere: these words, or what is found then; neither where nobody can know. */
export interface Values {
  readonly choices?: readonly string[];
  readonly from?: LiveSource;
}

export interface PlaceSpec extends Values {
  readonly name: string;
  readonly many: boolean;
}

export interface OptionSpec extends Values {
  /** Without dashes. */
  readonly name: string;
  readonly letter?: string;
  readonly summary: string;
  /** Whether a value follows it. */
  readonly takesValue: boolean;
  /** Whether it can be given again. */
  readonly many: boolean;
}

export interface CommandSpec {
  readonly name: string;
  readonly summary: string;
  /** Of a group. */
  readonly commands?: readonly CommandSpec[];
  readonly places: readonly PlaceSpec[];
  readonly options: readonly OptionSpec[];
}

export interface CompletionSpec {
  readonly commands: readonly CommandSpec[];
  /** Of every command. */
  readonly options: readonly OptionSpec[];
}

/** Places that no file is meant for. */
const PLACES: Readonly<Record<string, Values>> = {
  'call vm': { from: 'running-machines' },
  'call port': {},
  'call method': {},
  'call args': {},
  'console vm': { from: 'running-machines' },
  'stop vm': { from: 'running-machines' },
  'logs vm': { from: 'machines' },
  'instance show name': { from: 'instances' },
  'instance remove name': { from: 'instances' },
  'init directory': { from: 'folders' },
  'erofs create folder': { from: 'folders' },
  'inspect operands': {},
};

/** Options that no file is meant for. */
const OPTIONS: Readonly<Record<string, Values>> = {
  profile: { from: 'profiles' },
  payload: { from: 'payloads' },
  instance: { from: 'instances' },
  keys: { from: 'folders' },
  prepare: { from: 'folders' },
  attach: { from: 'folders' },
  include: { from: 'folders' },
  runtime: {},
};

const PASS_PHRASES: Values = { choices: ['env:', 'file:', 'stdin', 'prompt'] };

/** Options whose values are numbers, names or digests that nobody can guess. */
const UNKNOWN =
  /^(name|package|var|salt|uuid|label|call|arg|algorithm|format|hash|hash-alg|exclude|compress|size|subject|usage|challenge|os-.*|not-(before|after)|.*(version|versions|roots|size|blocks|offset|index|location|flags?|timestamp|digest|name|string|growth|percent|cache|type|prop|cmdline|id|_algorithm|_partition))$/;

/** @param codes What `explain` explains. */
export function completionSpec(
  commands: readonly Command[],
  globalOptions: Readonly<Record<string, Options>>,
  codes: readonly string[],
): CompletionSpec {
  return {
    commands: commands.map((command) =>
      'commands' in command
        ? {
            name: command.name,
            summary: command.summary,
            commands: command.commands.map((each) => commandSpec(each, command.name, codes)),
            places: [],
            options: [],
          }
        : commandSpec(command, undefined, codes),
    ),
    options: Object.entries(globalOptions).map(([name, option]) => optionSpec(name, option)),
  };
}

function commandSpec(
  { name, summary, positionals, options }: CommandDefinition,
  group: string | undefined,
  codes: readonly string[],
): CommandSpec {
  const whole = group === undefined ? name : `${group} ${name}`;
  return {
    name,
    summary,
    places: Object.entries(positionals).map(([place, { choices, array }]) => ({
      name: place,
      many: array === true,
      ...(whole === 'explain'
        ? { choices: codes }
        : valuesOf(choices, PLACES[`${whole} ${place}`])),
    })),
    options: Object.entries(options)
      .filter(([, { hidden }]) => hidden !== true)
      .map(([option, definition]) => optionSpec(option, definition)),
  };
}

function optionSpec(name: string, option: Options): OptionSpec {
  const { type, alias, array, describe = '', choices } = option;
  const takesValue = type !== 'boolean';
  return {
    name,
    ...(typeof alias === 'string' && alias.length === 1 && { letter: alias }),
    summary: describe,
    takesValue,
    many: array === true,
    ...(takesValue && (type === 'number' ? { choices: (choices ?? []).map(String) } : guess())),
  };

  function guess(): Values {
    if (name.endsWith('-pass')) return PASS_PHRASES;
    return valuesOf(choices, OPTIONS[name] ?? (UNKNOWN.test(name) ? {} : undefined));
  }
}

const valuesOf = (choices: Options['choices'], known: Values | undefined): Values =>
  choices === undefined ? (known ?? { from: 'files' }) : { choices: choices.map(String) };

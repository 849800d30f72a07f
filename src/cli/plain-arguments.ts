/**
 * The usual command line, read without yargs: loading that takes longer than most commands run.
 *
 * Everything else is left to yargs: help, mistakes, and what it might read in a way of its own, such as
 * names that look like numbers. So nothing is accepted here that it would refuse, or read differently.
 */

import type { Options } from 'yargs';
import type { CommandDefinition, CommandGroup } from './command.ts';

export interface PlainCommandLine {
  readonly command: CommandDefinition;
  /** By the names of positionals and options, in the types of their definitions. */
  readonly parsed: Readonly<Record<string, unknown>>;
}

/** What of a definition is understood here. */
const UNDERSTOOD: ReadonlySet<string> = new Set(
  'type array nargs requiresArg required default choices alias describe hidden'.split(' '),
);

/** @returns undefined when it is for yargs. */
export function readPlainly(
  argv: readonly string[],
  commands: readonly (CommandDefinition | CommandGroup)[],
  globalOptions: Readonly<Record<string, Options>>,
): PlainCommandLine | undefined {
  const [first, second] = argv;
  const named = commands.find(({ name }) => name === first);
  if (named === undefined) return undefined;
  const isGroup = 'commands' in named;
  const command = isGroup ? named.commands.find(({ name }) => name === second) : named;
  if (command === undefined) return undefined;
  const words = argv.slice(isGroup ? 2 : 1);
  const parsed = readWords(words, command, { ...globalOptions, ...command.options });
  return parsed && { command, parsed };
}

function readWords(
  words: readonly string[],
  { positionals }: CommandDefinition,
  options: Readonly<Record<string, Options>>,
): Record<string, unknown> | undefined {
  const definitions = [...Object.values(options), ...Object.values(positionals)];
  if (!definitions.every(isUnderstood)) return undefined;
  const given = new Map<string, unknown>();
  const places: string[] = [];
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at] ?? '';
    if (!word.startsWith('-')) {
      if (!isPlainText(word)) return undefined;
      places.push(word);
      continue;
    }
    const [, before = word, behind] = /^(--[^=]+)=(.*)$/s.exec(word) ?? [];
    const name = nameOf(before, options);
    const option = name === undefined ? undefined : options[name];
    if (name === undefined || option === undefined) return undefined;
    const next = behind ?? words[at + 1];
    if (option.type === 'boolean') {
      if (given.has(name) || behind !== undefined || next === 'true' || next === 'false') {
        return undefined;
      }
      given.set(name, true);
      continue;
    }
    const value = next === undefined ? undefined : valueOf(next, option);
    if (value === undefined || (given.has(name) && option.array !== true)) return undefined;
    given.set(name, option.array === true ? [...((given.get(name) ?? []) as []), value] : value);
    if (behind === undefined) at += 1;
  }
  const placed = readPlaces(places, positionals);
  if (placed === undefined) return undefined;
  const defaults = Object.entries(options).map(([name, option]) => [name, option.default]);
  return { ...Object.fromEntries(defaults), ...Object.fromEntries(given), ...placed };
}

function isUnderstood(option: Options): boolean {
  const { type, alias, array, nargs } = option;
  return (
    Object.keys(option).every((key) => UNDERSTOOD.has(key)) &&
    (type === 'string' || type === 'number' || type === 'boolean') &&
    (alias === undefined || typeof alias === 'string') &&
    // Others take as many words as there are.
    (array !== true || (type === 'string' && (nargs === 1 || !('nargs' in option))))
  );
}

/** The option that a word names, as `--name` or by its letter. */
function nameOf(word: string, options: Readonly<Record<string, Options>>): string | undefined {
  if (word.startsWith('--')) {
    const name = word.slice(2);
    return Object.hasOwn(options, name) ? name : undefined;
  }
  return Object.keys(options).find((name) => `-${String(options[name]?.alias)}` === word);
}

/** Text that nobody takes for an option, a number or something quoted. */
const isPlainText = (word: string): boolean => Number.isNaN(Number(word)) && !/^[-'"]/.test(word);

function valueOf(word: string, { type, choices, array, nargs }: Options): unknown {
  if (array === true && nargs !== 1) return undefined;
  if (type === 'number' ? !/^(0|[1-9]\d{0,14})$/.test(word) : word === '' || /^[-'"]/.test(word)) {
    return undefined;
  }
  const value = type === 'number' ? Number(word) : word;
  return choices === undefined || choices.includes(value) ? value : undefined;
}

function readPlaces(
  words: readonly string[],
  positionals: CommandDefinition['positionals'],
): Record<string, unknown> | undefined {
  const values: Record<string, unknown> = {};
  let rest = words;
  for (const [name, { array, required, choices, type, default: value }] of Object.entries(
    positionals,
  )) {
    if (type !== 'string') return undefined;
    const taken = rest.slice(0, array === true ? rest.length : 1);
    rest = rest.slice(taken.length);
    if (taken.length === 0 && required !== false) return undefined;
    if (choices !== undefined && !taken.every((word) => choices.includes(word))) return undefined;
    values[name] = array === true ? taken : (taken[0] ?? value);
  }
  return rest.length === 0 ? values : undefined;
}

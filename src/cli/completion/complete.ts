/** What can stand where the cursor is. */

import type { CommandSpec, CompletionSpec, LiveSource, OptionSpec, Values } from './spec.ts';

export interface Candidate {
  readonly word: string;
  readonly summary: string;
}

export interface Completion {
  readonly candidates: readonly Candidate[];
  /** What else can be looked for. */
  readonly from?: LiveSource | undefined;
  /** In front of what is found: that of `--option=`. */
  readonly prefix: string;
  /** What stands at the places of the command so far. */
  readonly places: readonly string[];
}

const HELP: OptionSpec = { name: 'help', summary: 'Show help', takesValue: false, many: false };
const HELP_COMMAND = { name: 'help', summary: 'Show the help of a command' } as const;
const VERSION: OptionSpec = {
  name: 'version',
  summary: 'Show version number',
  takesValue: false,
  many: false,
};

const nothing = (places: readonly string[] = []): Completion => ({
  candidates: [],
  prefix: '',
  places,
});

/**
 * @param words Behind the program, up to the one that is being typed.
 * @param current That one; may be empty.
 */
export function complete(
  spec: CompletionSpec,
  words: readonly string[],
  current: string,
): Completion {
  const common = [...spec.options, HELP];
  // What stands behind `help` is a command.
  let at = words[0] === 'help' ? 1 : 0;
  /** The commands that the next word can name. */
  let choosable: readonly CommandSpec[] | undefined = spec.commands;
  let command: CommandSpec | undefined;
  while (choosable !== undefined) {
    while (words[at]?.startsWith('-') === true) at += 1;
    const word = words[at];
    if (word === undefined) {
      const options = command === undefined ? [...common, VERSION] : common;
      return current.startsWith('-')
        ? matching(optionWords(options, words), current)
        : matching(
            [...choosable, ...(words.length === 0 ? [HELP_COMMAND] : [])].map(
              ({ name, summary }) => ({ word: name, summary }),
            ),
            current,
          );
    }
    command = choosable.find(({ name }) => name === word);
    if (command === undefined) return nothing();
    choosable = command.commands;
    at += 1;
  }
  if (command === undefined) return nothing();
  return completeIn(command, [...common, ...command.options], words.slice(at), current, words);
}

function completeIn(
  command: CommandSpec,
  options: readonly OptionSpec[],
  words: readonly string[],
  current: string,
  all: readonly string[],
): Completion {
  const find = (word: string): OptionSpec | undefined =>
    options.find(({ name, letter }) => word === `--${name}` || word === `-${letter}`);
  const places: string[] = [];
  let pending: OptionSpec | undefined;
  for (const word of words) {
    if (word === '--') return nothing(places);
    if (pending !== undefined) pending = undefined;
    else if (word.startsWith('-')) pending = takingValue(find(word));
    else places.push(word);
  }
  if (pending !== undefined) return valuesOf(pending, current, '', places);
  const [, name, value] = /^(--[^=]+)=(.*)$/s.exec(current) ?? [];
  if (name !== undefined && value !== undefined) {
    const option = takingValue(find(name));
    return option === undefined ? nothing(places) : valuesOf(option, value, `${name}=`, places);
  }
  if (current.startsWith('-')) return { ...matching(optionWords(options, all), current), places };
  const last = command.places.at(-1);
  const place = command.places[places.length] ?? (last?.many === true ? last : undefined);
  return place === undefined
    ? { ...matching(optionWords(options, all), current), places }
    : valuesOf(place, current, '', places);
}

const takingValue = (option: OptionSpec | undefined): OptionSpec | undefined =>
  option?.takesValue === true ? option : undefined;

/** Those that were not given, or can be given again. */
function optionWords(options: readonly OptionSpec[], words: readonly string[]): Candidate[] {
  const given = new Set(words.map((word) => word.replace(/=.*$/s, '')));
  return options
    .filter(
      ({ name, letter, many }) => many || !(given.has(`--${name}`) || given.has(`-${letter}`)),
    )
    .map(({ name, summary }) => ({ word: `--${name}`, summary }));
}

function valuesOf(
  { choices = [], from }: Values,
  current: string,
  prefix: string,
  places: readonly string[],
): Completion {
  const candidates = choices.map((word) => ({ word, summary: '' }));
  return { ...matching(candidates, current, prefix), from, places };
}

function matching(candidates: readonly Candidate[], current: string, prefix = ''): Completion {
  return {
    candidates: candidates
      .filter(({ word }) => word.startsWith(current))
      .map(({ word, summary }) => ({ word: `${prefix}${word}`, summary })),
    prefix,
    places: [],
  };
}

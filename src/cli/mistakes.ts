/** What is wrong with a command line, in our words: what it is, and what was likely meant. */

import { readFileSync } from 'node:fs';
import { UsageError } from '../core/errors.ts';
import { isTextOf } from '../io/text-of.ts';
import { closest } from '../recipe/closest.ts';
import type { Command, CommandDefinition } from './command.ts';

/** Beside those of its definition, every command has these. */
const COMMON = ['json', 'quiet', 'verbose', 'help'];
const PROGRAM = 'microbuild';

/** What a command line names, as far as it does. */
interface Named {
  /** With the name of the program. */
  readonly line: string;
  readonly command: CommandDefinition | undefined;
}

/**
 * What is not UTF-8 has become other characters before anybody here sees it: it would name other files.
 *
 * @throws {UsageError} `usage`
 */
export function checkText(argv: readonly string[]): void {
  for (const word of argv) {
    if (isTextOf(word, () => (isGiven(word) ? Buffer.from(word) : new Uint8Array(0)))) continue;
    throw new UsageError('usage', `Cannot use "${word}": it is not UTF-8`, {
      hint: 'Give the file another name, or name it by a link',
    });
  }
}

/** Whether this process was given that word as it is, as far as the system tells. */
function isGiven(word: string): boolean {
  try {
    const given = Buffer.concat([Buffer.from('\0'), readFileSync('/proc/self/cmdline')]);
    return given.includes(`\0${word}\0`);
  } catch {
    return true;
  }
}

/**
 * An empty name would be this folder, as where a variable of a script is not set.
 *
 * @throws {UsageError} `usage`
 */
export function checkPlaces(
  { positionals }: CommandDefinition,
  parsed: Readonly<Record<string, unknown>>,
  argv: readonly string[],
): void {
  for (const [name, { array }] of Object.entries(positionals)) {
    if (array === true || parsed[name] !== '') continue;
    // The parser takes a single dash for nothing.
    const word = argv.includes('-') ? '-' : '""';
    throw new UsageError('usage', `Cannot use ${word} as <${name}>: it names nothing`, {
      hint: 'Standard input is /dev/stdin',
    });
  }
}

/** @throws {UsageError} `usage` when no command is named, or one that there is not. */
export function checkCommandName(argv: readonly string[], commands: readonly Command[]): void {
  const [name, verb] = argv.filter((word) => !word.startsWith('-'));
  const see = (line: string): string => `See ${line} --help`;
  const isHelp = argv.includes('--help') || argv.includes('--version');
  if (name === undefined) {
    if (isHelp) return;
    throw new UsageError('usage', 'Name a command', { hint: see(PROGRAM) });
  }
  const found = commands.find((each) => each.name === name);
  if (found === undefined) throw unknown(name, commands, PROGRAM);
  if (!('commands' in found) || found.commands.some((each) => each.name === verb)) return;
  // The words of such a group may be files.
  if (found.implied !== undefined || (verb === undefined && isHelp)) return;
  const line = `${PROGRAM} ${name}`;
  if (verb !== undefined) throw unknown(verb, found.commands, line);
  const verbs = found.commands.map((each) => each.name).join(', ');
  throw new UsageError('usage', `Name a command of ${name}: ${verbs}`, { hint: see(line) });
}

function unknown(
  word: string,
  commands: readonly { readonly name: string }[],
  line: string,
): UsageError {
  const near = closest(
    word,
    commands.map(({ name }) => name),
  );
  const meant = near === undefined ? '' : `Did you mean ${line} ${near}? `;
  return new UsageError('usage', `There is no command "${word}" of ${line}`, {
    hint: `${meant}See ${line} --help`,
  });
}

/** @param message What the parser says. */
export function usageError(
  message: string,
  argv: readonly string[],
  commands: readonly Command[],
): UsageError {
  const named = namedBy(argv, commands);
  const { text, meant } = inOurWords(message, argv, named);
  const hint = `${meant === undefined ? '' : `Did you mean ${meant}? `}See ${named.line} --help`;
  return new UsageError('usage', text, { hint });
}

function namedBy(argv: readonly string[], commands: readonly Command[]): Named {
  const [name, verb] = argv.filter((word) => !word.startsWith('-'));
  const found = commands.find((each) => each.name === name);
  if (found === undefined) return { line: PROGRAM, command: undefined };
  if (!('commands' in found)) return { line: `${PROGRAM} ${found.name}`, command: found };
  const command = found.commands.find((each) => each.name === verb);
  const words = [PROGRAM, found.name, ...(command === undefined ? [] : [command.name])];
  return { line: words.join(' '), command };
}

interface Words {
  readonly text: string;
  /** What was likely meant. */
  readonly meant?: string | undefined;
}

function inOurWords(message: string, argv: readonly string[], named: Named): Words {
  const { line, command } = named;
  const [, unknownNames] = /^Unknown arguments?: (.+)$/s.exec(message) ?? [];
  if (unknownNames !== undefined) return unknownWord(unknownNames.split(', '), argv, named);
  const [, valueless] = /^Not enough arguments following: (\S+)$/.exec(message) ?? [];
  if (valueless !== undefined) return { text: `${dashed(valueless)} needs a value` };
  const [, missing] = /^Missing required arguments?: (.+)$/s.exec(message) ?? [];
  if (missing !== undefined) {
    return { text: `${line} needs ${missing.split(', ').map(dashed).join(' and ')}` };
  }
  if (message.startsWith('Not enough non-option arguments') && command !== undefined) {
    return { text: `${line} needs ${placesOf(command)}` };
  }
  const [, name, given, choices] =
    /^Invalid values: Argument: (\S+), Given: (.*), Choices: (.+)$/s.exec(message) ?? [];
  if (name !== undefined && given !== undefined && choices !== undefined) {
    const known = [...choices.matchAll(/"([^"]*)"/g)].map(([, choice = '']) => choice);
    const word = given.replaceAll(/^"|"$/g, '');
    const place = Object.hasOwn(command?.positionals ?? {}, name)
      ? name.toUpperCase()
      : dashed(name);
    return {
      text: `Cannot use "${word}" as ${place}: it is one of ${known.join(', ')}`,
      meant: closest(word, known),
    };
  }
  return { text: message };
}

const dashed = (name: string): string => (name.length === 1 ? `-${name}` : `--${name}`);

const placesOf = ({ positionals }: CommandDefinition): string =>
  Object.entries(positionals)
    .filter(([, { required }]) => required !== false)
    .map(([name]) => name.toUpperCase())
    .join(' and ');

/** @param names Of options and words; the parser tells some of them in two spellings. */
function unknownWord(names: readonly string[], argv: readonly string[], named: Named): Words {
  const { line, command } = named;
  const isOption = (word: string): boolean => word.length > 1 && word.startsWith('-');
  const nameOf = (word: string): string => word.replace(/^--?/, '').replace(/=.*$/s, '');
  const option = argv.find((word) => isOption(word) && names.includes(nameOf(word)));
  if (option === undefined) {
    const places = command === undefined ? '' : placesOf(command);
    const more = places === '' ? 'nothing' : `no more than ${places}`;
    return { text: `${line} takes ${more}: "${names[0] ?? ''}" is too much` };
  }
  const known = [...Object.keys(command?.options ?? {}), ...COMMON];
  const near = closest(nameOf(option), known);
  return {
    text: `There is no option ${option.replace(/=.*$/s, '')} of ${line}`,
    meant: near === undefined ? undefined : dashed(near),
  };
}

/** Command lines that messages, pages and documentation tell to type: they are understood. */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import type { Command, CommandDefinition } from '../../../src/cli/command.ts';
import { loadCommands } from '../../../src/cli/commands.ts';
import { explainedNames } from '../../../src/cli/explain.ts';

/** Options of every command. */
const GLOBAL = ['json', 'quiet', 'verbose', 'help', 'version'];
/** Words that stand for any command, and those of sentences about the program. */
const ANY = new Set(['COMMAND', 'completion', 'that', 'are']);
/** What begins the salts of images, which is no command line. */
const SALT = 'salt';

let commands: readonly Command[] = [];
beforeAll(async () => {
  commands = await loadCommands();
});

interface Mention {
  readonly text: string;
  readonly command: string;
  readonly words: readonly string[];
}

/** `microbuild COMMAND ...` up to the end of the line, the sentence or the quotation. */
function* mentionsIn(text: string): Generator<Mention> {
  for (const [line, rest = ''] of text.matchAll(/\bmicrobuild ([^\n`'"|;#)\\…]+)/g)) {
    const sentence = rest.split(/(?<=\S)[.,:](?:\s|$)/)[0] ?? '';
    const [command = '', ...words] = sentence.split(/\s+/);
    yield { text: line, command, words };
  }
}

const optionsOf = (command: CommandDefinition): string[] =>
  Object.entries(command.options).flatMap(([name, { alias }]) => [
    name,
    // What can be switched off.
    `no-${name}`,
    ...[alias ?? []].flat(),
  ]);

/** What a command line says that is not understood. */
function misunderstood({ command, words }: Mention): string[] {
  const named = commands.find(({ name }) => name === command);
  if (named === undefined) return ANY.has(command) ? [] : [command];
  let known: string[];
  if ('commands' in named) {
    const verb = named.commands.find(({ name }) => words.includes(name));
    const all = named.commands.flatMap(optionsOf);
    const [first = ''] = words;
    // A plain word behind the name of a group is a command of it; a file has a dot or a slash.
    if (verb === undefined && first !== SALT && /^[a-z][a-z0-9_-]*$/.test(first))
      return [`${command} ${first}`];
    known = verb === undefined ? all : optionsOf(verb);
  } else known = optionsOf(named);
  const end = words.indexOf('--');
  return words.slice(0, end === -1 ? undefined : end).flatMap((word) => {
    const [, option] = /^--([a-z][a-z0-9_-]*)/.exec(word) ?? [];
    return option === undefined || [...GLOBAL, ...known].includes(option) ? [] : [`--${option}`];
  });
}

const told = (text: string, isCommand: (mention: Mention) => boolean): string[] =>
  [...mentionsIn(text)]
    .filter(isCommand)
    .flatMap((mention) => misunderstood(mention).map((what) => `${what} of: ${mention.text}`));

const isKnown = ({ command }: Mention): boolean => commands.some(({ name }) => name === command);

describe('command lines', () => {
  test('of remedies and examples name commands and options that there are', () => {
    const pages = explainedNames().flatMap(({ remedy, example }) => [remedy, example]);
    expect(pages.flatMap((text) => [...mentionsIn(text)]).length).toBeGreaterThan(50);
    expect(pages.flatMap((text) => told(text, () => true))).toEqual([]);
  });

  test('in messages of the program have options that there are', () => {
    const files = readdirSync('src', { recursive: true, encoding: 'utf8' }).filter((name) =>
      name.endsWith('.ts'),
    );
    const all = files.map((name) => readFileSync(join('src', name), 'utf8'));
    expect(all.flatMap((text) => told(text, isKnown))).toEqual([]);
  });

  test('of the documentation have options that there are', () => {
    const files = readdirSync('docs', { recursive: true, encoding: 'utf8' }).filter((name) =>
      name.endsWith('.md'),
    );
    const all = [...files.map((name) => join('docs', name)), 'README.md', 'ARCHITECTURE.md'];
    const texts = all.map((name) => readFileSync(name, 'utf8'));
    expect(texts.flatMap((text) => told(text, isKnown))).toEqual([]);
  });

  test('one that is not understood is found', () => {
    const line = 'Run: microbuild image . --nosuch; microbuild nosuch x';
    expect(told(line, () => true)).toEqual([
      '--nosuch of: microbuild image . --nosuch',
      'nosuch of: microbuild nosuch x',
    ]);
  });
});

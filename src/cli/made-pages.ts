/**
 * What is made of the commands' definitions when microbuild is built (scripts/build.js): the text of every help page, and what
 * completion has to know. To ask the definitions for it, all commands would have to be loaded, and the parser.
 */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CompletionSpec } from './completion/spec.ts';
import { packageRoot } from './package-root.ts';

/** Columns that help is laid out for; between them the next less serves, and for less than all the parser does it. */
export const HELP_WIDTHS: readonly number[] = [40, 60, 80, 100, 110];

/** The most columns that help uses, and how many where there is no terminal. */
const MAX_WIDTH = 110;
const NO_TERMINAL = 100;

export const helpWidth = (columns: number | undefined): number =>
  Math.min(MAX_WIDTH, columns ?? NO_TERMINAL);

/** Files of the build, below the package. */
export const helpFile = (width: number): string => `dist/bin/help-${width}.json`;
export const COMPLETION_FILE = 'dist/bin/completion.json';

/** Help pages by the words of their command; the first page has none. */
export type HelpPages = Readonly<Record<string, string>>;

/**
 * A command line that asks for help, in the form that the parser knows: `microbuild`, `help COMMAND` and `-h` ask for it, too.
 */
export function withHelpSpelled(argv: readonly string[]): readonly string[] {
  const [first, ...rest] = argv;
  if (first === undefined) return ['--help'];
  if (first === 'help') return [...rest.filter((word) => !isHelp(word)), '--help'];
  // What stands behind an option may be its value, and what stands behind -- is of another program.
  const at = argv.indexOf('-h');
  const isAsked = at >= 0 && !argv.slice(0, at).some((word) => word.startsWith('-'));
  return isAsked ? [...argv.slice(0, at), '--help'] : argv;
}

const isHelp = (word: string): boolean => word === '--help' || word === '-h';

/**
 * The help that a command line asks for, as `withHelpSpelled` gives it.
 *
 * @returns undefined when it asks for something else, or in a way that is left to the parser.
 */
export function findHelp(argv: readonly string[], columns: number | undefined): string | undefined {
  const words = argv.filter((word) => word !== '--help');
  if (words.length !== argv.length - 1 || words.some((word) => word.startsWith('-')))
    return undefined;
  const width = helpWidth(columns);
  const made = HELP_WIDTHS.findLast((each) => each <= width);
  const pages =
    made === undefined ? undefined : (readMade(helpFile(made)) as HelpPages | undefined);
  const key = words.join(' ');
  return pages !== undefined && Object.hasOwn(pages, key) ? pages[key] : undefined;
}

export const readCompletionSpec = (): CompletionSpec | undefined =>
  readMade(COMPLETION_FILE) as CompletionSpec | undefined;

/** Undefined where it was not made, as in a checkout that was only compiled. */
function readMade(path: string): unknown {
  let text: string;
  try {
    text = readFileSync(join(packageRoot, path), 'utf8');
  } catch {
    return undefined;
  }
  return JSON.parse(text);
}

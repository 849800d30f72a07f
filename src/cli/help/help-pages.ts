/** All help pages, as the parser lays them out. */

import { commandWords, helpOf } from '../yargs.ts';
import type { Command } from '../command.ts';
import type { HelpPages } from '../made-pages.ts';

/** @param width In columns. */
export async function helpPages(
  commands: readonly Command[],
  version: string,
  width: number,
): Promise<HelpPages> {
  const pages: Record<string, string> = {};
  for (const words of commandWords(commands)) {
    pages[words.join(' ')] = await helpOf(words, commands, version, width);
  }
  return pages;
}

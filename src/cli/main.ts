/** The command line: which commands there are, Ctrl-C, and the exit code. */

import { readFileSync } from 'node:fs';
import { runCommandLine } from './command.ts';
import { loadCommands } from './commands.ts';
import { packageRoot } from './package-root.ts';
import { openTerminal } from './terminal.ts';

/** Runs `microbuild ARGV`. @returns the exit code. */
export async function main(argv: readonly string[]): Promise<number> {
  const { version } = JSON.parse(readFileSync(`${packageRoot}/package.json`, 'utf8')) as {
    version: string;
  };
  const interruption = new AbortController();
  const interrupt = (): void => interruption.abort();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, interrupt);
  return runCommandLine(argv, await loadCommands(argv), {
    terminal: openTerminal(process.env),
    env: process.env,
    signal: interruption.signal,
    version,
  });
}

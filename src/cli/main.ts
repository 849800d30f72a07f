/** The command line: which commands there are, Ctrl-C, and the exit code. */

import { readFileSync } from 'node:fs';
import { runCommandLine, type CommandDefinition } from './command.ts';
import { callCommand } from './commands/call.ts';
import { imageCommand } from './commands/image.ts';
import { inspectCommand } from './commands/inspect.ts';
import { lockCommand } from './commands/lock.ts';
import { runCommand } from './commands/run.ts';
import { schemaCommand } from './commands/schema.ts';
import { verifyCommand } from './commands/verify.ts';
import { packageRoot } from './package-root.ts';
import { openTerminal } from './terminal.ts';

const commands: readonly CommandDefinition[] = [
  imageCommand,
  runCommand,
  callCommand,
  verifyCommand,
  inspectCommand,
  lockCommand,
  schemaCommand,
];

/** Runs `microbuild ARGV`. @returns the exit code. */
export async function main(argv: readonly string[]): Promise<number> {
  const { version } = JSON.parse(readFileSync(`${packageRoot}/package.json`, 'utf8')) as {
    version: string;
  };
  const interruption = new AbortController();
  const interrupt = (): void => interruption.abort();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, interrupt);
  return runCommandLine(argv, commands, {
    terminal: openTerminal(process.env),
    env: process.env,
    signal: interruption.signal,
    version,
  });
}

/** The command line: which commands there are, Ctrl-C, and the exit code. */

import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { cleanUpAbruptly, isGraceNeeded } from '../io/abrupt-end.ts';
import { runCommandLine, tellError } from './command.ts';
import { loadCommands } from './commands.ts';
import { EXIT, exitCodeOf } from './exit-code.ts';
import { Interruption } from './interruption.ts';
import { findHelp, withHelpSpelled } from './made-pages.ts';
import { packageRoot } from './package-root.ts';
import { openTerminal, type Terminal } from './terminal.ts';

/** Runs `microbuild ARGV`. @returns the exit code. */
export async function main(given: readonly string[]): Promise<number> {
  const { version } = JSON.parse(readFileSync(`${packageRoot}/package.json`, 'utf8')) as {
    version: string;
  };
  const terminal = openTerminal(process.env);
  const argv = withHelpSpelled(given);
  process.on('uncaughtException', (error) => {
    // Nobody waits for what is under way any more: nothing of it stays.
    cleanUpAbruptly();
    const exitCode = exitCodeOf(error, false);
    tellError(error, exitCode, { terminal, json: argv.includes('--json') });
    process.exit(exitCode);
  });
  // What needs no command is answered without loading any.
  const text =
    argv.length === 1 && argv[0] === '--version'
      ? version
      : argv[0] === '__complete'
        ? await completed(argv.slice(1))
        : findHelp(argv, process.stdout.columns);
  if (text !== undefined) {
    terminal.out(text);
    return EXIT.ok;
  }
  return runCommandLine(argv, await loadCommands(argv), {
    terminal,
    env: process.env,
    signal: interruptions(terminal, argv.includes('--json')),
    version,
  });
}

async function completed(words: readonly string[]): Promise<string> {
  const { answerCompletion } = await import('./completion/answer.ts');
  return answerCompletion(words, process.env);
}

/** How long what is under way has to end in order, in milliseconds. */
const PATIENCE = 200;
/** The same where programs run that were asked to end. */
const PATIENCE_WITH_PROGRAMS = 3000;

/**
 * The first Ctrl-C, SIGTERM or SIGHUP asks what is under way to end in order. A second one, or a time in which that could have
 * been done, end it at once; that leaves nothing half-written either.
 *
 * @returns is aborted with an `Interruption`.
 */
function interruptions(terminal: Terminal, json: boolean): AbortSignal {
  const controller = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    const exitCode = 128 + constants.signals[signal];
    const endNow = (): void => {
      cleanUpAbruptly();
      tellError(controller.signal.reason, exitCode, { terminal, json });
      // To exit would wait for every read under way, also of a pipe that nobody writes to: so it ends by the signal, as a shell
      // wants of who is interrupted.
      process.removeAllListeners(signal);
      process.kill(process.pid, signal);
    };
    process.on(signal, () => {
      if (controller.signal.aborted) endNow();
      controller.abort(new Interruption(exitCode));
      setTimeout(() => {
        if (!isGraceNeeded()) endNow();
      }, PATIENCE).unref();
      setTimeout(endNow, PATIENCE_WITH_PROGRAMS).unref();
    });
  }
  return controller.signal;
}

/** Runs an external program to its end: no shell, bounded output, an error that shows what it said. */

import { spawn, type ChildProcess } from 'node:child_process';
import { EnvironmentError, ToolError } from '../core/errors.ts';
import { atAbruptEnd, needGrace } from '../io/abrupt-end.ts';

export interface RunToolOptions {
  readonly cwd?: string;
  /** The whole environment of the program; nothing is inherited besides. */
  readonly env: NodeJS.ProcessEnv;
  readonly signal?: AbortSignal | undefined;
  /** How to install the program, for the error when it is absent. */
  readonly installHint?: string;
}

/** Enough of standard error to see the cause. */
const STDERR_TAIL = 4000;
/** More output than any program we call prints. */
const MAX_STDOUT = 64 << 20;

/** What a program that is told to end has left to do so, in milliseconds. */
const GRACE = 2000;

/** Ends a program and all that it started, unless that made groups of its own. */
function endGroup({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // Nothing of it runs any more.
  }
}

/**
 * When `signal` aborts, the program and what it started are ended: they are told to, and killed two seconds later.
 *
 * @returns what the program wrote to standard output.
 * @throws {ToolError} when it exits with another code than 0.
 * @throws {EnvironmentError} when there is no such program.
 * @throws the reason of `signal` once it aborted and the program is gone.
 */
export function runTool(
  program: string,
  args: readonly string[],
  options: RunToolOptions,
): Promise<string> {
  const { signal: abort } = options;
  return new Promise((resolve, reject) => {
    if (abort?.aborted === true) return reject(abort.reason as Error);
    const child = spawn(program, args, {
      env: options.env,
      stdio: ['ignore', 'pipe', 'pipe'],
      // A group of its own, so that what it starts can be ended with it.
      detached: true,
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    });
    const releases = [needGrace(), atAbruptEnd(() => endGroup(child, 'SIGKILL'))];
    let killing: NodeJS.Timeout | undefined;
    const end = (): void => {
      endGroup(child, 'SIGTERM');
      killing ??= setTimeout(() => {
        endGroup(child, 'SIGKILL');
        // Whoever still holds the pipes has left the group: nobody waits for it.
        output?.destroy();
        said?.destroy();
      }, GRACE);
    };
    abort?.addEventListener('abort', end, { once: true });
    const settle = (): void => {
      clearTimeout(killing);
      for (const release of releases) release();
      abort?.removeEventListener('abort', end);
    };
    const stdout: Buffer[] = [];
    let stdoutSize = 0;
    let stderrTail = '';
    // A program that could not be started may have no pipes.
    const { stdout: output, stderr: said } = child as Partial<typeof child>;
    output?.on('data', (chunk: Buffer) => {
      stdoutSize += chunk.length;
      if (stdoutSize > MAX_STDOUT) end();
      else stdout.push(chunk);
    });
    said?.on('data', (chunk: Buffer) => {
      stderrTail = (stderrTail + chunk.toString('utf8')).slice(-STDERR_TAIL);
    });
    child.on('error', (cause: NodeJS.ErrnoException) => {
      settle();
      if (cause.code !== 'ENOENT') return reject(cause);
      return reject(
        new EnvironmentError(program, `Cannot run ${program}: it is not installed`, {
          cause,
          ...(options.installHint === undefined ? {} : { hint: options.installHint }),
        }),
      );
    });
    child.on('close', (exitCode, signal) => {
      settle();
      if (abort?.aborted === true) {
        // What it started may have closed its pipes and work on.
        endGroup(child, 'SIGKILL');
        return reject(abort.reason as Error);
      }
      if (exitCode === 0 && stdoutSize <= MAX_STDOUT) {
        return resolve(Buffer.concat(stdout).toString('utf8'));
      }
      const why = signal === null ? `exit code ${exitCode}` : `signal ${signal}`;
      return reject(
        new ToolError(`${[program, ...args].join(' ').slice(0, 200)} failed with ${why}`, {
          argv: [program, ...args],
          exitCode,
          signal,
          stderrTail,
        }),
      );
    });
  });
}

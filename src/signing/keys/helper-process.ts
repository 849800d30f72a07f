/** Runs a signing helper: one question on its standard input, one answer on its standard output. */

import { spawn, type ChildProcess } from 'node:child_process';
import { ToolError, UsageError } from '../../core/errors.ts';
import { atAbruptEnd, needGrace } from '../../io/abrupt-end.ts';

export interface HelperCall {
  readonly program: string;
  readonly args: readonly string[];
  readonly input: Uint8Array;
  readonly env: NodeJS.ProcessEnv;
  /** In bytes. A longer answer is none, and nobody waits for its end. */
  readonly maxOutput: number;
  readonly timeoutSeconds: number;
  readonly signal?: AbortSignal | undefined;
}

/** How much of what the program says on stderr goes into an error. */
const STDERR_TAIL = 4096;

/** What a program that is told to end has left to do so, in milliseconds. */
const GRACE = 1000;

/** Ends a program and what it started. */
function endGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    // It has just ended by itself.
  }
}

/**
 * Runs the program to its end.
 *
 * @returns all of its standard output.
 * @throws {UsageError} `key` when it cannot be started.
 * @throws {ToolError} when it fails, answers too much or not in time.
 */
export function callHelper(call: HelperCall): Promise<Uint8Array> {
  const { program, args, input, env, maxOutput, timeoutSeconds, signal: abort } = call;
  return new Promise((resolve, reject) => {
    if (abort?.aborted === true) return reject(abort.reason as Error);
    // A group of its own, so that what it starts can be ended with it.
    const child = spawn(program, args, { env, stdio: 'pipe', detached: true });
    const releases = [needGrace(), atAbruptEnd(() => endGroup(child, 'SIGKILL'))];
    const output: Buffer[] = [];
    let size = 0;
    let stderrTail = '';
    let ended: (() => Error) | undefined;
    let killing: NodeJS.Timeout | undefined;
    const failure = (message: string, exitCode: number | null, by: string | null): ToolError =>
      new ToolError(message, {
        argv: [program, ...args],
        exitCode,
        signal: by,
        stderrTail,
      });
    const end = (reason: () => Error): void => {
      ended ??= reason;
      endGroup(child, 'SIGTERM');
      killing ??= setTimeout(() => {
        endGroup(child, 'SIGKILL');
        // Whoever still holds the pipes has left the group: nobody waits for it.
        stdout?.destroy();
        stderr?.destroy();
      }, GRACE);
    };
    const timer = setTimeout(() => {
      const message = `Cannot sign: ${program} gave no answer within ${timeoutSeconds} s and was ended`;
      end(() => failure(message, null, 'SIGTERM'));
    }, timeoutSeconds * 1000);
    const onAbort = (): void => end(() => abort?.reason as Error);
    abort?.addEventListener('abort', onAbort, { once: true });

    // A program that could not be started may have no pipes.
    const { stdin, stdout, stderr } = child as Partial<typeof child>;
    stdout?.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size <= maxOutput) output.push(chunk);
      else {
        const message = `Cannot sign: ${program} answered with more than the ${maxOutput} bytes of a signature`;
        end(() => failure(message, null, 'SIGTERM'));
      }
    });
    stderr?.on('data', (chunk: Buffer) => {
      stderrTail = (stderrTail + chunk.toString('utf8')).slice(-STDERR_TAIL);
    });
    // A program that does not read its input closes the pipe: its exit code says the rest.
    stdin?.on('error', () => undefined);
    stdin?.end(input);
    const settle = (): void => {
      clearTimeout(timer);
      clearTimeout(killing);
      for (const release of releases) release();
      abort?.removeEventListener('abort', onAbort);
    };
    child.on('error', (cause) => {
      settle();
      reject(
        new UsageError('key', `Cannot run signing helper ${program}: ${cause.message}`, {
          cause,
          hint: 'It must be an executable file, or a name that PATH leads to',
        }),
      );
    });
    child.on('close', (exitCode, by) => {
      settle();
      if (ended !== undefined) return reject(ended());
      if (exitCode === 0) return resolve(new Uint8Array(Buffer.concat(output)));
      return reject(failure(`Cannot sign: ${program} failed`, exitCode, by));
    });
  });
}

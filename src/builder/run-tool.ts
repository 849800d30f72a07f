/** Runs an external program to its end: no shell, bounded output, an error that shows what it said. */

import { spawn } from 'node:child_process';
import { EnvironmentError, ToolError } from '../core/errors.ts';

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

/**
 * @returns what the program wrote to standard output.
 * @throws {ToolError} when it exits with another code than 0.
 * @throws {EnvironmentError} when there is no such program.
 */
export function runTool(
  program: string,
  args: readonly string[],
  options: RunToolOptions,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      env: options.env,
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    const stdout: Buffer[] = [];
    let stdoutSize = 0;
    let stderrTail = '';
    child.stdout.on('data', (chunk: Buffer) => {
      stdoutSize += chunk.length;
      if (stdoutSize > MAX_STDOUT) child.kill();
      else stdout.push(chunk);
    });
    child.stderr.on('data', (chunk: Buffer) => {
      stderrTail = (stderrTail + chunk.toString('utf8')).slice(-STDERR_TAIL);
    });
    child.on('error', (cause: NodeJS.ErrnoException) => {
      if (cause.code !== 'ENOENT') return reject(cause);
      return reject(
        new EnvironmentError(program, `Cannot run ${program}: it is not installed`, {
          cause,
          ...(options.installHint === undefined ? {} : { hint: options.installHint }),
        }),
      );
    });
    child.on('close', (exitCode, signal) => {
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

/** Runs the command line as a process of its own, in given surroundings. */

import { spawn } from 'node:child_process';
import { atAbruptEnd, needGrace } from '../../io/abrupt-end.ts';
import type { Launch } from './surroundings.ts';

export interface ChildResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Whether it was ended because it took too long. */
  readonly isLate: boolean;
}

/** More than any build says; of what is longer the end counts. */
const MAX_OUTPUT = 1 << 20;

/** @throws {AbortError} when the signal is aborted; the process is asked to end before, and has ended. */
export function runChild(
  { argv: [program = '', ...args], env }: Launch,
  {
    cwd,
    signal,
    timeLimit,
  }: {
    readonly cwd: string;
    readonly signal?: AbortSignal | undefined;
    /** In milliseconds. */
    readonly timeLimit?: number | undefined;
  },
): Promise<ChildResult> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const child = spawn(program, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
    const said = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const) {
      // A program that could not be started may have no pipes.
      (child as Partial<typeof child>)[name]?.on('data', (chunk: Buffer) => {
        said[name] = (said[name] + chunk.toString('utf8')).slice(-MAX_OUTPUT);
      });
    }
    const stop = (): void => void child.kill('SIGTERM');
    signal?.addEventListener('abort', stop);
    const releases = [needGrace(), atAbruptEnd(stop)];
    let isLate = false;
    const late =
      timeLimit === undefined
        ? undefined
        : setTimeout(() => {
            isLate = true;
            stop();
          }, timeLimit);
    const done = (): void => {
      for (const release of releases) release();
      clearTimeout(late);
      signal?.removeEventListener('abort', stop);
    };
    child.on('error', (error: NodeJS.ErrnoException) => {
      done();
      if (error.code !== 'ENOENT') return reject(error);
      return resolve({ exitCode: 127, stdout: '', stderr: `${program} is not installed`, isLate });
    });
    child.on('close', (code) => {
      done();
      if (signal?.aborted === true) return reject(signal.reason as Error);
      return resolve({ exitCode: code ?? 128, ...said, isLate });
    });
  });
}

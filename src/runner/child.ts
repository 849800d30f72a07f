/**
 * A program that the runner owns. It is ended by its own process id, and by the kernel when the
 * runner dies without a chance to do so: `setpriv --pdeathsig` asks for SIGKILL at the death of the
 * parent. A parent that died before that was asked would not be noticed, so the program is started only
 * when its parent still is the runner. Where util-linux' setpriv is absent only the exit handler remains.
 */

import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { open } from 'node:fs/promises';
import type { Duplex } from 'node:stream';
import { delimiter, isAbsolute, join } from 'node:path';
import { EnvironmentError } from '../core/errors.ts';
import { needGrace } from '../io/abrupt-end.ts';

export interface ExitStatus {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface OwnedChild {
  readonly pid: number;
  readonly argv: readonly string[];
  /** Our ends of the sockets that were asked for, in that order. */
  readonly sockets: readonly Duplex[];
  /** Resolves when the process is gone. */
  readonly exited: Promise<ExitStatus>;
  /** True until the process is gone. */
  readonly isRunning: () => boolean;
  /** Asks with SIGTERM, insists with SIGKILL after `graceMilliseconds`. */
  terminate(graceMilliseconds: number): Promise<ExitStatus>;
}

/** What a program inherits as descriptors 3, 4 and so on: an open file of ours, or one end of a new socket pair. */
export type Inherited = number | 'socket';

/** The number of the first inherited descriptor. */
export const FIRST_DESCRIPTOR = 3;

const owned = new Set<ChildProcess>();
let exitHandlerInstalled = false;

/** Ends when the runner is no longer its parent, else becomes the program. */
const START_SCRIPT = '[ "$PPID" = "$1" ] || exit 125; shift; exec "$@"';

/** The path of a program, or undefined. */
export function findProgram(name: string, path = process.env['PATH'] ?? ''): string | undefined {
  if (name.includes('/')) return existsSync(name) ? name : undefined;
  return path
    .split(delimiter)
    .filter((folder) => isAbsolute(folder))
    .map((folder) => join(folder, name))
    .find((candidate) => existsSync(candidate));
}

/** How a program is started so that it cannot outlive the runner. */
export function ownedCommand(program: string, args: readonly string[]): readonly string[] {
  const setpriv = findProgram('setpriv');
  if (setpriv === undefined) return [program, ...args];
  const start = ['/bin/sh', '-c', START_SCRIPT, 'sh', String(process.pid)];
  return [setpriv, '--pdeathsig', 'KILL', '--', ...start, program, ...args];
}

/**
 * Starts a program with nothing on stdin and both outputs in a log file.
 *
 * @throws {EnvironmentError} when the program cannot be started.
 */
export async function startChild(
  program: string,
  args: readonly string[],
  logFile: string,
  options: { readonly env?: NodeJS.ProcessEnv; readonly inherit?: readonly Inherited[] } = {},
): Promise<OwnedChild> {
  const { env = process.env, inherit = [] } = options;
  const argv = ownedCommand(program, args);
  const log = await open(logFile, 'w', 0o600);
  // On Linux Node's pipe is a pair of connected sockets, which both ends read and write.
  const inherited = inherit.map((each) => (each === 'socket' ? 'pipe' : each));
  const stdio: StdioOptions = ['ignore', log.fd, log.fd, ...inherited];
  let child: ChildProcess;
  try {
    child = spawn(argv[0] ?? program, argv.slice(1), { stdio, env });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', reject);
    });
  } catch (cause) {
    throw new EnvironmentError(program, `Cannot start ${program}`, { cause });
  } finally {
    await log.close();
  }
  const { pid } = child;
  if (pid === undefined) throw new EnvironmentError(program, `Cannot start ${program}`);
  own(child);
  const release = needGrace();
  const exited = new Promise<ExitStatus>((resolve) => {
    child.once('exit', (code, signal) => {
      owned.delete(child);
      release();
      resolve({ code, signal });
    });
  });
  const isRunning = (): boolean => child.exitCode === null && child.signalCode === null;
  return {
    pid,
    argv: [program, ...args],
    sockets: inherit.flatMap((each, i) =>
      each === 'socket' ? [child.stdio[FIRST_DESCRIPTOR + i] as Duplex] : [],
    ),
    exited,
    isRunning,
    async terminate(graceMilliseconds) {
      if (isRunning()) child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), graceMilliseconds);
      try {
        return await exited;
      } finally {
        clearTimeout(timer);
      }
    },
  };
}

/** The end of a log file, at most `bytes` long; empty when it cannot be read. */
export async function readTail(path: string, bytes = 4096): Promise<string> {
  return readPart(path, bytes, (size) => Math.max(0, size - bytes));
}

/** The start of a file, at most `bytes` long; empty when it cannot be read. */
export async function readHead(path: string, bytes: number): Promise<string> {
  return readPart(path, bytes, () => 0);
}

async function readPart(
  path: string,
  bytes: number,
  from: (size: number) => number,
): Promise<string> {
  try {
    const handle = await open(path, 'r');
    try {
      const buffer = Buffer.alloc(bytes);
      const { size } = await handle.stat();
      const { bytesRead } = await handle.read(buffer, 0, bytes, from(size));
      return buffer.toString('utf8', 0, bytesRead).trim();
    } finally {
      await handle.close();
    }
  } catch {
    return '';
  }
}

function own(child: ChildProcess): void {
  owned.add(child);
  if (exitHandlerInstalled) return;
  exitHandlerInstalled = true;
  process.once('exit', () => {
    for (const each of owned) each.kill('SIGKILL');
  });
}

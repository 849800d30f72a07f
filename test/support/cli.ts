/** Runs microbuild as a user does: as a process, with an environment of its own. */

import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { copySharedKeys } from './shared-keys.ts';

export interface CliResult {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A place for keys, run directories and outputs that lives as long as its test file. */
export interface Sandbox {
  readonly folder: string;
  /** Folder of the running VMs' files, by VM name. */
  readonly runFolder: string;
  /** Runs `microbuild ARGS`. */
  microbuild(args: readonly string[], env?: NodeJS.ProcessEnv): Promise<CliResult>;
  dispose(): void;
}

/** @param keys `own` for development keys that no other sandbox has: they are made when they are first needed. */
export function openSandbox({ keys = 'shared' }: { keys?: 'shared' | 'own' } = {}): Sandbox {
  // Short, because sockets have short paths.
  const folder = mkdtempSync(join(tmpdir(), 'mb-'));
  const runtime = join(folder, 'run');
  mkdirSync(runtime, { mode: 0o700 });
  if (keys === 'shared') copySharedKeys(join(folder, 'keys'));
  const base: NodeJS.ProcessEnv = {
    ...process.env,
    MICROBUILD_KEYS: join(folder, 'keys'),
    XDG_RUNTIME_DIR: runtime,
    XDG_STATE_HOME: join(folder, 'state'),
    NO_COLOR: '1',
  };
  return {
    folder,
    runFolder: join(runtime, 'microbuild'),
    microbuild: (args, env = {}) =>
      runProcess(process.execPath, ['bin/microbuild.js', ...args], { ...base, ...env }),
    dispose: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** Runs a program to its end and collects what it printed. */
export function runProcess(
  program: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  options: { uid?: number; gid?: number; cwd?: string } = {},
): Promise<CliResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe'], ...options });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString('utf8')));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString('utf8')));
    child.on('error', reject);
    child.on('close', (status) => resolve({ status: status ?? -1, stdout, stderr }));
  });
}

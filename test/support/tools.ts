/** Other people's programs that judge our bytes. A missing one fails the test: set-up installs them. */

import { spawnSync } from 'node:child_process';

export interface ToolResult {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end; throws when it is not installed. */
export function runTool(
  program: string,
  args: readonly string[],
  options: { input?: string | Uint8Array; cwd?: string; env?: NodeJS.ProcessEnv } = {},
): ToolResult {
  const result = spawnSync(program, args, {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    env: { ...process.env, LC_ALL: 'C', PATH: `${process.env['PATH']}:/usr/sbin:/sbin` },
    ...options,
  });
  if (result.error !== undefined) {
    throw new Error(`Cannot run ${program}: ${result.error.message} (npm run setup installs it)`);
  }
  return { status: result.status ?? -1, stdout: result.stdout, stderr: result.stderr };
}

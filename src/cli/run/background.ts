/**
 * `run --detach` and `run --wait ready`: the machine's runner is a process of its own, which runs on when
 * this one has seen what it waits for. It is `microbuild run --json` without a terminal.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BuildEvent } from '../../core/events.ts';
import { type FoundVm, findVm, registryPath } from '../../runner/registry.ts';
import type { CommandContext, CommandResult } from '../command.ts';
import { EXIT } from '../exit-code.ts';

/** Tells the process in the background that it is the one. */
const MARK = 'MICROBUILD_IN_BACKGROUND';
const POLL_MILLISECONDS = 20;

export const isInBackground = (env: NodeJS.ProcessEnv): boolean => env[MARK] === '1';

/** @param until `running`: the machine was started; `ready`: its payload serves. */
export async function runInBackground(
  until: 'running' | 'ready',
  context: CommandContext,
): Promise<CommandResult> {
  const child = spawnRunner(context);
  const exited = new Promise<number>((resolve) => {
    child.once('close', (code) => resolve(code ?? EXIT.runner));
  });
  const interrupt = (): void => void child.kill('SIGTERM');
  context.signal.addEventListener('abort', interrupt, { once: true });
  let output = '';
  child.stdout?.on('data', (text: Buffer) => (output += text.toString('utf8')));
  const reached = watch(child.stderr as Readable, until, context);
  const first = await Promise.race([reached, exited]);
  context.signal.removeEventListener('abort', interrupt);
  if (typeof first === 'number') return ended(first, output, context);
  const { vm, milliseconds } = first;
  child.stdout?.destroy();
  child.stderr?.destroy();
  child.unref();
  const { name, pid, cid, state, runDir, runnerPid } = vm;
  return {
    text: `${name} ${until === 'ready' ? `is ready after ${Math.round(milliseconds)} ms` : 'is starting'} (pid ${pid}, cid ${cid}); end it with: microbuild stop ${name}`,
    json: { name, pid, runnerPid, cid, state, runDir },
  };
}

function spawnRunner(context: CommandContext): ChildProcess {
  const [, script = ''] = process.argv;
  const json = context.json ? [] : ['--json'];
  const rest = context.rest.length === 0 ? [] : ['--', ...context.rest];
  return spawn(process.execPath, [script, ...context.argv, ...json, ...rest], {
    // A session of its own: Ctrl-C and the end of the terminal are not for it.
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...context.env, [MARK]: '1' },
  });
}

/** Passes on what the runner says, and resolves when it has come far enough; never, when it does not. */
function watch(
  stderr: Readable,
  until: 'running' | 'ready',
  { reporter, terminal, env }: CommandContext,
): Promise<{ readonly vm: FoundVm; readonly milliseconds: number }> {
  return new Promise((resolve, reject) => {
    let name = '';
    const lines = createInterface({ input: stderr });
    const done = async (milliseconds: number): Promise<void> => {
      const vm = await waitForRecord(name, registryPath(env), () => stderr.readableEnded);
      if (vm !== undefined) resolve({ vm, milliseconds });
    };
    lines.on('line', (line) => {
      const event = parseEvent(line);
      if (event === undefined) {
        terminal.err(line);
        return;
      }
      reporter.report(event);
      if (event.kind !== 'vm-phase') return;
      if (event.phase === 'starting') name = event.detail ?? '';
      const isThere = event.phase === (until === 'ready' ? 'ready' : 'starting');
      if (isThere) done(event.milliseconds).catch(reject);
    });
  });
}

async function waitForRecord(
  name: string,
  registry: string,
  isOver: () => boolean,
): Promise<FoundVm | undefined> {
  while (!isOver()) {
    const vm = await findVm(name, registry);
    if (vm?.running === true) return vm;
    await sleep(POLL_MILLISECONDS);
  }
  return undefined;
}

function parseEvent(line: string): BuildEvent | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    const value = JSON.parse(line) as BuildEvent;
    return typeof value.kind === 'string' ? value : undefined;
  } catch {
    return undefined;
  }
}

/** It ended before it came that far: its result is the result. */
function ended(exitCode: number, output: string, { terminal }: CommandContext): CommandResult {
  let json: unknown;
  try {
    json = JSON.parse(output);
  } catch {
    terminal.err(`error: the runner in the background ended (exit code ${exitCode}): ${output}`);
    return { text: '', json: { error: { message: output, exitCode } }, exitCode: EXIT.runner };
  }
  const { verdict } = json as { verdict?: { kind?: string; exitCode?: number } };
  const text =
    verdict?.kind === 'finished' ? `payload finished with exit code ${verdict.exitCode}` : '';
  return { text, json, exitCode };
}

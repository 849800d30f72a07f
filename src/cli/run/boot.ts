/**
 * Boots a prepared set of files and tells how it ended: what every command that runs a machine ends in.
 */

import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { BUNDLE_FILES } from '../../bundle/layout.ts';
import type { ChainLink } from '../../bundle/verify.ts';
import { MicrobuildError, ToolError } from '../../core/errors.ts';
import type { BuildEvent, Reporter } from '../../core/events.ts';
import { FileFollower } from '../../runner/file-follower.ts';
import { startVm, type Vm, type VmOptions, type VmTimeouts } from '../../runner/session.ts';
import { describeFailure, verdictExitCode, type Verdict } from '../../runner/verdict.ts';
import type { CommandContext, CommandResult } from '../command.ts';
import { EXIT } from '../exit-code.ts';
import { exitCodeOfInterruption } from '../interruption.ts';
import { renderChain } from '../render/chain.ts';
import { errorToJson, renderError } from '../render/error.ts';
import { formatTime } from '../terminal.ts';
import { callWhenReady, type PlannedCall } from './planned-call.ts';

export interface BootJob {
  readonly options: VmOptions;
  readonly timeouts: VmTimeouts;
  /** What was proved before the start. */
  readonly links: readonly ChainLink[];
  /** Folder of `.aidl` files, for `microbuild call`; need not be there. */
  readonly interfaces: string;
  /** Called once the payload is ready; then the machine is ended. */
  readonly call?: PlannedCall | undefined;
  /** Prints the console on stderr. */
  readonly console: boolean;
}

/** @returns the payload's exit code, or 124, 125, 126; the answer of the call, where there is one. */
export async function bootVm(job: BootJob, context: CommandContext): Promise<CommandResult> {
  const phases = new Map<string, number>();
  const reporter: Reporter = {
    report(event: BuildEvent) {
      if (event.kind === 'vm-phase') phases.set(event.phase, event.milliseconds);
      context.reporter.report(event);
    },
  };
  const vm = await startVm(job.options, {
    reporter,
    signal: context.signal,
    timeouts: job.timeouts,
    env: context.env,
  });
  const follower = job.console
    ? new FileFollower(vm.consoleFile, (chunk) => void process.stderr.write(Uint8Array.from(chunk)))
    : undefined;
  try {
    await cp(job.interfaces, join(vm.runDir, BUNDLE_FILES.interfaces), {
      recursive: true,
    }).catch(ignoreMissing);
    return await untilItEnds(vm, job, phases, context);
  } catch (error) {
    const verdict = await vm.stop();
    if (!isRunnerFailure(error)) throw error;
    context.terminal.err(renderError(error, context.terminal, context.verbose));
    return {
      text: '',
      json: { verdict, error: errorToJson(error, EXIT.runner) },
      exitCode: EXIT.runner,
    };
  } finally {
    await follower?.stop();
  }
}

async function untilItEnds(
  vm: Vm,
  { call, links }: BootJob,
  phases: ReadonlyMap<string, number>,
  { terminal, signal, reporter, json: asJson }: CommandContext,
): Promise<CommandResult> {
  const answer = call === undefined ? undefined : await callWhenReady(vm, call);
  const verdict = answer === undefined ? await vm.verdict : await vm.stop();
  const timings = Object.fromEntries([...phases].map(([phase, ms]) => [phase, Math.round(ms)]));
  const json = {
    verdict,
    timings,
    links,
    ...(answer === undefined ? {} : { answer: answer.value }),
  };
  if (answer !== undefined && call !== undefined) {
    return {
      text: [
        `chain of trust, checked before the start (the guest checks it again):`,
        renderChain(links, terminal),
        `ready after ${formatTime(phases.get('ready') ?? 0)}, answered in ${formatTime(answer.milliseconds)}`,
        `${call.description.descriptor}.${call.method} answers: ${JSON.stringify(answer.value)}`,
      ].join('\n'),
      json,
    };
  }
  if (verdict.kind !== 'finished') {
    const message = describeFailure(verdict);
    const exitCode = verdictExitCode(verdict);
    if (asJson) reporter.report({ kind: 'error', exitCode, message });
    else terminal.err(message);
  }
  if (signal.aborted) return { text: '', json, exitCode: exitCodeOfInterruption(signal) };
  return { text: summary(verdict, phases), json, exitCode: verdictExitCode(verdict) };
}

/** A program or a connection of the runner's failed, not the bundle and not the command line. */
const isRunnerFailure = (error: unknown): boolean =>
  error instanceof ToolError || (error instanceof MicrobuildError && error.code.startsWith('rpc-'));

const ignoreMissing = (error: NodeJS.ErrnoException): void => {
  if (error.code !== 'ENOENT') throw error;
};

function summary(verdict: Verdict, phases: ReadonlyMap<string, number>): string {
  if (verdict.kind !== 'finished') return '';
  const ready = phases.get('ready');
  const when = ready === undefined ? '' : `, ready after ${formatTime(ready)}`;
  return `payload finished with exit code ${verdict.exitCode}${when}`;
}

/**
 * One run of a virtual machine, from the private run directory to the verdict.
 *
 * Order: claim the directory, start the vsock backend, listen for the guest's service connection,
 * start the monitor paused, attach to its control socket, let it run. So no event can be missed. On
 * every way out the processes are ended by their own ids and the sockets removed.
 */

import { open, rm } from 'node:fs/promises';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { join } from 'node:path';
import { EnvironmentError } from '../core/errors.ts';
import { type Reporter, silentReporter } from '../core/events.ts';
import { chooseAccelerator } from './accel.ts';
import { type OwnedChild, findProgram, readHead, readTail, startChild } from './child.ts';
import { ConsoleLog, sanitize } from './console.ts';
import { FileFollower } from './file-follower.ts';
import { virtualMachineService } from './host-service.ts';
import { QmpClient, type QmpEvent } from './qmp.ts';
import { type Claim, claimVm, processStart, registryPath, writeVmState } from './registry.ts';
import { RpcServer } from './rpc/server.ts';
import { type Verdict, decideVerdict } from './verdict.ts';
import { type VmOptions, chooseCid, vmmSpec } from './vm-options.ts';
import { probeSandbox, qemu } from './vmm/qemu.ts';
import type { Accelerator, VmmSpec } from './vmm/vmm.ts';
import {
  type VsockConnectOptions,
  connectVsock,
  findVsockBackend,
  startVsockBackend,
} from './vsock.ts';

export type { VmOptions } from './vm-options.ts';

const TERMINATE_MILLISECONDS = 2000;
const REASON_BYTES = 4096;

export interface VmTimeouts {
  /** Of the whole run; none by default. */
  readonly totalMilliseconds?: number;
  /** Until the guest reports that its payload was started; default two minutes. */
  readonly startMilliseconds?: number;
  /** Between the payload's exit code and the guest's power-off; default ten seconds. */
  readonly powerOffMilliseconds?: number;
}

export interface VmContext {
  /** Where the folders of running machines are; default `registryPath()`. */
  readonly registry?: string;
  readonly reporter?: Reporter;
  /** Ends the run. */
  readonly signal?: AbortSignal | undefined;
  readonly timeouts?: VmTimeouts;
}

export type VmPhase = 'started' | 'ready';

export interface Vm {
  readonly name: string;
  readonly pid: number;
  readonly cid: number;
  readonly runDir: string;
  readonly consoleFile: string;
  readonly accelerator: Accelerator;
  /** Resolves, never rejects, when the machine is gone and everything is cleaned up. */
  readonly verdict: Promise<Verdict>;
  /** Resolves to true at the phase, to false when the machine ended without reaching it. */
  reached(phase: VmPhase): Promise<boolean>;
  /** Connects to a port of the guest; tries again while the machine runs. */
  connect(port: number, options?: Pick<VsockConnectOptions, 'signal'>): Promise<Duplex>;
  /** Ends the machine and waits until it is gone. */
  stop(): Promise<Verdict>;
}

/**
 * Starts a machine and returns when it runs (not when the guest is ready).
 *
 * @throws {UsageError} `lock` when a machine of that name runs; {EnvironmentError} when a program is
 *   missing; {ToolError} when one fails. Nothing is left behind then.
 */
export async function startVm(options: VmOptions, context: VmContext = {}): Promise<Vm> {
  const program = findProgram(qemu.program);
  if (program === undefined) {
    throw new EnvironmentError(qemu.program, `Cannot find ${qemu.program}`, {
      hint: 'Install it: apt install qemu-system-x86',
    });
  }
  const backend = findVsockBackend();
  const { accelerator, reason } = await chooseAccelerator(options.accelerator ?? 'auto', {
    qemu: program,
  });
  if (reason !== undefined) {
    context.reporter?.report({ kind: 'warning', message: `Emulating, which is slow: ${reason}` });
  }
  const sandbox = await probeSandbox(program);
  context.signal?.throwIfAborted();
  const claim = await claimVm(options.name, context.registry ?? registryPath());
  const spec = vmmSpec(options, claim.runDir, accelerator, sandbox);
  const run = new Run(spec, claim, context);
  try {
    return await run.start(program, backend);
  } catch (error) {
    await run.abandon();
    throw error;
  }
}

class Run {
  readonly #spec: VmmSpec;
  readonly #claim: Claim;
  readonly #reporter: Reporter;
  readonly #signal: AbortSignal | undefined;
  readonly #timeouts: VmTimeouts;
  readonly #began = Date.now();
  readonly #console = new ConsoleLog();
  readonly #cid: number;
  readonly #hostSocket: string;
  readonly #service: RpcServer;
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #phases = new Map<VmPhase, { promise: Promise<boolean>; settle(v: boolean): void }>();
  readonly #onAbort = (): void => void this.#end('aborted');
  #follower: FileFollower | undefined;
  #backend: OwnedChild | undefined;
  #monitor: OwnedChild | undefined;
  #control: QmpClient | undefined;
  #exitCode: number | undefined;
  #error: { code: number; message: string } | undefined;
  #ended: 'timeout' | 'stopped' | 'aborted' | 'hangup' | undefined;
  #shutdown: string | undefined;
  #cleaned: Promise<void> | undefined;
  #verdict: Promise<Verdict> | undefined;
  /** Writes of the state are made one after the other, so that the last one stays. */
  #stateWritten: Promise<void> = Promise.resolve();

  constructor(spec: VmmSpec, claim: Claim, context: VmContext) {
    this.#spec = spec;
    this.#claim = claim;
    this.#reporter = context.reporter ?? silentReporter;
    this.#signal = context.signal;
    this.#timeouts = context.timeouts ?? {};
    this.#cid = chooseCid(claim.runDir);
    this.#hostSocket = join(claim.runDir, 'vm.vsock');
    for (const phase of ['started', 'ready'] as const) this.#phases.set(phase, settleable());
    this.#service = new RpcServer({
      root: virtualMachineService({
        started: () => this.#reach('started'),
        ready: () => this.#reach('ready'),
        finished: (exitCode) => this.#finished(exitCode),
        error: (code, message) => {
          this.#error ??= { code, message };
          this.#report('error', `${code}: ${sanitize(message)}`);
          this.#expectPowerOff();
        },
      }),
    });
  }

  async start(program: string, backendProgram: string): Promise<Vm> {
    const { runDir } = this.#claim;
    const spec = this.#spec;
    this.#report('starting');
    // Made here so that they are private whatever the umask is.
    for (const path of [spec.consoleFile, spec.reasonFile]) {
      await (await open(path, 'wx', 0o600)).close();
    }
    this.#backend = await startVsockBackend(backendProgram, this.#cid, {
      vhostSocket: spec.vsockSocket,
      hostSocket: this.#hostSocket,
      logFile: join(runDir, 'vsock.log'),
    });
    await this.#service.listen(`${this.#hostSocket}_${this.#cid}`);
    this.#follower = new FileFollower(spec.consoleFile, (chunk) => this.#console.push(chunk));
    const monitor = await startChild(program, qemu.arguments(spec), join(runDir, 'qemu.log'));
    this.#monitor = monitor;
    await this.#writeState('starting');
    const vm = this.#handle(monitor);
    try {
      this.#control = await QmpClient.open(
        spec.controlSocket,
        (event) => this.#onQmp(event),
        monitor.isRunning,
      );
      this.#startTimers();
      this.#signal?.addEventListener('abort', this.#onAbort, { once: true });
      if (this.#signal?.aborted === true) await this.#end('aborted');
      else await this.#control.execute('cont');
    } catch (error) {
      // QEMU that ends closes its socket first; its verdict says why, better than the socket can.
      await Promise.race([monitor.exited, sleep(TERMINATE_MILLISECONDS)]);
      if (monitor.isRunning()) throw error;
    }
    return vm;
  }

  /** Undoes a start that failed. */
  async abandon(): Promise<void> {
    await this.#cleanUpOnce();
    if (this.#verdict === undefined) await this.#claim.release();
    else await this.#verdict;
  }

  /** Ends what runs and removes the sockets; logs and the last state stay for people. */
  #cleanUpOnce(): Promise<void> {
    this.#cleaned ??= this.#cleanUp();
    return this.#cleaned;
  }

  async #cleanUp(): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#signal?.removeEventListener('abort', this.#onAbort);
    this.#control?.close();
    await this.#monitor?.terminate(TERMINATE_MILLISECONDS);
    await this.#backend?.terminate(TERMINATE_MILLISECONDS);
    await this.#service.close();
    await this.#follower?.stop();
    this.#console.end();
    const { vsockSocket, controlSocket } = this.#spec;
    const sockets = [
      vsockSocket,
      controlSocket,
      this.#hostSocket,
      `${this.#hostSocket}_${this.#cid}`,
    ];
    for (const socket of sockets) await rm(socket, { force: true });
  }

  #handle(monitor: OwnedChild): Vm {
    const { name, consoleFile, accelerator } = this.#spec;
    const verdict = this.#conclude(monitor);
    this.#verdict = verdict;
    return {
      name,
      pid: monitor.pid,
      cid: this.#cid,
      runDir: this.#claim.runDir,
      consoleFile,
      accelerator,
      verdict,
      reached: async (phase) => (await this.#phases.get(phase)?.promise) ?? false,
      connect: async (port, options = {}) =>
        connectVsock(this.#hostSocket, port, { ...options, keepTrying: monitor.isRunning }),
      stop: async () => {
        await this.#end('stopped');
        return verdict;
      },
    };
  }

  async #conclude(monitor: OwnedChild): Promise<Verdict> {
    const { code, signal } = await monitor.exited;
    // The last event may still be on its way when the process is gone.
    await this.#control?.closed;
    await this.#cleanUpOnce().catch((error: unknown) => {
      const why = error instanceof Error ? error.message : String(error);
      this.#reporter.report({ kind: 'warning', message: `Could not clean up: ${why}` });
    });
    for (const phase of this.#phases.values()) phase.settle(false);
    const said = await readTail(join(this.#claim.runDir, 'qemu.log'));
    const failed = this.#shutdown === undefined && this.#ended === undefined;
    const how = signal === null ? `exit code ${code}` : signal;
    const verdict = decideVerdict({
      console: this.#console,
      reasonText: await readHead(this.#spec.reasonFile, REASON_BYTES),
      exitCode: this.#exitCode,
      error: this.#error,
      ended: this.#ended,
      shutdown: this.#shutdown,
      vmmFailure: failed ? `QEMU failed (${how})${said === '' ? '' : `: ${said}`}` : undefined,
    });
    await this.#writeState('dead');
    // Last of all: from here on the folder may be somebody else's.
    await this.#claim.release();
    this.#report('dead', this.#ended === 'stopped' ? 'stopped' : verdict.kind);
    return verdict;
  }

  #onQmp({ event, data }: QmpEvent): void {
    if (event !== 'SHUTDOWN') return;
    this.#shutdown ??= typeof data['reason'] === 'string' ? data['reason'] : 'unknown';
  }

  #reach(phase: VmPhase): void {
    this.#phases.get(phase)?.settle(true);
    this.#report(phase);
    void this.#writeState(phase);
  }

  #finished(exitCode: number): void {
    if (this.#exitCode !== undefined) return;
    this.#exitCode = exitCode;
    this.#report('finished', String(exitCode));
    this.#expectPowerOff();
  }

  /** The guest has said its last word: one that does not power off now is ended. */
  #expectPowerOff(): void {
    const grace = this.#timeouts.powerOffMilliseconds ?? 10_000;
    this.#timers.push(setTimeout(() => void this.#end('stopped'), grace));
  }

  #startTimers(): void {
    const { totalMilliseconds, startMilliseconds = 120_000 } = this.#timeouts;
    if (totalMilliseconds !== undefined) {
      this.#timers.push(setTimeout(() => void this.#end('timeout'), totalMilliseconds));
    }
    const hangup = setTimeout(() => void this.#end('hangup'), startMilliseconds);
    this.#timers.push(hangup);
    void this.#phases.get('started')?.promise.then(() => clearTimeout(hangup));
  }

  /** Asks QEMU to quit, then insists. The first reason to end counts. */
  async #end(why: 'timeout' | 'stopped' | 'aborted' | 'hangup'): Promise<void> {
    this.#ended ??= why;
    const monitor = this.#monitor;
    if (monitor === undefined || !monitor.isRunning()) return;
    const insist = setTimeout(() => void monitor.terminate(0), TERMINATE_MILLISECONDS);
    await this.#control?.execute('quit').catch(() => undefined);
    if (this.#control === undefined) await monitor.terminate(TERMINATE_MILLISECONDS);
    await monitor.exited;
    clearTimeout(insist);
  }

  /** A state that cannot be written hides the machine from other commands; it does not end the run. */
  #writeState(state: string): Promise<void> {
    const pid = this.#monitor?.pid ?? 0;
    const written = {
      name: this.#spec.name,
      pid,
      pidStart: processStart(pid) ?? '',
      cid: this.#cid,
      hostSocket: this.#hostSocket,
      consoleFile: this.#spec.consoleFile,
      state,
    };
    this.#stateWritten = this.#stateWritten
      .then(async () => writeVmState(this.#claim.runDir, written))
      .catch((error: unknown) => {
        const message = `Could not write the state of the machine: ${String(error)}`;
        this.#reporter.report({ kind: 'warning', message });
      });
    return this.#stateWritten;
  }

  #report(phase: string, detail?: string): void {
    const milliseconds = Date.now() - this.#began;
    this.#reporter.report({
      kind: 'vm-phase',
      phase,
      milliseconds,
      ...(detail === undefined ? {} : { detail }),
    });
  }
}

function settleable(): { promise: Promise<boolean>; settle(value: boolean): void } {
  const settlers: ((value: boolean) => void)[] = [];
  const promise = new Promise<boolean>((resolve) => settlers.push(resolve));
  return { promise, settle: (value) => settlers.forEach((settler) => settler(value)) };
}

/**
 * One run of a virtual machine, from the private run directory to the verdict.
 *
 * Order: start the vsock backend, listen for the guest's connections, start the monitor paused, take over
 * its control channel, let it run. So no event can be missed. On every way out the processes are ended by
 * their own ids and the sockets removed.
 */

import { readdirSync, rmSync } from 'node:fs';
import { open, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Reporter, silentReporter } from '../core/events.ts';
import { atAbruptEnd } from '../io/abrupt-end.ts';
import { type ExitStatus, type OwnedChild, readHead, readTail, startChild } from './child.ts';
import { LOCK_FILE } from './claim.ts';
import { type ConsolePort, followConsoleFile, openConsolePort } from './console-port.ts';
import { ConsoleLog, sanitize } from './console.ts';
import { HostServices } from './host-services.ts';
import type { VmInstance } from './instance/instance.ts';
import { type VmState, isForward } from './life-cycle.ts';
import { QmpClient, type QmpEvent } from './qmp.ts';
import { REASON_BYTES, readReason } from './reason-port.ts';
import { type Claim, writeVmRecord } from './registry.ts';
import { recordOf } from './run-record.ts';
import type { Prepared, Vm, VmContext, VmPhase, VmTimeouts } from './session.ts';
import { type Settleable, settleable } from './settleable.ts';
import { type EndedBy, type Verdict, decideVerdict, reasonOfExit } from './verdict.ts';
import { type MonitorPlan, type VmOptions, runFiles } from './vm-options.ts';
import { connectVsock, startVsockBackend } from './vsock.ts';

const TERMINATE_MILLISECONDS = 2000;
/** At once; the processes are ended by their owner. */
function giveUp(runDir: string, configFile: string): void {
  rmSync(configFile, { force: true });
  rmSync(join(runDir, LOCK_FILE), { force: true });
  for (const entry of readdirSync(runDir, { withFileTypes: true })) {
    if (entry.isSocket()) rmSync(join(runDir, entry.name));
  }
}

/** A guest that panicked gets this long to say why, where the monitor does not end by itself. */
const PANIC_MILLISECONDS = 1000;
/** Longer than a monitor takes from closing its devices to its end. */
const LATER_MILLISECONDS = 500;
const START_MILLISECONDS = { kvm: 30_000, tcg: 300_000 } as const;

export class Run {
  readonly #options: VmOptions;
  readonly #prepared: Prepared;
  readonly #plan: MonitorPlan;
  readonly #claim: Claim;
  readonly #context: VmContext;
  readonly #reporter: Reporter;
  readonly #timeouts: VmTimeouts;
  readonly #began = Date.now();
  readonly #files: ReturnType<typeof runFiles>;
  readonly #console: ConsoleLog;
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #phases = new Map<VmPhase, Settleable>();
  readonly #onAbort = (): void => void this.#end('aborted');
  #instance: VmInstance | undefined;
  #services: HostServices | undefined;
  #consolePort: ConsolePort | undefined;
  #reason: Promise<string> = Promise.resolve('');
  #backend: OwnedChild | undefined;
  #monitor: OwnedChild | undefined;
  #control: QmpClient | undefined;
  #state: VmState = 'NOT_STARTED';
  #ran = false;
  #exitCode: number | undefined;
  #error: { code: number; message: string } | undefined;
  #ended: EndedBy | undefined;
  #shutdown: string | undefined;
  #cleaned: Promise<void> | undefined;
  readonly #release: () => void;
  #verdict: Promise<Verdict> | undefined;
  /** Records are written one after the other, so that the last one stays. */
  #written: Promise<void> = Promise.resolve();

  constructor(
    options: VmOptions,
    prepared: Prepared,
    plan: MonitorPlan,
    claim: Claim,
    context: VmContext,
  ) {
    this.#options = options;
    this.#prepared = prepared;
    this.#plan = plan;
    this.#claim = claim;
    this.#context = context;
    this.#reporter = context.reporter ?? silentReporter;
    this.#timeouts = context.timeouts ?? {};
    this.#files = runFiles(claim.runDir);
    this.#release = atAbruptEnd(() => giveUp(claim.runDir, plan.spec.configFile));
    const endsOnReset = !prepared.vmm.limits.includes('ends-on-reset');
    this.#console = new ConsoleLog((fact) => {
      if (fact.kind !== 'panic' || endsOnReset) return;
      this.#timers.push(setTimeout(() => void this.#end('panicked'), PANIC_MILLISECONDS));
    });
    for (const phase of ['started', 'ready'] as const) this.#phases.set(phase, settleable());
  }

  async start(): Promise<Vm> {
    const { runDir } = this.#claim;
    const { vsock } = this.#plan.spec;
    const { vmm, program, backend } = this.#prepared;
    this.#go('STARTING');
    this.#report('starting', this.#options.name);
    if (backend !== undefined) {
      this.#backend = await startVsockBackend(backend, vsock.cid, {
        vhostSocket: vsock.vhostSocket,
        hostSocket: vsock.hostSocket,
        logFile: this.#files.vsockLog,
      });
    }
    this.#instance = await this.#options.openInstance?.();
    this.#services = await HostServices.open({
      runDir,
      vsock,
      logFile: this.#files.log,
      forwards: this.#options.forwards ?? [],
      isRunning: () => this.#cleaned === undefined,
      instance: this.#instance,
      guest: {
        started: () => this.#reach('STARTED'),
        ready: () => this.#reach('READY'),
        finished: (exitCode) => this.#finished(exitCode),
        error: (code, message) => this.#failed(code, sanitize(message)),
      },
      controlled: {
        stop: async () => {
          await this.#end('stopped');
          await this.#monitor?.exited;
        },
        attach: (viewer) => this.#consolePort?.attach(viewer) ?? false,
      },
    });
    const command = vmm.command(this.#plan.spec);
    for (const { path, content } of command.files) {
      await writeFile(path, content, { mode: 0o600, flag: 'wx' });
    }
    if (!this.#inherits) await this.#makeChannelFiles();
    const monitor = await startChild(program, command.arguments, this.#files.vmmLog, {
      inherit: this.#plan.inherit,
    });
    this.#monitor = monitor;
    await this.#openChannels(monitor);
    const vm = this.#handle(monitor);
    this.#startTimers();
    void this.#backend?.exited.then(async () => this.#withoutBackend(monitor));
    await this.#writeRecord();
    this.#context.signal?.addEventListener('abort', this.#onAbort, { once: true });
    if (this.#context.signal?.aborted === true) await this.#end('aborted');
    else await this.#letRun(monitor);
    return vm;
  }

  /** Undoes a start that failed. */
  async abandon(): Promise<void> {
    this.#ended ??= 'aborted';
    await this.#cleanUpOnce();
    if (this.#verdict === undefined) await this.#claim.release();
    else await this.#verdict;
  }

  get #inherits(): boolean {
    return 'descriptor' in this.#plan.spec.console;
  }

  /** Made here so that they are private whatever the umask is. */
  async #makeChannelFiles(): Promise<void> {
    for (const path of [this.#files.console, this.#files.reason]) {
      await (await open(path, 'wx', 0o600)).close();
    }
  }

  /** A backend ends with its monitor, and may be seen to before it; one that ends alone cuts the guest off. */
  async #withoutBackend(monitor: OwnedChild): Promise<void> {
    await Promise.race([monitor.exited, sleep(LATER_MILLISECONDS, undefined, { ref: false })]);
    await this.#end('service');
  }

  /** Takes over what the monitor inherited, in the order of the plan: console, reason, control. */
  async #openChannels(monitor: OwnedChild): Promise<void> {
    const { spec } = this.#plan;
    const [console, reason] = monitor.sockets;
    if (console === undefined || reason === undefined) {
      const file = 'path' in spec.console ? spec.console.path : this.#files.console;
      this.#consolePort = followConsoleFile(file, this.#console);
      return;
    }
    const input = spec.consoleInput === true;
    this.#consolePort = await openConsolePort(console, this.#files.console, this.#console, input);
    this.#reason = readReason(reason, this.#files.reason);
  }

  async #letRun(monitor: OwnedChild): Promise<void> {
    const [, , control] = monitor.sockets;
    if (control === undefined) {
      this.#ran = true;
      return;
    }
    try {
      this.#control = await QmpClient.open(control, (event) => this.#onQmp(event));
      await this.#control.execute('cont');
      this.#ran = true;
    } catch (error) {
      // QEMU that ends closes its socket first; its verdict says why, better than the socket can.
      await Promise.race([
        monitor.exited,
        sleep(TERMINATE_MILLISECONDS, undefined, { ref: false }),
      ]);
      if (monitor.isRunning()) throw error;
    }
  }

  /** Ends what runs and removes the sockets; logs and the last record stay for people. */
  #cleanUpOnce(): Promise<void> {
    this.#cleaned ??= this.#cleanUp();
    return this.#cleaned;
  }

  async #cleanUp(): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#context.signal?.removeEventListener('abort', this.#onAbort);
    await this.#monitor?.terminate(TERMINATE_MILLISECONDS);
    this.#control?.close();
    await this.#backend?.terminate(TERMINATE_MILLISECONDS);
    await this.#consolePort?.close();
    this.#console.end();
    await this.#services?.close();
    await this.#instance?.close();
    const { vsock, control, configFile } = this.#plan.spec;
    const sockets = [vsock.vhostSocket, vsock.hostSocket, configFile];
    if ('path' in control) sockets.push(control.path);
    for (const socket of sockets) await rm(socket, { force: true });
    this.#release();
  }

  #handle(monitor: OwnedChild): Vm {
    const { spec } = this.#plan;
    const verdict = this.#conclude(monitor);
    this.#verdict = verdict;
    const state = (): VmState => this.#state;
    return {
      name: spec.name,
      pid: monitor.pid,
      cid: spec.vsock.cid,
      runDir: this.#claim.runDir,
      consoleFile: this.#files.console,
      logFile: this.#files.log,
      accelerator: spec.accelerator,
      get state() {
        return state();
      },
      verdict,
      reached: async (phase) => (await this.#phases.get(phase)?.promise) ?? false,
      connect: async (port, options = {}) =>
        connectVsock(spec.vsock.hostSocket, port, { ...options, keepTrying: monitor.isRunning }),
      stop: async () => {
        await this.#end('stopped');
        return verdict;
      },
    };
  }

  async #conclude(monitor: OwnedChild): Promise<Verdict> {
    const exit = await monitor.exited;
    // The last event may still be on its way when the process is gone.
    await this.#control?.closed;
    await this.#cleanUpOnce().catch((error: unknown) => {
      const why = error instanceof Error ? error.message : String(error);
      this.#reporter.report({ kind: 'warning', message: `Could not clean up: ${why}` });
    });
    for (const phase of this.#phases.values()) phase.settle(false);
    const verdict = decideVerdict({
      console: this.#console,
      reasonText: await this.#reasonText(),
      exitCode: this.#exitCode,
      error: this.#error,
      ended: this.#ended,
      shutdown: this.#shutdown,
      monitor: reasonOfExit(exit, this.#prepared.vmm.exitReasons, this.#ran),
      vmmFailure: await this.#vmmFailure(exit),
    });
    this.#go('DEAD');
    await this.#writeRecord(verdict);
    // Last of all: from here on the folder may be somebody else's.
    await this.#claim.release();
    this.#report('dead', verdict.death);
    this.#context.callbacks?.onDied?.(verdict.death);
    return verdict;
  }

  async #reasonText(): Promise<string> {
    return this.#inherits ? this.#reason : readHead(this.#files.reason, REASON_BYTES);
  }

  /** What the monitor said, when it failed rather than ended. */
  async #vmmFailure({ code, signal }: ExitStatus): Promise<string | undefined> {
    const { name, qmp } = this.#prepared.vmm;
    const isFailure = qmp ? this.#shutdown === undefined : code !== 0;
    if (!isFailure || this.#ended !== undefined) return undefined;
    const said = await readTail(this.#files.vmmLog);
    const how = signal === null ? `exit code ${code}` : signal;
    const program = name === 'qemu' ? 'QEMU' : name;
    return `${program} failed (${how})${said === '' ? '' : `: ${said}`}`;
  }

  #onQmp({ event, data }: QmpEvent): void {
    if (event !== 'SHUTDOWN') return;
    this.#shutdown ??= typeof data['reason'] === 'string' ? data['reason'] : 'unknown';
  }

  /** @returns whether the state is new. */
  #go(state: VmState): boolean {
    if (!isForward(this.#state, state)) return false;
    this.#state = state;
    return true;
  }

  #reach(state: 'STARTED' | 'READY'): void {
    if (!this.#go(state)) return;
    const { callbacks } = this.#context;
    const phase = state === 'READY' ? 'ready' : 'started';
    // A payload that is ready was started, whether that was said or not.
    this.#phases.get('started')?.settle(true);
    this.#phases.get(phase)?.settle(true);
    this.#report(phase);
    if (state === 'READY') callbacks?.onPayloadReady?.();
    else callbacks?.onPayloadStarted?.();
    void this.#writeRecord();
  }

  #finished(exitCode: number): void {
    if (!this.#go('FINISHED')) return;
    this.#exitCode = exitCode;
    this.#report('finished', String(exitCode));
    this.#context.callbacks?.onPayloadFinished?.(exitCode);
    void this.#writeRecord();
    this.#expectPowerOff();
  }

  #failed(code: number, message: string): void {
    if (this.#error !== undefined) return;
    this.#error = { code, message };
    this.#report('error', `${code}: ${message}`);
    this.#context.callbacks?.onError?.(code, message);
    this.#expectPowerOff();
  }

  /** The guest has said its last word: one that does not power off now is ended. */
  #expectPowerOff(): void {
    const grace = this.#timeouts.powerOffMilliseconds ?? 10_000;
    this.#timers.push(setTimeout(() => void this.#end('stopped'), grace));
  }

  #startTimers(): void {
    const { accelerator } = this.#plan.spec;
    const { totalMilliseconds, startMilliseconds = START_MILLISECONDS[accelerator] } =
      this.#timeouts;
    if (totalMilliseconds !== undefined) {
      this.#timers.push(setTimeout(() => void this.#end('timeout'), totalMilliseconds));
    }
    const hangup = setTimeout(() => void this.#end('hangup'), startMilliseconds);
    this.#timers.push(hangup);
    void this.#phases.get('started')?.promise.then(() => clearTimeout(hangup));
  }

  /** Asks QEMU to quit, then insists. The first reason to end counts; none does after the end. */
  async #end(why: EndedBy): Promise<void> {
    const monitor = this.#monitor;
    if (monitor?.isRunning() === false || this.#cleaned !== undefined) return;
    this.#ended ??= why;
    if (monitor === undefined) return;
    const insist = setTimeout(() => void monitor.terminate(0), TERMINATE_MILLISECONDS);
    await this.#control?.execute('quit').catch(() => undefined);
    if (this.#control === undefined) await monitor.terminate(TERMINATE_MILLISECONDS);
    await monitor.exited;
    clearTimeout(insist);
  }

  /** A record that cannot be written hides the machine from other commands; it does not end the run. */
  #writeRecord(verdict?: Verdict): Promise<void> {
    const record = recordOf({
      options: this.#options,
      spec: this.#plan.spec,
      files: this.#files,
      vmm: this.#prepared.vmm.name,
      state: this.#state,
      startedAt: this.#began,
      monitorPid: this.#monitor?.pid,
      backendPid: this.#backend?.pid,
      exitCode: this.#exitCode,
      verdict,
    });
    this.#written = this.#written
      .then(async () => writeVmRecord(this.#claim.runDir, record))
      .catch((error: unknown) => {
        const message = `Could not write the record of the machine: ${String(error)}`;
        this.#reporter.report({ kind: 'warning', message });
      });
    return this.#written;
  }

  #report(phase: string, detail?: string): void {
    const milliseconds = Date.now() - this.#began;
    const about = detail === undefined ? {} : { detail };
    this.#reporter.report({ kind: 'vm-phase', phase, milliseconds, ...about });
  }
}

/** What a run writes down about its machine, for the commands of other processes. */

import type { VmState } from './life-cycle.ts';
import { identityOf } from './process-identity.ts';
import type { VmRecord } from './registry.ts';
import type { Verdict } from './verdict.ts';
import type { VmOptions, runFiles } from './vm-options.ts';
import type { VmmSpec } from './vmm/vmm.ts';

export interface Recorded {
  readonly options: VmOptions;
  readonly spec: VmmSpec;
  readonly files: ReturnType<typeof runFiles>;
  readonly vmm: string;
  readonly state: VmState;
  readonly startedAt: number;
  readonly monitorPid: number | undefined;
  readonly backendPid: number | undefined;
  readonly exitCode: number | undefined;
  /** Once it is drawn. */
  readonly verdict: Verdict | undefined;
}

export function recordOf({ options, spec, files, verdict, ...run }: Recorded): VmRecord {
  const monitor = identityOf(run.monitorPid ?? 0);
  const backend = identityOf(run.backendPid ?? 0);
  const runner = identityOf(process.pid);
  return {
    name: spec.name,
    state: run.state,
    pid: monitor.pid,
    pidStart: monitor.start,
    runnerPid: runner.pid,
    runnerStart: runner.start,
    backendPid: backend.pid,
    backendStart: backend.start,
    cid: spec.vsock.cid,
    hostSocket: spec.vsock.hostSocket,
    consoleFile: files.console,
    logFile: files.log,
    vmm: run.vmm,
    accelerator: spec.accelerator,
    memoryMib: spec.memoryMib,
    cpus: spec.cpus,
    startedAt: run.startedAt,
    bundle: options.bundle,
    debuggable: options.debuggable === true,
    exitCode: run.exitCode,
    ...(verdict === undefined ? {} : { endedAt: Date.now(), death: verdict.death }),
  };
}

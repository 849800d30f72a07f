/** Which process is meant: ids are used again, an id with the time at which its process started is not. */

import { readFileSync } from 'node:fs';

export interface ProcessIdentity {
  readonly pid: number;
  /** In the kernel's own unit; empty for a process that was gone already. */
  readonly start: string;
}

/** When a process started, in the kernel's own unit; undefined when there is no such process. */
export function processStart(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    // A zombie has ended; only its parent has not noticed.
    return fields[0] === 'Z' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

export const identityOf = (pid: number): ProcessIdentity => ({
  pid,
  start: processStart(pid) ?? '',
});

export function isAlive({ pid, start }: ProcessIdentity): boolean {
  return Number.isInteger(pid) && pid > 0 && start !== '' && processStart(pid) === start;
}

/** Ends a process by force if it still is the one that is meant. */
export function kill(process_: ProcessIdentity): void {
  if (!isAlive(process_)) return;
  try {
    process.kill(process_.pid, 'SIGKILL');
  } catch {
    // It ended by itself meanwhile.
  }
}

/** How much memory of a process is in use, in bytes; undefined when it is gone. */
export function residentBytes(pid: number): number | undefined {
  try {
    const match = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
    return match?.[1] === undefined ? undefined : Number(match[1]) * 1024;
  } catch {
    return undefined;
  }
}

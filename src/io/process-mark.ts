/**
 * A name for this process that another one can test: what a process that was killed left behind can then be told from what a
 * living one is at.
 */

import { createHash } from 'node:crypto';
import { readFile, readlink } from 'node:fs/promises';

/** `unknown`: it is of another machine, container or start of the system. */
export type ProcessState = 'alive' | 'dead' | 'unknown';

const MARK = /^([0-9a-f]{12})\.([1-9]\d{0,9})\.(\d{1,20})$/;

/** Where process numbers mean the same: one start of a system, one name space of it. */
async function place(): Promise<string> {
  const [boot, space] = await Promise.all([
    bootId(),
    readlink('/proc/self/ns/pid').catch(() => ''),
  ]);
  return createHash('sha256').update(`${boot}\0${space}`).digest('hex').slice(0, 12);
}

/** Differs after each start of the system; empty where none is told. */
export async function bootId(): Promise<string> {
  const text = await readFile('/proc/sys/kernel/random/boot_id', 'latin1').catch(() => '');
  return text.trim();
}

/** Of a process whose start is not told: where /proc is not there, or shows nobody the processes of others. */
const UNTOLD = '0';

/** When a process started, in ticks of the system's clock; undefined when there is no such process. */
async function startOf(pid: number): Promise<string | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => undefined);
  if (text === undefined) return isRunning(pid) ? UNTOLD : undefined;
  // The program's name, in parentheses, may hold anything: fields are counted behind it.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const [state] = fields;
  return state === 'Z' || state === 'X' ? undefined : fields[19];
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    // It is another user's.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** The name of this process: `PLACE.PID.START`. */
export async function processMark(): Promise<string> {
  return `${await place()}.${process.pid}.${(await startOf(process.pid)) ?? UNTOLD}`;
}

/** Whether the process with this name still runs. */
export async function stateOfProcess(mark: string): Promise<ProcessState> {
  const [, where, pid, start] = MARK.exec(mark) ?? [];
  if (where === undefined || where !== (await place())) return 'unknown';
  const found = await startOf(Number(pid));
  if (found === start) return 'alive';
  // Some process has that number: it may be this one.
  return found === UNTOLD || (found !== undefined && start === UNTOLD) ? 'unknown' : 'dead';
}

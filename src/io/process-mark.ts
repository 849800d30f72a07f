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

/** When a process started, in ticks of the system's clock; undefined when there is no such process. */
async function startOf(pid: number): Promise<string | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => undefined);
  // The program's name, in parentheses, may hold anything: fields are counted behind it.
  const fields = text?.slice(text.lastIndexOf(')') + 2).split(' ');
  const state = fields?.[0];
  return state === 'Z' || state === 'X' ? undefined : fields?.[19];
}

/** The name of this process: `PLACE.PID.START`. */
export async function processMark(): Promise<string> {
  return `${await place()}.${process.pid}.${(await startOf(process.pid)) ?? 0}`;
}

/** Whether the process with this name still runs. */
export async function stateOfProcess(mark: string): Promise<ProcessState> {
  const [, where, pid, start] = MARK.exec(mark) ?? [];
  if (where === undefined || where !== (await place())) return 'unknown';
  const found = await startOf(Number(pid));
  return found === start ? 'alive' : 'dead';
}

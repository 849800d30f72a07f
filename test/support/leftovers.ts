/** What a run left behind: processes that name its folder, sockets and locks below it. */

import { existsSync, lstatSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/** Ids of the processes in whose command line `text` stands, without those that have ended. */
export function processesNaming(text: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => pid !== process.pid && commandLine(pid).includes(text));
}

/** The words of a command line, joined by spaces; empty for a process that is gone. */
export function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return '';
  }
}

/** Sockets, locks and half-made files below a folder. */
export function filesLeft(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((entry) => {
    const stat = lstatSync(join(folder, entry), { throwIfNoEntry: false });
    return stat?.isSocket() === true || /(^|\/)(lock|\.scratch|\.sealed|\.vm\.json)/.test(entry);
  });
}

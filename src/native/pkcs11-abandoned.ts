/**
 * The end of a process one of whose threads a token holds.
 *
 * A thread cannot be stopped, and Node waits for its own at its end: a token that never answers would
 * keep a program that is done from ending.
 */

import { fstatSync } from 'node:fs';
import type * as Koffi from 'koffi';

const CHECK_INTERVAL = 50;

let isWatching = false;

/** From now on the process ends when nothing but such a thread is left of its work. */
export function endWithoutThreads(koffi: typeof Koffi): void {
  if (isWatching) return;
  isWatching = true;
  const exit = koffi.load(null).func('void _exit(int code)');
  // After the handlers of others: it ends the process at once, without a wait for threads.
  process.once('exit', (code) => exit(code) as unknown);
  const timer = setInterval(() => {
    if (isIdle()) process.exit();
  }, CHECK_INTERVAL);
  timer.unref();
}

/** Whether nothing but work on threads, which is not among what Node tells of, keeps the process alive. */
function isIdle(): boolean {
  const resources = process.getActiveResourcesInfo();
  const others = resources.filter((kind) => kind !== 'TTYWrap' && kind !== 'PipeWrap');
  if (others.length > 0) return false;
  // Where output goes to is told of, too, though nothing is waited for there.
  const pipes = resources.filter((kind) => kind === 'PipeWrap').length;
  return pipes <= [1, 2].filter(isPipe).length;
}

function isPipe(fd: number): boolean {
  try {
    const found = fstatSync(fd);
    return found.isFIFO() || found.isSocket();
  } catch {
    return false; // closed
  }
}

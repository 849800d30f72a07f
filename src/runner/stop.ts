/** Ends a machine from another process: its runner does it in order, or it is done by force. */

import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { sayControl } from './control.ts';
import { isAlive, kill } from './process-identity.ts';
import { type FoundVm, findVm, registryPath } from './registry.ts';
import { sweepRegistry } from './sweep.ts';

const POLL_MILLISECONDS = 20;
/** What a runner gets to notice that its machine is gone, and to clean up. */
const CLEAN_UP_MILLISECONDS = 2000;

export interface Stopped {
  /** Whether the runner had to be helped. */
  readonly forced: boolean;
}

/** @param milliseconds What the runner gets before the machine is killed. */
export async function stopVm(
  vm: FoundVm,
  milliseconds: number,
  registry = registryPath(),
): Promise<Stopped> {
  const monitor = { pid: vm.pid, start: vm.pidStart };
  const runner = { pid: vm.runnerPid, start: vm.runnerStart };
  const isThere = async (): Promise<boolean> =>
    isAlive(monitor) || (isAlive(runner) && (await findVm(vm.name, registry))?.state !== 'DEAD');
  const deadline = Date.now() + milliseconds;
  if (await ask(vm.runDir, milliseconds)) {
    while ((await isThere()) && Date.now() < deadline) await sleep(POLL_MILLISECONDS);
  }
  if (!(await isThere())) return { forced: false };
  kill(monitor);
  const patience = Date.now() + CLEAN_UP_MILLISECONDS;
  while ((await isThere()) && Date.now() < patience) await sleep(POLL_MILLISECONDS);
  if (await isThere()) {
    // It hangs, and would keep the name.
    kill(runner);
    while (isAlive(runner)) await sleep(POLL_MILLISECONDS);
  }
  await sweepRegistry(registry);
  return { forced: true };
}

/** @returns whether the runner said that it does it; then it closes the connection at the end. */
async function ask(runDir: string, milliseconds: number): Promise<boolean> {
  try {
    const { socket } = await sayControl(runDir, 'stop', milliseconds);
    socket.resume();
    await Promise.race([once(socket, 'close'), sleep(milliseconds, undefined, { ref: false })]);
    socket.destroy();
    return true;
  } catch {
    return false;
  }
}

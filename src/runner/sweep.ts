/**
 * Cleans up after runners that had no chance to: they were killed, or the machine lost its power. Whatever
 * they left running is ended, sockets and locks go; logs and the last record stay for people.
 */

import { lstat, readdir, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { LOCK_FILE, lockFolder } from './claim.ts';
import { kill, processStart } from './process-identity.ts';
import { findVm, listVmNames, registryPath, writeVmRecord } from './registry.ts';

/** Names of files that exist only while something is being done. */
const TRANSIENT = new RegExp(`^(${LOCK_FILE}\\.[0-9a-f]+|\\.vm\\.json\\..*|fc\\.json)$`);

/** @returns the names of the machines that were cleaned up after. */
export async function sweepRegistry(registry = registryPath()): Promise<readonly string[]> {
  await removeScratch(registry);
  const swept: string[] = [];
  for (const name of await listVmNames(registry)) {
    if (await sweepVm(name, registry)) swept.push(name);
  }
  return swept;
}

/** Folders that runs made beside those of machines, named by the process that did. */
async function removeScratch(registry: string): Promise<void> {
  for (const entry of await readdir(registry).catch(() => [])) {
    const pid = /^\.scratch-(\d+)-/.exec(entry)?.[1];
    if (pid === undefined || processStart(Number(pid)) !== undefined) continue;
    await rm(join(registry, entry), { recursive: true, force: true });
  }
}

/** @returns whether there was something to do. */
async function sweepVm(name: string, registry: string): Promise<boolean> {
  const runDir = join(registry, name);
  // A folder with a lock is in use or was left; one without was given back in order.
  if (!(await exists(join(runDir, LOCK_FILE)))) return false;
  const release = await lockFolder(runDir).catch(() => undefined);
  if (release === undefined) return false;
  try {
    const vm = await findVm(name, registry);
    if (vm !== undefined) {
      kill({ pid: vm.pid, start: vm.pidStart });
      kill({ pid: vm.backendPid, start: vm.backendStart });
    }
    await removeLeftovers(runDir);
    if (vm !== undefined && vm.state !== 'DEAD') {
      const { runDir: _runDir, running: _running, ...record } = vm;
      await writeVmRecord(runDir, {
        ...record,
        state: 'DEAD',
        death: 'VIRTUALIZATION_SERVICE_DIED',
      });
    }
  } finally {
    await release();
  }
  // Of a machine that was killed before it had a record nothing stays.
  await rmdir(runDir).catch(() => undefined);
  return true;
}

async function removeLeftovers(runDir: string): Promise<void> {
  for (const entry of await readdir(runDir)) {
    const path = join(runDir, entry);
    const isSocket = await lstat(path).then(
      (stat) => stat.isSocket(),
      () => false,
    );
    if (isSocket || TRANSIENT.test(entry)) await rm(path, { force: true });
  }
}

async function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}

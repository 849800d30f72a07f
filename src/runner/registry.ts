/**
 * The virtual machines of this user: one private folder each, named by the machine's name, with the
 * state that other commands need. A folder whose owner died is taken over by the next of that name.
 */

import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { link, lstat, open, readFile, readdir, rename, rm } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { EnvironmentError, UsageError } from '../core/errors.ts';
import { writeFileAtomic } from '../io/atomic-output.ts';
import { makeFolder } from '../io/make-folder.ts';

/** What `vm.json` in a run directory holds. */
export interface VmState {
  readonly name: string;
  /** The process of the virtual machine monitor, and when it started: ids are used again. */
  readonly pid: number;
  readonly pidStart: string;
  readonly cid: number;
  /** Where the host connects to ports of the guest. */
  readonly hostSocket: string;
  readonly consoleFile: string;
  readonly state: string;
}

export interface FoundVm extends VmState {
  readonly runDir: string;
  readonly running: boolean;
}

const STATE_FILE = 'vm.json';
const LOCK_FILE = 'lock';
/** sockaddr_un holds 107 bytes and a zero; the longest socket name is "/vm.vsock_4294967295". */
const MAX_RUN_DIR = 107 - '/vm.vsock_4294967295'.length;

/** `$XDG_RUNTIME_DIR/microbuild`, or `microbuild-<uid>` in the folder for temporary files. */
export function registryPath(env: NodeJS.ProcessEnv = process.env): string {
  const runtime = env['XDG_RUNTIME_DIR'];
  return runtime === undefined || runtime === ''
    ? join(tmpdir(), `microbuild-${userInfo().uid}`)
    : join(runtime, 'microbuild');
}

/** @throws {UsageError} for a name that could be a path or would make a socket path too long. */
export function checkVmName(name: string): void {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$/.test(name)) {
    throw new UsageError('usage', `Cannot use "${name}" as the name of a virtual machine`, {
      hint: 'Use at most 40 letters, digits, dots, dashes and underscores',
    });
  }
}

/**
 * Makes a private folder, or checks one that is there: a folder of somebody else in a shared place
 * could be a trap.
 *
 * @throws {EnvironmentError}
 */
export async function ensurePrivateFolder(path: string): Promise<void> {
  await makeFolder(path, 0o700);
  const stat = await lstat(path);
  if (!stat.isDirectory() || stat.uid !== userInfo().uid || (stat.mode & 0o077) !== 0) {
    throw new EnvironmentError('run directory', `Cannot use ${path}: it is not private to you`, {
      hint: `Remove it, or "chmod 700" it if it is yours`,
    });
  }
}

export interface Claim {
  readonly runDir: string;
  /** Gives the name back; what stays in the folder are logs and the last state. */
  release(): Promise<void>;
}

/**
 * Claims a name and empties its folder.
 *
 * @throws {UsageError} `lock` when a machine of that name runs.
 */
export async function claimVm(name: string, registry = registryPath()): Promise<Claim> {
  checkVmName(name);
  await ensurePrivateFolder(registry);
  const runDir = join(registry, name);
  if (Buffer.byteLength(runDir) > MAX_RUN_DIR) {
    throw new EnvironmentError('run directory', `Cannot use ${runDir}: too long for a socket`, {
      hint: 'Set XDG_RUNTIME_DIR to a shorter path',
    });
  }
  await ensurePrivateFolder(runDir);
  const lock = join(runDir, LOCK_FILE);
  for (let attempts = 0; !(await tryLock(lock)); attempts++) {
    if (attempts >= 10 || !(await dropStaleLock(lock))) {
      throw new UsageError('lock', `Cannot start "${name}": it is running already`, {
        hint: `Stop it with "microbuild stop ${name}", or give another name with --name`,
      });
    }
  }
  for (const entry of await readdir(runDir)) {
    if (!entry.startsWith(LOCK_FILE))
      await rm(join(runDir, entry), { recursive: true, force: true });
  }
  return { runDir, release: async () => rm(lock, { force: true }) };
}

/** The lock names the runner's process; it is written before it gets its name. */
async function tryLock(lock: string): Promise<boolean> {
  const own = `${lock}.${randomBytes(6).toString('hex')}`;
  const handle = await open(own, 'w', 0o600);
  await handle.writeFile(`${process.pid} ${processStart(process.pid) ?? ''}\n`);
  await handle.close();
  try {
    await link(own, lock);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return false;
  } finally {
    await rm(own, { force: true });
  }
}

/** True when the lock may be tried again. */
async function dropStaleLock(lock: string): Promise<boolean> {
  const before = await readText(lock);
  if (before === undefined) return true;
  const [pid, start] = before.trim().split(' ');
  if (isAlive(Number(pid), start ?? '')) return false;
  const aside = `${lock}.${randomBytes(6).toString('hex')}`;
  try {
    await rename(lock, aside);
  } catch {
    return true;
  }
  // Somebody else may have taken over between the look and the rename: give it back.
  const moved = await readText(aside);
  if (moved !== before) await link(aside, lock).catch(() => undefined);
  await rm(aside, { force: true });
  return moved === before;
}

export async function writeVmState(runDir: string, state: VmState): Promise<void> {
  await writeFileAtomic(join(runDir, STATE_FILE), `${JSON.stringify(state, null, 2)}\n`, 0o600);
}

/** The machine of that name, running or not; undefined when there was none. */
export async function findVm(
  name: string,
  registry = registryPath(),
): Promise<FoundVm | undefined> {
  checkVmName(name);
  return readVm(registry, name);
}

/** Every machine that left a folder, sorted by name. */
export async function listVms(registry = registryPath()): Promise<readonly FoundVm[]> {
  let names: string[];
  try {
    names = await readdir(registry);
  } catch {
    return [];
  }
  const found = await Promise.all(names.sort().map(async (name) => readVm(registry, name)));
  return found.filter((vm) => vm !== undefined);
}

async function readVm(registry: string, name: string): Promise<FoundVm | undefined> {
  const runDir = join(registry, name);
  const text = await readText(join(runDir, STATE_FILE));
  const state = text === undefined ? undefined : parseVmState(text);
  if (state === undefined) return undefined;
  return { ...state, runDir, running: isAlive(state.pid, state.pidStart) };
}

/** Undefined for anything that we did not write. */
export function parseVmState(text: string): VmState | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const { name, pid, pidStart, cid, hostSocket, consoleFile, state } = value as Record<
    string,
    unknown
  >;
  const texts = [name, pidStart, hostSocket, consoleFile, state];
  if (!texts.every((each) => typeof each === 'string')) return undefined;
  if (!Number.isInteger(pid) || !Number.isInteger(cid)) return undefined;
  return value as VmState;
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

function isAlive(pid: number, start: string): boolean {
  return Number.isInteger(pid) && pid > 0 && start !== '' && processStart(pid) === start;
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch {
    return undefined;
  }
}

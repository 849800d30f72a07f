/**
 * The virtual machines of this user: one private folder each, named by the machine's name, with the
 * record that other commands need. A folder whose owner died is taken over by the next of that name.
 */

import { lstat, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { EnvironmentError, UsageError } from '../core/errors.ts';
import { writeFileAtomic } from '../io/atomic-output.ts';
import { makeFolder } from '../io/make-folder.ts';
import { LOCK_FILE, lockFolder } from './claim.ts';
import { type DeathReason, VM_STATES, type VmState, isDeathReason } from './life-cycle.ts';
import { isAlive } from './process-identity.ts';

/** What `vm.json` in a run directory holds. */
export interface VmRecord {
  readonly name: string;
  readonly state: VmState;
  /** The process of the virtual machine monitor, and when it started: ids are used again. */
  readonly pid: number;
  readonly pidStart: string;
  readonly runnerPid: number;
  readonly runnerStart: string;
  /** 0 where the monitor serves vsock itself. */
  readonly backendPid: number;
  readonly backendStart: string;
  readonly cid: number;
  /** Where the host connects to ports of the guest. */
  readonly hostSocket: string;
  readonly consoleFile: string;
  /** What the payload prints. */
  readonly logFile: string;
  readonly vmm: string;
  readonly accelerator: string;
  readonly memoryMib: number;
  readonly cpus: number;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  /** The bundle's path, where there is one. */
  readonly bundle?: string | undefined;
  readonly debuggable: boolean;
  readonly endedAt?: number | undefined;
  readonly death?: DeathReason | undefined;
  readonly exitCode?: number | undefined;
}

export interface FoundVm extends VmRecord {
  readonly runDir: string;
  readonly running: boolean;
}

const RECORD_FILE = 'vm.json';
const MAX_RECORD_BYTES = 65536;
/** sockaddr_un holds 107 bytes and a zero; the longest socket name is "/vm.vsock_4294967295". */
const MAX_RUN_DIR = 107 - '/vm.vsock_4294967295'.length;
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$/;

/** `$XDG_RUNTIME_DIR/microbuild`, or `microbuild-<uid>` in the folder for temporary files. */
export function registryPath(env: NodeJS.ProcessEnv = process.env): string {
  const runtime = env['XDG_RUNTIME_DIR'];
  return runtime === undefined || runtime === ''
    ? join(tmpdir(), `microbuild-${userInfo().uid}`)
    : join(runtime, 'microbuild');
}

/** @throws {UsageError} for a name that could be a path or would make a socket path too long. */
export function checkVmName(name: string): void {
  if (!NAME.test(name)) {
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
  /** Gives the name back; what stays in the folder are logs and the last record. */
  release(): Promise<void>;
}

/** @throws {EnvironmentError} for a folder in which sockets would have names that are too long. */
export function runDirOf(name: string, registry = registryPath()): string {
  checkVmName(name);
  const runDir = join(registry, name);
  if (Buffer.byteLength(runDir) <= MAX_RUN_DIR) return runDir;
  throw new EnvironmentError('run directory', `Cannot use ${runDir}: too long for a socket`, {
    hint: 'Set XDG_RUNTIME_DIR to a shorter path',
  });
}

/**
 * Claims a name and empties its folder.
 *
 * @throws {UsageError} `lock` when a machine of that name runs.
 */
export async function claimVm(name: string, registry = registryPath()): Promise<Claim> {
  const runDir = runDirOf(name, registry);
  await ensurePrivateFolder(registry);
  const release = await lockRunDir(runDir);
  if (release === undefined) {
    throw new UsageError('lock', `Cannot start "${name}": it is running already`, {
      hint: `Stop it with "microbuild stop ${name}", or give another name with --name`,
    });
  }
  for (const entry of await readdir(runDir)) {
    if (!entry.startsWith(LOCK_FILE)) {
      await rm(join(runDir, entry), { recursive: true, force: true });
    }
  }
  return { runDir, release };
}

async function lockRunDir(runDir: string): Promise<(() => Promise<void>) | undefined> {
  for (;;) {
    await ensurePrivateFolder(runDir);
    try {
      return await lockFolder(runDir);
    } catch (error) {
      // Somebody who cleaned up removed the empty folder just now.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
}

export async function writeVmRecord(runDir: string, record: VmRecord): Promise<void> {
  await writeFileAtomic(join(runDir, RECORD_FILE), `${JSON.stringify(record, null, 2)}\n`, 0o600);
}

/** The machine of that name, running or not; undefined when there was none. */
export async function findVm(
  name: string,
  registry = registryPath(),
): Promise<FoundVm | undefined> {
  checkVmName(name);
  return readVm(registry, name);
}

/** Names of the folders there are, sorted. */
export async function listVmNames(registry = registryPath()): Promise<readonly string[]> {
  try {
    return (await readdir(registry)).filter((name) => NAME.test(name)).sort();
  } catch {
    return [];
  }
}

/** Every machine that left a record, sorted by name. */
export async function listVms(registry = registryPath()): Promise<readonly FoundVm[]> {
  const names = await listVmNames(registry);
  const found = await Promise.all(names.map(async (name) => readVm(registry, name)));
  return found.filter((vm) => vm !== undefined);
}

async function readVm(registry: string, name: string): Promise<FoundVm | undefined> {
  const runDir = join(registry, name);
  let text: string;
  try {
    text = await readFile(join(runDir, RECORD_FILE), 'utf8');
  } catch {
    return undefined;
  }
  const record = parseVmRecord(text);
  if (record === undefined || record.name !== name) return undefined;
  return { ...record, runDir, running: isAlive({ pid: record.pid, start: record.pidStart }) };
}

const TEXTS =
  'name pidStart runnerStart backendStart hostSocket consoleFile logFile vmm accelerator';
const NUMBERS = 'pid runnerPid backendPid cid memoryMib cpus startedAt';

/** Undefined for anything that we did not write. */
export function parseVmRecord(text: string): VmRecord | undefined {
  if (text.length > MAX_RECORD_BYTES) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const record = value as Record<string, unknown>;
  const { state, bundle, debuggable, endedAt, death, exitCode } = record;
  const isOptional = (each: unknown, type: string): boolean =>
    each === undefined || typeof each === type;
  const isGood =
    TEXTS.split(' ').every((key) => typeof record[key] === 'string') &&
    NUMBERS.split(' ').every((key) => Number.isInteger(record[key])) &&
    typeof state === 'string' &&
    Object.hasOwn(VM_STATES, state) &&
    typeof debuggable === 'boolean' &&
    isOptional(bundle, 'string') &&
    isOptional(endedAt, 'number') &&
    isOptional(exitCode, 'number') &&
    (death === undefined || (typeof death === 'string' && isDeathReason(death)));
  return isGood ? (value as VmRecord) : undefined;
}

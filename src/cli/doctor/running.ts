/** What running machines needs of this one: a place for sockets, memory, disk, the means to end them. */

import { readFileSync } from 'node:fs';
import { mkdtemp, rm, statfs } from 'node:fs/promises';
import { createServer } from 'node:net';
import { freemem } from 'node:os';
import { join } from 'node:path';
import { MicrobuildError } from '../../core/errors.ts';
import { findProgram } from '../../runner/child.ts';
import { listenPrivately } from '../../runner/private-socket.ts';
import { ensurePrivateFolder, registryPath, runDirOf } from '../../runner/registry.ts';
import { sweepRegistry } from '../../runner/sweep.ts';
import { probeSandbox, qemuProgram } from '../../runner/vmm/qemu.ts';
import { VMM_NAMES, vmmNamed } from '../../runner/vmm/named.ts';
import { formatSize } from '../terminal.ts';
import type { Checker } from './check.ts';

/** The default of a recipe, and what QEMU takes beside it when it emulates. */
const MEMORY_NEEDED = (128 + 160) << 20;
/** A kernel, an initrd, a small system and the work in between. */
const DISK_NEEDED = 512 << 20;
/** As long as names usually are. */
const SOME_NAME = 'microbuild-doctor';

export const checkRunDirectory: Checker = async ({ env }) => {
  const about = { name: 'run directory', for: 'run' };
  const registry = registryPath(env);
  let scratch: string | undefined;
  try {
    await ensurePrivateFolder(registry);
    runDirOf(SOME_NAME, registry);
    scratch = await mkdtemp(join(registry, `.scratch-${process.pid}-`));
    const server = createServer();
    await listenPrivately(server, join(scratch, 's'));
    await new Promise((closed) => server.close(closed));
    const swept = await sweepRegistry(registry);
    const found =
      swept.length === 0 ? registry : `${registry}; cleaned up after ${swept.join(', ')}`;
    return { ...about, status: 'ok', found };
  } catch (error) {
    const { message } = error as Error;
    const hint = error instanceof MicrobuildError ? error.hint : undefined;
    const fix = 'export XDG_RUNTIME_DIR=$(mktemp -d)';
    return {
      ...about,
      status: 'missing',
      found: hint === undefined ? message : `${message}. ${hint}`,
      fix,
    };
  } finally {
    if (scratch !== undefined) await rm(scratch, { recursive: true, force: true });
  }
};

export const checkMemory: Checker = () => {
  const about = { name: 'memory', for: 'run' };
  const available = Math.min(availableMemory(), cgroupRest());
  const found = `${formatSize(available)} to be had`;
  return Promise.resolve(
    available >= MEMORY_NEEDED
      ? { ...about, status: 'ok', found }
      : { ...about, status: 'limited', found, fix: 'End something, or run with --memory 96' },
  );
};

function availableMemory(): number {
  try {
    const kib = /^MemAvailable:\s+(\d+) kB$/m.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1];
    return kib === undefined ? freemem() : Number(kib) * 1024;
  } catch {
    return freemem();
  }
}

/** What a container may still take; Infinity where nothing limits it. */
function cgroupRest(): number {
  try {
    const read = (name: string): string => readFileSync(`/sys/fs/cgroup/${name}`, 'utf8').trim();
    const limit = Number(read('memory.max'));
    return Number.isFinite(limit) ? Math.max(0, limit - Number(read('memory.current'))) : Infinity;
  } catch {
    return Infinity;
  }
}

export const checkDisk: Checker = async () => {
  const about = { name: 'free disk', for: 'image' };
  const { bavail, bsize } = await statfs('.');
  const found = `${formatSize(bavail * bsize)} below ${process.cwd()}`;
  return bavail * bsize >= DISK_NEEDED
    ? { ...about, status: 'ok', found }
    : { ...about, status: 'limited', found, fix: 'Make room, or build elsewhere with -o FOLDER' };
};

export const checkSetpriv: Checker = ({ env }) => {
  const about = { name: 'setpriv', for: 'run: a runner that is killed takes its VM along' };
  const found = findProgram('setpriv', env['PATH'] ?? '');
  return Promise.resolve(
    found === undefined
      ? {
          ...about,
          status: 'limited',
          found: 'setpriv is not installed: the next command ends what was left running',
          fix: 'apt-get install util-linux',
        }
      : { ...about, status: 'ok', found },
  );
};

export const checkSandbox: Checker = async ({ env }) => {
  const about = { name: 'QEMU’s sandbox', for: 'run: QEMU confines itself' };
  const program = findProgram(qemuProgram('x86_64'), env['PATH'] ?? '');
  if (program !== undefined && (await probeSandbox(program))) {
    return { ...about, status: 'ok', found: 'seccomp' };
  }
  const found = program === undefined ? 'no QEMU' : 'this build of QEMU has none';
  return { ...about, status: 'limited', found, fix: 'apt-get install qemu-system-x86' };
};

export const checkAarch64: Checker = ({ env }) => {
  const name = qemuProgram('aarch64');
  const about = { name: 'QEMU for aarch64', for: 'run: guests of aarch64' };
  const found = findProgram(name, env['PATH'] ?? '');
  const fix = 'apt-get install qemu-system-arm';
  return Promise.resolve(
    found === undefined
      ? { ...about, status: 'limited', found: `${name} is not installed`, fix }
      : { ...about, status: 'ok', found },
  );
};

export const checkMonitors: Checker = ({ env }) => {
  const others = VMM_NAMES.filter((name) => name !== 'qemu').map((name) => vmmNamed(name));
  const there = others.flatMap(
    (vmm) => findProgram(vmm.program('x86_64'), env['PATH'] ?? '') ?? [],
  );
  return Promise.resolve({
    name: 'other monitors',
    for: 'run --vmm',
    status: 'ok',
    found: there.length === 0 ? 'none, and none is needed' : there.join(', '),
  });
};

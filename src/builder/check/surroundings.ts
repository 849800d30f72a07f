/** The surroundings of one build: how its process is started so that what is to be varied is another. */

import { mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { availableParallelism, homedir } from 'node:os';
import { join } from 'node:path';
import type { VariationName } from './variation.ts';

/** How a process is started. */
export interface Launch {
  readonly argv: readonly string[];
  readonly env: NodeJS.ProcessEnv;
}

export interface SurroundingsOptions {
  readonly env: NodeJS.ProcessEnv;
  readonly on: ReadonlySet<VariationName>;
  /** A new folder that becomes the home. */
  readonly home: string;
  /** Where the build is to see a folder that is elsewhere, on a file system with another order. */
  readonly bind?: { readonly from: string; readonly to: string } | undefined;
  /** The one time that the clock shows, so that none passes between builds: seconds since 1970. */
  readonly frozenAt?: number | undefined;
  readonly faketime: string | undefined;
  /** A program that runs another one without the changed clock; see `writeClockless`. */
  readonly clockless?: string | undefined;
}

/**
 * Writes a program around the Rust compiler, whose allocator asks for the time before libfaketime is ready for it: it would
 * wait for ever. Cargo and build scripts see the changed clock all the same.
 */
export async function writeClockless(path: string): Promise<string> {
  await writeFile(path, '#!/bin/sh\nunset LD_PRELOAD\nexec "$@"\n', { mode: 0o755 });
  return path;
}

export const VARIED_UMASK = 0o077;
/** Another year, weekday, hour, minute and second. */
const CLOCK_SECONDS = 370 * 86_400 + 5 * 3600 + 17 * 60 + 23;
const OPEN_FILES = 1024;
const USER = 4242;
const HOST = 'another-machine-by-name';

const FAKETIME_FOLDERS = ['/usr/lib', '/usr/lib64', '/usr/local/lib', '/lib'];

/** The library that shows processes another clock: of Debian's package `libfaketime`, or of another system's. */
export async function findFaketime(): Promise<string | undefined> {
  for (const folder of FAKETIME_FOLDERS) {
    const below = await readdir(folder).catch(() => []);
    for (const place of ['', ...below.filter((name) => name.includes('linux'))]) {
      const path = join(folder, place, 'faketime', 'libfaketime.so.1');
      if ((await stat(path).catch(() => undefined))?.isFile() === true) return path;
    }
  }
  return undefined;
}

/** A home that has all of the real one, so that compilers in it are found, under another name. */
export async function makeHome(path: string, env: NodeJS.ProcessEnv): Promise<void> {
  const home = env['HOME'] ?? homedir();
  await mkdir(path, { recursive: true });
  for (const name of await readdir(home).catch(() => [])) {
    await symlink(join(home, name), join(path, name));
  }
}

/** The first processor that this process may run on. */
async function firstCore(): Promise<string> {
  const status = await readFile('/proc/self/status', 'latin1').catch(() => '');
  return /^Cpus_allowed_list:\s*(\d+)/m.exec(status)?.[1] ?? '0';
}

/** Programs around the build, from the outermost one inwards, then the build itself. */
export async function launchOf(
  program: readonly string[],
  { env: given, on, home, bind, frozenAt, faketime, clockless }: SurroundingsOptions,
): Promise<Launch> {
  const env: NodeJS.ProcessEnv = { ...given };
  let argv = [...program];
  const around = (...words: readonly string[]): void => {
    argv = [...words, ...argv];
  };

  if (on.has('cores') && availableParallelism() > 1) {
    around('taskset', '--cpu-list', await firstCore());
    env['UV_THREADPOOL_SIZE'] = '1';
  }
  if (on.has('umask') || on.has('open-files')) {
    const commands = [
      ...(on.has('umask') ? [`umask ${VARIED_UMASK.toString(8).padStart(3, '0')}`] : []),
      ...(on.has('open-files') ? [`ulimit -n ${OPEN_FILES}`] : []),
      'exec "$@"',
    ];
    around('sh', '-c', commands.join(' && '), 'sh');
  }
  const isRenamed = on.has('host-name');
  const [uid, gid] = on.has('user')
    ? [USER, USER + 1]
    : [process.getuid?.() ?? 0, process.getgid?.() ?? 0];
  if (on.has('user') || isRenamed || bind !== undefined) {
    around('unshare', '--user', `--map-user=${uid}`, `--map-group=${gid}`, '--');
  }
  if (isRenamed || bind !== undefined) {
    const commands = [
      ...(isRenamed ? [`hostname ${HOST}`] : []),
      ...(bind === undefined ? [] : ['mount --bind "$1" "$2"']),
      'shift 2 && exec "$@"',
    ];
    const mount = [bind?.from ?? '', bind?.to ?? ''];
    around('sh', '-c', commands.join(' && '), 'sh', ...mount);
    around('unshare', '--user', '--map-root-user', '--uts', '--mount', '--');
  }
  if (on.has('time-zone')) env['TZ'] = 'Pacific/Kiritimati';
  if (on.has('locale')) {
    env['LC_ALL'] = 'tr_TR.UTF-8';
    env['LANG'] = 'tr_TR.UTF-8';
  }
  if (on.has('user')) {
    env['USER'] = 'somebody';
    env['LOGNAME'] = 'somebody';
  }
  if (on.has('home')) env['HOME'] = home;
  // In all builds, lest it be what differs.
  if (clockless !== undefined) env['RUSTC_WRAPPER'] = clockless;
  if (faketime !== undefined && (on.has('clock') || frozenAt !== undefined)) {
    env['LD_PRELOAD'] = [faketime, given['LD_PRELOAD']].filter(Boolean).join(':');
    env['FAKETIME_DONT_FAKE_MONOTONIC'] = '1';
    const shift = on.has('clock') ? CLOCK_SECONDS : 0;
    if (frozenAt === undefined) {
      env['FAKETIME'] = `+${shift}`;
    } else {
      // Files keep their times: programs such as make ask which of two is newer.
      env['NO_FAKE_STAT'] = '1';
      env['FAKETIME_FMT'] = '%s';
      env['FAKETIME'] = String(frozenAt + shift);
    }
  }
  if (!on.has('environment')) return { argv, env };
  const noise = Object.fromEntries(
    Array.from({ length: 23 }, (_, index) => [`CHECK_NOISE_${index}`, 'x'.repeat(index * 7)]),
  );
  // The order of variables is that in which they are handed over.
  return { argv, env: Object.fromEntries(Object.entries({ ...env, ...noise }).reverse()) };
}

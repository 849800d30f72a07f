/** Programs: the guest's own, and those that builds and boots start. */

import { execFile } from 'node:child_process';
import { userInfo } from 'node:os';
import { promisify } from 'node:util';
import { findGuest } from '../../builder/guest.ts';
import { EnvironmentError } from '../../core/errors.ts';
import { chooseAccelerator } from '../../runner/accel.ts';
import { findProgram } from '../../runner/child.ts';
import { registryPath } from '../../runner/registry.ts';
import { QEMU_PROGRAM } from '../../runner/vmm/qemu.ts';
import { findVsockBackend } from '../../runner/vsock.ts';
import type { Check, Checker } from './check.ts';

const APT_HELPER = '/usr/lib/apt/apt-helper';
const INSTALL_QEMU = 'apt-get install qemu-system-x86';
/** What most guests are. */
const GUEST = { arch: 'x86_64', runtime: 'musl' } as const;

export const checkGuest: Checker = async ({ packageRoot, env }) => {
  const about = { name: 'guest programs', for: 'image' };
  try {
    const { libraryFolder } = await findGuest(packageRoot, GUEST, env);
    return { ...about, status: 'ok', found: libraryFolder };
  } catch (error) {
    return missing(about, error, 'sh scripts/build-guest (npm run setup does it)');
  }
};

export const checkApt: Checker = ({ env }) =>
  checkProgram(env, APT_HELPER, {
    name: 'apt',
    for: 'image, lock: Debian packages',
    fix: 'Use a Debian or Ubuntu machine, or recipes whose packages are files',
    need: 'missing',
  });

export const checkMake: Checker = ({ env }) =>
  checkProgram(env, 'make', {
    name: 'make',
    for: 'payloads with a Makefile',
    fix: 'apt-get install make',
    need: 'limited',
  });

export const checkMuslGcc: Checker = ({ env }) =>
  checkProgram(env, 'musl-gcc', {
    name: 'musl-gcc',
    for: 'payloads in C',
    fix: 'apt-get install musl-tools gcc',
    need: 'limited',
  });

export const checkQemu: Checker = async ({ env }) => {
  const check = await checkProgram(env, QEMU_PROGRAM, {
    name: 'QEMU',
    for: 'run',
    fix: INSTALL_QEMU,
    need: 'missing',
  });
  if (check.status !== 'ok') return check;
  const said = await promisify(execFile)(check.found, ['--version']).catch(() => undefined);
  const version = /version (\S+)/.exec(said?.stdout ?? '')?.[1];
  return version === undefined
    ? { ...check, status: 'missing', found: `${check.found} does not start`, fix: REINSTALL }
    : { ...check, found: `${version}, ${check.found}` };
};
const REINSTALL = 'apt-get install --reinstall qemu-system-x86';

export const checkKvm: Checker = async ({ env }) => {
  const about = { name: 'KVM', for: 'run at full speed' };
  const { reason } = await chooseAccelerator('auto', { cacheFolder: registryPath(env) });
  if (reason === undefined) return { ...about, status: 'ok', found: 'runs a machine' };
  const fix = reason.includes('cannot be opened')
    ? `usermod -a -G kvm ${userInfo().username}, then log in again`
    : reason.includes('does not exist')
      ? 'Turn on virtualization in the firmware, or nested virtualization of the host; then modprobe kvm_intel or kvm_amd'
      : reason.includes('is not installed')
        ? INSTALL_QEMU
        : 'Nothing, if this is a virtual machine whose host cannot nest: guests are emulated';
  return { ...about, status: 'limited', found: `${reason}: guests are emulated`, fix };
};

export const checkVsock: Checker = ({ env }) => {
  const about = { name: 'vsock backend', for: 'run' };
  try {
    return Promise.resolve({ ...about, status: 'ok', found: findVsockBackend(env) });
  } catch (error) {
    const fix = 'cargo build --release --package microbuild-vsock (npm run setup does it)';
    return Promise.resolve(missing(about, error, fix));
  }
};

interface Wanted {
  readonly name: string;
  readonly for: string;
  readonly fix: string;
  /** What its absence means. */
  readonly need: 'limited' | 'missing';
}

function checkProgram(
  env: NodeJS.ProcessEnv,
  program: string,
  { name, for: use, fix, need }: Wanted,
): Promise<Check> {
  const found = findProgram(program, env['PATH'] ?? '');
  return Promise.resolve(
    found === undefined
      ? { name, for: use, status: need, found: `${program} is not installed`, fix }
      : { name, for: use, status: 'ok', found },
  );
}

function missing(about: Pick<Check, 'name' | 'for'>, error: unknown, fix: string): Check {
  if (!(error instanceof EnvironmentError)) throw error;
  return { ...about, status: 'missing', found: error.message, fix };
}

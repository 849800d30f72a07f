/**
 * Whether KVM can be used. That /dev/kvm exists says little: containers show it without access, and
 * some hosts offer a KVM on which a real CPU model cannot be set up. So a machine is started with the
 * CPU model that a real run would use, and must say that its first instruction was executed.
 */

import { constants } from 'node:fs';
import { access, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EnvironmentError } from '../core/errors.ts';
import { findProgram, readTail, startChild } from './child.ts';
import { QEMU_PROGRAM } from './vmm/qemu.ts';
import type { Accelerator } from './vmm/vmm.ts';

const PROBE_MILLISECONDS = 3000;
const FIRMWARE_SIZE = 65536;
const RESET_VECTOR = 0xfff0;
const DEBUG_EXIT_PORT = 0xf4;
/** isa-debug-exit ends QEMU with `value << 1 | 1`. */
const PROBE_VALUE = 0x2a;

export interface AccelChoice {
  readonly accelerator: Accelerator;
  /** Why it is not KVM; undefined when it is, or when nobody asked for it. */
  readonly reason?: string;
}

/**
 * A firmware of 16-bit code at the reset vector, 16 bytes below 4 GiB: `mov al, 0x2a`,
 * `out 0xf4, al`, and `hlt` for ever.
 */
export function probeFirmware(): Uint8Array {
  const image = new Uint8Array(FIRMWARE_SIZE).fill(0xf4);
  image.set([0xb0, PROBE_VALUE, 0xe6, DEBUG_EXIT_PORT, 0xf4, 0xeb, 0xfd], RESET_VECTOR);
  return image;
}

/**
 * Decides between KVM and emulation.
 *
 * @param wanted `kvm` fails where `auto` falls back.
 * @throws {EnvironmentError} when KVM was asked for by name and does not work.
 */
export async function chooseAccelerator(
  wanted: 'auto' | Accelerator,
  options: { readonly qemu?: string; readonly device?: string } = {},
): Promise<AccelChoice> {
  if (wanted === 'tcg') return { accelerator: 'tcg' };
  const reason = await whyNotKvm(options.qemu ?? QEMU_PROGRAM, options.device ?? '/dev/kvm');
  if (reason === undefined) return { accelerator: 'kvm' };
  if (wanted === 'kvm') {
    throw new EnvironmentError('kvm', `Cannot use KVM: ${reason}`, {
      hint: 'Leave the choice to microbuild, which emulates where it must',
    });
  }
  return { accelerator: 'tcg', reason };
}

/** Undefined when a probe machine ran under KVM, else the reason in a few words. */
async function whyNotKvm(qemu: string, device: string): Promise<string | undefined> {
  try {
    await access(device, constants.R_OK | constants.W_OK);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    return code === 'ENOENT' ? `${device} does not exist` : `${device} cannot be opened (${code})`;
  }
  return runProbe(qemu, 'kvm', 'host');
}

/**
 * Runs the probe firmware. Exported so that a test can see it succeed under emulation.
 *
 * @returns Undefined when the firmware ran, else what happened instead.
 */
export async function runProbe(
  qemu: string,
  accelerator: Accelerator,
  cpu: string,
): Promise<string | undefined> {
  const program = findProgram(qemu);
  if (program === undefined) return `${qemu} is not installed`;
  const folder = await mkdtemp(join(tmpdir(), 'microbuild-probe-'));
  try {
    const firmware = join(folder, 'firmware');
    const log = join(folder, 'log');
    await writeFile(firmware, probeFirmware());
    const child = await startChild(
      program,
      [
        ['-machine', 'q35', '-accel', accelerator, '-cpu', cpu, '-m', '16M'],
        ['-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none'],
        ['-bios', firmware],
        ['-device', `isa-debug-exit,iobase=${DEBUG_EXIT_PORT},iosize=1`],
      ].flat(),
      log,
    );
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      void child.terminate(0);
    }, PROBE_MILLISECONDS);
    const { code, signal } = await child.exited;
    clearTimeout(timer);
    if (code === ((PROBE_VALUE << 1) | 1)) return undefined;
    if (late) return `a probe machine did not run within ${PROBE_MILLISECONDS} ms`;
    const said = (await readTail(log)).split('\n')[0] ?? '';
    const how = signal === null ? `exit code ${code}` : signal;
    return `a probe machine failed (${how})${said === '' ? '' : `: ${said.slice(0, 200)}`}`;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

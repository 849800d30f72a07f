/** What a virtual machine monitor is told, and the one thing it must do: turn that into a command. */

import type { DeathReason } from '../life-cycle.ts';

export type Accelerator = 'kvm' | 'tcg';
export type GuestArch = 'x86_64' | 'aarch64';

/** QEMU's: `microvm` has virtio-mmio devices only, `q35` and `virt` (aarch64) have PCI. */
export type Machine = 'q35' | 'microvm' | 'virt';

export type VmmName = 'qemu' | 'crosvm' | 'cloud-hypervisor' | 'firecracker';

/** Where the bytes of a port go: to a file or socket of that path, or over a socket that the monitor inherits. */
export type Channel = { readonly path: string } | { readonly descriptor: number };

export interface VmmDisk {
  readonly path: string;
  /** Where in the file the disk is, in bytes; default all of it. */
  readonly offset?: number;
  readonly size?: number;
  /** The virtio serial by which the guest finds the disk: `os` or `payload`. */
  readonly serial: string;
}

export interface VmmVsock {
  readonly cid: number;
  /** Where the vhost-user backend waits, for monitors that have no vsock of their own. */
  readonly vhostSocket: string;
  /** Where the host says `CONNECT port`; the guest's connections arrive at this path with `_port`. */
  readonly hostSocket: string;
}

export interface VmmSpec {
  readonly name: string;
  /** Default x86_64. */
  readonly arch?: GuestArch | undefined;
  readonly kernel: string;
  readonly initrd: string;
  /** All are read-only. */
  readonly disks: readonly VmmDisk[];
  readonly memoryMib: number;
  readonly cpus: number;
  readonly accelerator: Accelerator;
  /** Default: what starts fastest and is safe, see `chooseMachine`. */
  readonly machine?: Machine | undefined;
  /** The host's TSC frequency, calibrated; a wrong one makes the guest's clock run wrong. */
  readonly tscKhz?: number | undefined;
  /** More words for the kernel command line; it decides nothing about the guest's checks. */
  readonly kernelArguments?: readonly string[] | undefined;
  /** Gives the guest a virtio-rng device. */
  readonly rng?: boolean | undefined;
  /** Whether the program can confine itself (seccomp). */
  readonly sandbox: boolean;
  /** Whether the machine waits for `cont` on the control channel. */
  readonly startPaused: boolean;
  readonly vsock: VmmVsock;
  /** What ends and watches the machine: QMP, or the monitor's own API. */
  readonly control: Channel;
  /** The first serial port, ttyS0. */
  readonly console: Channel;
  /** Whether people may type into the console. */
  readonly consoleInput?: boolean | undefined;
  /** The second serial port, ttyS1, where the guest says why it died. */
  readonly reason: Channel;
  /** Where a configuration file goes, for monitors that want one. */
  readonly configFile: string;
  /** Words that the user adds, as they are. */
  readonly extraArguments?: readonly string[] | undefined;
}

/** What a monitor cannot do. Some of it can be asked for, and is refused then; all of it is documented. */
export type VmmLimit =
  | 'emulation'
  | 'aarch64'
  | 'machine'
  | 'disk-serials'
  | 'disk-parts'
  | 'console-input'
  | 'reason-port'
  | 'inherited-channels'
  | 'ends-on-reset'
  | 'paused-start';

export const LIMITS: Readonly<Record<VmmLimit, string>> = {
  emulation: 'emulate: it needs a KVM that works',
  aarch64: 'run a guest for aarch64 from this description',
  machine: 'choose its machine: it has one',
  'disk-serials': 'name its disks, so that the guest would not find its own',
  'disk-parts': 'use a disk that is a part of a file: unpack the .mbundle with tar',
  'console-input': 'take what is typed into the console',
  'reason-port':
    'give the guest a second serial port: the reason of a failure is read from the console',
  'inherited-channels': 'take its console as a descriptor: the console file is not bounded',
  'ends-on-reset': 'end when the guest resets: the runner ends it when the console shows a panic',
  'paused-start':
    'start paused: what the guest says first could be missed by its API, not by the console',
};

/** A file that must be there before the monitor is started. */
export interface VmmFile {
  readonly path: string;
  readonly content: string;
}

export interface VmmCommand {
  /** Behind the program. */
  readonly arguments: readonly string[];
  readonly files: readonly VmmFile[];
}

export interface Vmm {
  readonly name: VmmName;
  /** The program that is run. */
  program(arch: GuestArch): string;
  /** How to get it. */
  readonly install: string;
  readonly limits: readonly VmmLimit[];
  /** Who serves vsock: our backend over vhost-user, or the monitor itself with the same hybrid sockets. */
  readonly vsock: 'vhost-user' | 'own';
  /** Whether its control channel speaks QMP; else the process is all there is to watch and to end. */
  readonly qmp: boolean;
  /** Whether the first serial port is its standard output. */
  readonly consoleIsOutput: boolean;
  /** What its exit codes mean; QEMU's say nothing, its QMP does. */
  readonly exitReasons: Readonly<Record<number, DeathReason>>;
  /** What it is told. Pure; see `checkLimits` for what it must not be asked. */
  command(spec: VmmSpec): VmmCommand;
}

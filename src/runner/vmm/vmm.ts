/** What a virtual machine monitor is told, and the one thing it must do: turn that into a command. */

export type Accelerator = 'kvm' | 'tcg';

/** `microvm` has virtio-mmio devices only, `q35` has PCI. */
export type Machine = 'q35' | 'microvm';

export interface VmmDisk {
  readonly path: string;
  /** Where in the file the disk is, in bytes; default all of it. */
  readonly offset?: number;
  readonly size?: number;
  /** The virtio serial by which the guest finds the disk: `os` or `payload`. */
  readonly serial: string;
}

export interface VmmSpec {
  readonly name: string;
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
  /** Whether the machine waits for `cont` on the control socket. */
  readonly startPaused: boolean;
  /** The socket of the vhost-user vsock backend. */
  readonly vsockSocket: string;
  /** The control socket (QMP). */
  readonly controlSocket: string;
  /** The file of the first serial port, ttyS0. */
  readonly consoleFile: string;
  /** The file of the second serial port, ttyS1, where the guest says why it died. */
  readonly reasonFile: string;
  /** Words that the user adds, as they are. */
  readonly extraArguments?: readonly string[] | undefined;
}

export interface Vmm {
  readonly name: string;
  /** The program that is run. */
  readonly program: string;
  /** The arguments, without the program. Pure. */
  arguments(spec: VmmSpec): readonly string[];
}

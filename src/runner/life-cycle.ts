/**
 * The life of a virtual machine in Android's words: states, reasons of death, error codes, callbacks.
 *
 * @see packages/modules/Virtualization, android.system.virtualizationservice: VirtualMachineState,
 *   IVirtualMachineCallback; android.system.virtualizationcommon: DeathReason, ErrorCode
 */

/** With Android's numbers. */
export const VM_STATES = {
  NOT_STARTED: 0,
  /** The machine runs; its payload does not yet. */
  STARTING: 1,
  /** The payload runs. */
  STARTED: 2,
  /** The payload says that it serves. */
  READY: 3,
  /** The payload ended; the machine is about to. */
  FINISHED: 4,
  DEAD: 6,
} as const;

export type VmState = keyof typeof VM_STATES;

/** With Android's numbers; -1 is what its client library says when nobody is left to tell. */
export const DEATH_REASONS = {
  /** The runner itself is gone, so that nobody saw the end. */
  VIRTUALIZATION_SERVICE_DIED: -1,
  /** The runner could not watch the machine to its end. */
  INFRASTRUCTURE_ERROR: 0,
  /** Ended from outside: by the user, a time limit or a signal. */
  KILLED: 1,
  UNKNOWN: 2,
  /** The guest powered off. */
  SHUTDOWN: 3,
  /** The monitor could not start the machine. */
  START_FAILED: 4,
  /** The guest reset itself. */
  REBOOT: 5,
  /** The guest's kernel panicked, or the monitor crashed. */
  CRASH: 6,
  /** Of Android's protected machines; here the runner checks before there is a machine. */
  PVM_FIRMWARE_PUBLIC_KEY_MISMATCH: 7,
  PVM_FIRMWARE_INSTANCE_IMAGE_CHANGED: 8,
  MICRODROID_FAILED_TO_CONNECT_TO_VIRTUALIZATION_SERVICE: 11,
  MICRODROID_PAYLOAD_HAS_CHANGED: 12,
  MICRODROID_PAYLOAD_VERIFICATION_FAILED: 13,
  MICRODROID_INVALID_PAYLOAD_CONFIG: 14,
  MICRODROID_UNKNOWN_RUNTIME_ERROR: 15,
  /** The payload was not started in time. */
  HANGUP: 16,
  WATCHDOG_REBOOT: 17,
} as const;

export type DeathReason = keyof typeof DEATH_REASONS;

/** What `notifyError` says, with Android's numbers. */
export const ERROR_CODES = {
  UNKNOWN: 0,
  PAYLOAD_VERIFICATION_FAILED: 1,
  PAYLOAD_CHANGED: 2,
  PAYLOAD_INVALID_CONFIG: 3,
} as const;

/** The reason of death that an error code announces, as Android's guest writes it to its second port. */
export const ERROR_CODE_REASONS: Readonly<Record<number, DeathReason>> = {
  0: 'MICRODROID_UNKNOWN_RUNTIME_ERROR',
  1: 'MICRODROID_PAYLOAD_VERIFICATION_FAILED',
  2: 'MICRODROID_PAYLOAD_HAS_CHANGED',
  3: 'MICRODROID_INVALID_PAYLOAD_CONFIG',
};

/** Android's IVirtualMachineCallback. Each is called at most once, in this order where it is called. */
export interface VmCallbacks {
  onPayloadStarted?(): void;
  onPayloadReady?(): void;
  onPayloadFinished?(exitCode: number): void;
  /** The guest gives up; `message` is its text, without control characters. */
  onError?(errorCode: number, message: string): void;
  /** The last: the machine is gone and everything is cleaned up. */
  onDied?(reason: DeathReason): void;
}

export const isDeathReason = (text: string): text is DeathReason =>
  Object.hasOwn(DEATH_REASONS, text);

/** States only go forward, as Android's do: a payload that reports twice, or late, changes nothing. */
export function isForward(from: VmState, to: VmState): boolean {
  return VM_STATES[to] > VM_STATES[from];
}

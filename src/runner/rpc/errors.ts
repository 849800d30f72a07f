/** What a Binder RPC call can end with, other than a reply. All of them end a command with exit code 1. */

import { MicrobuildError } from '../../core/errors.ts';

/** An exception that the service threw: AIDL's `binder::Status` with status OK and an exception code. */
export class BinderException extends MicrobuildError {
  readonly code = 'binder-exception';
  /** `EX_*` of libbinder: -3 illegal argument, -5 illegal state, -8 service specific, ... */
  readonly exception: number;
  /** The service's own error code; 0 unless `exception` is -8. */
  readonly serviceSpecific: number;
  /** The text the service gave, without our words around it. */
  readonly serviceMessage: string;

  constructor(exception: number, message: string, serviceSpecific = 0) {
    const name = EXCEPTION_NAMES[exception] ?? `exception ${exception}`;
    const detail = exception === EX_SERVICE_SPECIFIC ? ` ${serviceSpecific}` : '';
    super(`The service answered with ${name}${detail}${message === '' ? '' : `: ${message}`}`);
    this.exception = exception;
    this.serviceSpecific = serviceSpecific;
    this.serviceMessage = message;
  }
}

/** The transport or libbinder refused the call: a `status_t` other than OK. */
export class BinderStatusError extends MicrobuildError {
  readonly code = 'binder-status';
  /** `status_t`, a negative number such as `UNKNOWN_TRANSACTION`. */
  readonly status: number;

  constructor(status: number, options: { cause?: unknown; detail?: string } = {}) {
    const { detail, ...rest } = options;
    const name = STATUS_NAMES.get(status) ?? `status ${status}`;
    super(`Binder call failed: ${name}${detail === undefined ? '' : `: ${detail}`}`, rest);
    this.status = status;
  }
}

export type RpcSessionErrorCode = 'rpc-closed' | 'rpc-protocol' | 'rpc-aborted' | 'rpc-connect';

/**
 * The session is over, or never began. `rpc-closed`: the peer or we closed it. `rpc-protocol`: the
 * peer broke the protocol (the cause is the FormatError). `rpc-aborted`: the caller's signal fired.
 */
export class RpcSessionError extends MicrobuildError {
  readonly code: RpcSessionErrorCode;

  constructor(
    code: RpcSessionErrorCode,
    message: string,
    options: { cause?: unknown; hint?: string } = {},
  ) {
    super(message, options);
    this.code = code;
  }
}

/** utils/Errors.h on Linux. */
export const STATUS = {
  OK: 0,
  PERMISSION_DENIED: -1,
  NAME_NOT_FOUND: -2,
  WOULD_BLOCK: -11,
  NO_MEMORY: -12,
  BAD_VALUE: -22,
  DEAD_OBJECT: -32,
  INVALID_OPERATION: -38,
  NOT_ENOUGH_DATA: -61,
  UNKNOWN_TRANSACTION: -74,
  UNKNOWN_ERROR: -0x80000000,
  BAD_TYPE: -0x7fffffff,
  FAILED_TRANSACTION: -0x7ffffffe,
  FDS_NOT_ALLOWED: -0x7ffffff9,
  UNEXPECTED_NULL: -0x7ffffff8,
} as const;

const STATUS_NAMES = new Map<number, string>(
  Object.entries(STATUS).map(([name, value]) => [value, `${name} (${value})`]),
);

/** binder/Status.h. */
export const EX_NONE = 0;
export const EX_SERVICE_SPECIFIC = -8;
export const EX_PARCELABLE = -9;
export const EX_HAS_REPLY_HEADER = -128;

const EXCEPTION_NAMES: Readonly<Record<number, string>> = {
  [-1]: 'EX_SECURITY',
  [-2]: 'EX_BAD_PARCELABLE',
  [-3]: 'EX_ILLEGAL_ARGUMENT',
  [-4]: 'EX_NULL_POINTER',
  [-5]: 'EX_ILLEGAL_STATE',
  [-6]: 'EX_NETWORK_MAIN_THREAD',
  [-7]: 'EX_UNSUPPORTED_OPERATION',
  [EX_SERVICE_SPECIFIC]: 'EX_SERVICE_SPECIFIC',
  [EX_PARCELABLE]: 'EX_PARCELABLE',
};

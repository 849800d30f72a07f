/**
 * The records of Binder RPC, versions 0 to 2. Everything is little-endian.
 *
 * A connection opens with RpcConnectionHeader (and the session id), then carries frames:
 * RpcWireHeader, then a body of `bodySize` bytes. Version 1 gave replies a size and an object table;
 * version 2 lists binders in that table.
 *
 * @see https://android.googlesource.com/platform/frameworks/native libs/binder/RpcWireFormat.h
 */

import { FormatError } from '../../core/errors.ts';
import { bytes, le, struct, u8 } from '../../formats/struct.ts';

/** The newest version we speak; 1 is Android 14 and 15, 2 is Android 16 QPR2. */
export const RPC_VERSION_MAX = 2;
/** libbinder's receive limit for a body since Android 16; it is checked before anything is allocated. */
export const RPC_MAX_BODY = 614_400;
/** The limit up to Android 15, which is all that every peer of protocol 0 or 1 takes. */
const RPC_MAX_BODY_BEFORE_V2 = 100_000;
export const RPC_SESSION_ID_SIZE = 32;

export const RPC_CONNECTION_OPTION_INCOMING = 1;
export const RPC_COMMAND = { TRANSACT: 0, REPLY: 1, DEC_STRONG: 2 } as const;
export const RPC_SPECIAL = { GET_ROOT: 0, GET_MAX_THREADS: 1, GET_SESSION_ID: 2 } as const;
/** The options half of an address. */
export const RPC_ADDRESS_CREATED = 1;
export const RPC_ADDRESS_FOR_SERVER = 2;
export const FLAG_ONEWAY = 1;
/** Local to the caller: never sent. */
export const FLAG_PRIVATE_VENDOR = 0x10000000;

/** Codes that every binder answers (IBinder.h); user codes are 1 to 0x00ffffff. */
export const PING_TRANSACTION = 0x5f504e47;
export const INTERFACE_TRANSACTION = 0x5f4e5446;
export const EXTENSION_TRANSACTION = 0x5f455854;
export const DEBUG_PID_TRANSACTION = 0x5f504944;
/** What only Android's own processes do, answered with INVALID_OPERATION elsewhere. */
export const ANDROID_ONLY_TRANSACTIONS: ReadonlySet<number> = new Set([
  0x5f535052, // SYSPROPS
  0x5f525043, // SET_RPC_CLIENT
  0x5f535244, // START_RECORDING
  0x5f455244, // STOP_RECORDING
]);

export const RpcConnectionHeader = struct('RpcConnectionHeader', 16, {
  version: le.u32,
  options: u8,
  fileDescriptorTransportMode: u8,
  reserved: bytes(8),
  sessionIdSize: le.u16,
});

export const RpcNewSessionResponse = struct('RpcNewSessionResponse', 8, {
  version: le.u32,
  reserved: bytes(4),
});

export const RpcOutgoingConnectionInit = struct('RpcOutgoingConnectionInit', 8, {
  msg: bytes(4),
  reserved: bytes(4),
});

export const RpcWireHeader = struct('RpcWireHeader', 16, {
  command: le.u32,
  bodySize: le.u32,
  reserved0: le.u32,
  reserved1: le.u32,
});

const RpcWireTransaction = struct('RpcWireTransaction', 40, {
  address: le.u64,
  code: le.u32,
  flags: le.u32,
  asyncNumber: le.u64,
  parcelDataSize: le.u32,
  reserved: bytes(12),
});

/** Since version 1; version 0 has the status only. */
const RpcWireReply = struct('RpcWireReply', 20, {
  status: le.u32,
  parcelDataSize: le.u32,
  reserved: bytes(12),
});

const RpcDecStrong = struct('RpcDecStrong', 16, {
  address: le.u64,
  amount: le.u32,
  reserved: le.u32,
});

const none = (size: number): Uint8Array => new Uint8Array(size);
const INIT_MESSAGE = new Uint8Array([0x63, 0x63, 0x69, 0]); // "cci\0"

/** The data of a parcel and where in it the objects stand, which only the session can interpret. */
export interface ParcelData {
  readonly data: Uint8Array;
  readonly objects: readonly number[];
}

/** The largest body that any peer of a version takes. Since version 2 it must stay below AOSP's own bound. */
export const maxBody = (version: number): number =>
  version < 2 ? RPC_MAX_BODY_BEFORE_V2 : RPC_MAX_BODY - RpcWireHeader.size - 1;

/** Whether a parcel fits a transaction, or a reply, of a version. */
export function fitsBody(
  version: number,
  kind: 'transaction' | 'reply',
  parcel: ParcelData,
): boolean {
  const fixed =
    kind === 'transaction' ? RpcWireTransaction.size : version === 0 ? 4 : RpcWireReply.size;
  const table = version === 0 ? 0 : 4 * parcel.objects.length;
  return fixed + parcel.data.length + table <= maxBody(version);
}

export interface Transaction extends ParcelData {
  readonly address: bigint;
  readonly code: number;
  readonly flags: number;
  readonly asyncNumber: bigint;
}

export interface Reply extends ParcelData {
  readonly status: number;
}

const fail = (
  code: 'bad-value' | 'bad-magic' | 'too-large' | 'out-of-range' | 'truncated',
  message: string,
  field: string,
): FormatError => new FormatError('binder-rpc', code, message, { field });

/** The header of a connection that opens a session (no id) or joins one. */
export function encodeConnectionHeader(
  version: number,
  options: number,
  id?: Uint8Array,
): Uint8Array {
  const header = RpcConnectionHeader.encode({
    version,
    options,
    fileDescriptorTransportMode: 0,
    reserved: none(8),
    sessionIdSize: id?.length ?? 0,
  });
  return id === undefined ? header : Buffer.concat([header, id]);
}

export function encodeNewSessionResponse(version: number): Uint8Array {
  return RpcNewSessionResponse.encode({ version, reserved: none(4) });
}

/** "cci\0": sent by the side that will send commands on the connection. */
export function encodeConnectionInit(): Uint8Array {
  return RpcOutgoingConnectionInit.encode({ msg: INIT_MESSAGE, reserved: none(4) });
}

/** @throws {FormatError} when the message is another one. */
export function checkConnectionInit(source: Uint8Array): void {
  const { msg } = RpcOutgoingConnectionInit.decode(source);
  if (!Buffer.from(msg).equals(INIT_MESSAGE)) {
    throw fail('bad-magic', 'Cannot open the connection: its first message is not "cci"', 'msg');
  }
}

/** Checks the header of a frame before its body is read. */
export function decodeFrameHeader(source: Uint8Array): { command: number; bodySize: number } {
  const { command, bodySize } = RpcWireHeader.decode(source);
  if (command > RPC_COMMAND.DEC_STRONG) {
    throw fail('bad-value', `Cannot read frame: command ${command} is not known`, 'command');
  }
  if (bodySize > RPC_MAX_BODY) {
    throw fail(
      'too-large',
      `Cannot read frame: its body is ${bodySize} bytes, at most ${RPC_MAX_BODY} are taken`,
      'bodySize',
    );
  }
  return { command, bodySize };
}

/** A frame; whether the peer takes its size is for `fitsBody` to say. */
export function encodeTransaction(version: number, transaction: Transaction): Uint8Array {
  const { address, code, flags, asyncNumber, data } = transaction;
  const parcelDataSize = data.length;
  const reserved = none(12);
  const fixed = { address, code, flags, asyncNumber, parcelDataSize, reserved };
  return frame(RPC_COMMAND.TRANSACT, RpcWireTransaction.encode(fixed), version, transaction);
}

/** A frame; whether the peer takes its size is for `fitsBody` to say. */
export function encodeReply(version: number, reply: Reply): Uint8Array {
  const status = reply.status >>> 0;
  const parcelDataSize = reply.data.length;
  const fixed = RpcWireReply.encode({ status, parcelDataSize, reserved: none(12) });
  return frame(RPC_COMMAND.REPLY, version === 0 ? fixed.subarray(0, 4) : fixed, version, reply);
}

export function encodeDecStrong(address: bigint, amount: number): Uint8Array {
  const body = RpcDecStrong.encode({ address, amount, reserved: 0 });
  return frame(RPC_COMMAND.DEC_STRONG, body, 0, { data: none(0), objects: [] });
}

function frame(
  command: number,
  fixed: Uint8Array,
  version: number,
  parcel: ParcelData,
): Uint8Array {
  const table = version === 0 ? 0 : 4 * parcel.objects.length;
  const bodySize = fixed.length + parcel.data.length + table;
  const out = new Uint8Array(RpcWireHeader.size + bodySize);
  const view = new DataView(out.buffer);
  RpcWireHeader.encodeInto(view, 0, { command, bodySize, reserved0: 0, reserved1: 0 });
  out.set(fixed, RpcWireHeader.size);
  let at = RpcWireHeader.size + fixed.length;
  out.set(parcel.data, at);
  at += parcel.data.length;
  if (table > 0)
    for (const [i, position] of parcel.objects.entries())
      view.setUint32(at + 4 * i, position, true);
  return out;
}

/** @throws {FormatError} when sizes or object positions do not fit the body. */
export function decodeTransaction(version: number, body: Uint8Array): Transaction {
  const { address, code, flags, asyncNumber, parcelDataSize } = RpcWireTransaction.decode(body);
  const size = version === 0 ? body.length - RpcWireTransaction.size : parcelDataSize;
  const parcel = decodeParcel(version, body, RpcWireTransaction.size, size);
  return { address, code, flags, asyncNumber, ...parcel };
}

/** @throws {FormatError} when sizes or object positions do not fit the body. */
export function decodeReply(version: number, body: Uint8Array): Reply {
  if (version === 0) {
    if (body.length < 4) throw fail('truncated', 'Cannot read reply: no status', 'status');
    const status = new DataView(body.buffer, body.byteOffset).getInt32(0, true);
    return { status, data: body.subarray(4), objects: [] };
  }
  const { status, parcelDataSize } = RpcWireReply.decode(body);
  return { status: status | 0, ...decodeParcel(version, body, RpcWireReply.size, parcelDataSize) };
}

/** @throws {FormatError} when the body has another size. */
export function decodeDecStrong(body: Uint8Array): { address: bigint; amount: number } {
  if (body.length !== RpcDecStrong.size) {
    throw fail(
      'bad-value',
      `Cannot read RpcDecStrong: ${body.length} bytes, expected 16`,
      'bodySize',
    );
  }
  const { address, amount } = RpcDecStrong.decode(body);
  return { address, amount };
}

function decodeParcel(version: number, body: Uint8Array, start: number, size: number): ParcelData {
  const table = body.length - start - size;
  if (table < 0 || table % 4 !== 0) {
    throw fail(
      'out-of-range',
      `Cannot read parcel: ${size} bytes of data in a body of ${body.length}`,
      'parcelDataSize',
    );
  }
  if (version === 1 && table > 0) {
    throw fail('bad-value', 'Cannot read parcel: file descriptors cannot travel here', 'objects');
  }
  const view = new DataView(body.buffer, body.byteOffset);
  const objects: number[] = [];
  for (let at = start + size; at < body.length; at += 4) {
    const position = view.getUint32(at, true);
    if (position <= (objects.at(-1) ?? -1) || position + 4 > size) {
      throw fail('out-of-range', `Cannot read parcel: object position ${position}`, 'objects');
    }
    objects.push(position);
  }
  return { data: body.subarray(start, start + size), objects };
}

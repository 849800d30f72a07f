/**
 * The structures of PKCS#11 2.40 as they lie in memory on 64-bit Linux: CK_ULONG and pointers have 8
 * bytes, and members are aligned by the rules of C.
 *
 * @see https://docs.oasis-open.org/pkcs11/pkcs11-base/v2.40/os/include/pkcs11-v2.40/pkcs11t.h
 */

import { bytes, le, struct, u8 } from '../struct.ts';

const ulong = le.u64;
const pointer = le.u64;

/** Of text that a structure pads with blanks. */
export function decodePadded(value: Uint8Array): string {
  return new TextDecoder().decode(value).replace(/[ \0]+$/, '');
}

export const CK_INFO = struct('CK_INFO', 88, {
  cryptokiMajor: u8,
  cryptokiMinor: u8,
  manufacturerID: bytes(32),
  padding: bytes(6),
  flags: ulong,
  libraryDescription: bytes(32),
  libraryMajor: u8,
  libraryMinor: u8,
  end: bytes(6),
});

export const CK_SLOT_INFO = struct('CK_SLOT_INFO', 112, {
  slotDescription: bytes(64),
  manufacturerID: bytes(32),
  flags: ulong,
  hardwareVersion: bytes(2),
  firmwareVersion: bytes(2),
  end: bytes(4),
});

export const CK_TOKEN_INFO = struct('CK_TOKEN_INFO', 208, {
  label: bytes(32),
  manufacturerID: bytes(32),
  model: bytes(16),
  serialNumber: bytes(16),
  flags: ulong,
  ulMaxSessionCount: ulong,
  ulSessionCount: ulong,
  ulMaxRwSessionCount: ulong,
  ulRwSessionCount: ulong,
  ulMaxPinLen: ulong,
  ulMinPinLen: ulong,
  ulTotalPublicMemory: ulong,
  ulFreePublicMemory: ulong,
  ulTotalPrivateMemory: ulong,
  ulFreePrivateMemory: ulong,
  hardwareVersion: bytes(2),
  firmwareVersion: bytes(2),
  utcTime: bytes(16),
  end: bytes(4),
});

export const CK_ATTRIBUTE = struct('CK_ATTRIBUTE', 24, {
  type: ulong,
  pValue: pointer,
  ulValueLen: ulong,
});

export const CK_MECHANISM = struct('CK_MECHANISM', 24, {
  mechanism: ulong,
  pParameter: pointer,
  ulParameterLen: ulong,
});

export const CK_RSA_PKCS_PSS_PARAMS = struct('CK_RSA_PKCS_PSS_PARAMS', 24, {
  hashAlg: ulong,
  mgf: ulong,
  sLen: ulong,
});

export const CK_C_INITIALIZE_ARGS = struct('CK_C_INITIALIZE_ARGS', 48, {
  CreateMutex: pointer,
  DestroyMutex: pointer,
  LockMutex: pointer,
  UnlockMutex: pointer,
  flags: ulong,
  pReserved: pointer,
});

/** The head of CK_FUNCTION_LIST; pointers to functions follow. */
export const CK_VERSION_SIZE = 8;

/** Where each function that is used stands among the pointers of CK_FUNCTION_LIST. */
export const FUNCTION_INDEX = {
  C_Initialize: 0,
  C_Finalize: 1,
  C_GetInfo: 2,
  C_GetSlotList: 4,
  C_GetSlotInfo: 5,
  C_GetTokenInfo: 6,
  C_GetMechanismList: 7,
  C_OpenSession: 12,
  C_CloseSession: 13,
  C_Login: 18,
  C_Logout: 19,
  C_GetAttributeValue: 24,
  C_FindObjectsInit: 26,
  C_FindObjects: 27,
  C_FindObjectsFinal: 28,
  C_SignInit: 42,
  C_Sign: 43,
} as const;

export type CryptokiFunction = keyof typeof FUNCTION_INDEX;

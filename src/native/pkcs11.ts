/**
 * PKCS#11 modules of hardware tokens and of SoftHSM: what is needed to find a key and to sign with it.
 *
 * @see https://docs.oasis-open.org/pkcs11/pkcs11-base/v2.40/pkcs11-base-v2.40.html
 */

import { realpath } from 'node:fs/promises';
import { CKF_OS_LOCKING_OK, CKF_SERIAL_SESSION, CKR } from '../formats/pkcs11/constants.ts';
import { CryptokiError, type Cryptoki, type CryptokiInfo } from '../formats/pkcs11/cryptoki.ts';
import {
  CK_ATTRIBUTE,
  CK_C_INITIALIZE_ARGS,
  CK_INFO,
  CK_SLOT_INFO,
  CK_TOKEN_INFO,
  decodePadded,
  type CryptokiFunction,
} from '../formats/pkcs11/records.ts';
import {
  allocateMechanism,
  allocateTemplate,
  allocateUlong,
  readUlong,
  ulongs,
  type Allocate,
  type Block,
} from './pkcs11-memory.ts';
import {
  loadFunctions,
  type Argument,
  type Patience,
  type Pkcs11Functions,
} from './pkcs11-module.ts';

/** A token may wait for a finger or for a PIN on its own keypad. */
const DEFAULT_TIMEOUT = 60_000;

/** More slots or mechanisms than any token has; a module that names more is broken. */
const MAX_LIST = 4096;

/** Of an attribute: certificates and keys are a few kilobytes. */
const MAX_ATTRIBUTE = 1 << 16;

/** CK_UNAVAILABLE_INFORMATION. */
const UNAVAILABLE = 0xffff_ffff_ffff_ffffn;

/** RSA-16384, twice. */
const MAX_SIGNATURE = 4096;

export interface CryptokiOptions {
  /** How long one call may take, in milliseconds; default a minute. */
  readonly timeout?: number;
  readonly signal?: AbortSignal | undefined;
}

/** A module is initialised once a process, whoever uses it. */
interface LoadedModule {
  readonly functions: Pkcs11Functions;
  readonly info: CryptokiInfo;
  /** Whether C_Initialize was ours, so that C_Finalize is. */
  readonly isOurs: boolean;
  users: number;
}

const ENDING: ReadonlySet<CryptokiFunction> = new Set([
  'C_Logout',
  'C_CloseSession',
  'C_FindObjectsFinal',
  'C_Finalize',
]);

const loaded = new Map<string, Promise<LoadedModule>>();

/**
 * Loads a module, or shares it with those who have loaded it before.
 *
 * @throws {CryptokiError} when it does not start; another error when the file is no such module.
 */
export async function openCryptoki(path: string, options: CryptokiOptions = {}): Promise<Cryptoki> {
  const { timeout = DEFAULT_TIMEOUT, signal } = options;
  const patience: Patience = { milliseconds: timeout, signal };
  // One module under two names would be initialised twice.
  const file = await realpath(path);
  let loading = loaded.get(file);
  if (loading === undefined) {
    loading = initialize(file, patience);
    loaded.set(file, loading);
    // A module that did not start may do so when it is asked again.
    loading.catch(() => loaded.delete(file));
  }
  const module = await loading;
  module.users += 1;
  return bind(file, module, patience);
}

async function initialize(file: string, patience: Patience): Promise<LoadedModule> {
  const functions = await loadFunctions(file);
  const { allocate } = functions;
  const args = allocate(
    CK_C_INITIALIZE_ARGS.encode({
      CreateMutex: 0n,
      DestroyMutex: 0n,
      LockMutex: 0n,
      UnlockMutex: 0n,
      flags: BigInt(CKF_OS_LOCKING_OK),
      pReserved: 0n,
    }),
  );
  let answer = await functions.call('C_Initialize', [args], patience);
  // Without locks it will do as well: there is one call at a time.
  if (answer === CKR.CANT_LOCK) answer = await functions.call('C_Initialize', [0], patience);
  const isOurs = answer !== CKR.CRYPTOKI_ALREADY_INITIALIZED;
  if (isOurs && answer !== CKR.OK) throw new CryptokiError('C_Initialize', answer);
  const block = allocate(CK_INFO.size);
  const known = await functions.call('C_GetInfo', [block], patience);
  if (known !== CKR.OK) throw new CryptokiError('C_GetInfo', known);
  const info = CK_INFO.decode(block.bytes);
  return {
    functions,
    isOurs,
    users: 0,
    info: {
      manufacturer: decodePadded(info.manufacturerID),
      description: decodePadded(info.libraryDescription),
      version: `${info.libraryMajor}.${info.libraryMinor}`,
    },
  };
}

function bind(file: string, module: LoadedModule, patience: Patience): Cryptoki {
  const { functions } = module;
  const { allocate } = functions;
  // What was begun is ended also after Ctrl-C.
  const untilEnd: Patience = { ...patience, signal: undefined };
  const tryCall = (name: CryptokiFunction, ...args: Argument[]): Promise<number> =>
    functions.call(name, args, ENDING.has(name) ? untilEnd : patience);
  const call = async (name: CryptokiFunction, ...args: Argument[]): Promise<void> => {
    const answer = await tryCall(name, ...args);
    if (answer !== CKR.OK) throw new CryptokiError(name, answer);
  };

  /** A list that the module first tells the length of. It may grow until it is asked for. */
  const list = async (
    name: 'C_GetSlotList' | 'C_GetMechanismList',
    first: Argument,
  ): Promise<readonly bigint[]> => {
    for (;;) {
      const count = allocateUlong(allocate, 0);
      await call(name, first, 0, count);
      const room = checkedCount(name, readUlong(count), MAX_LIST);
      if (room === 0) return [];
      const values = allocate(room * 8);
      const answer = await tryCall(name, first, values, count);
      if (answer === CKR.BUFFER_TOO_SMALL) continue;
      if (answer !== CKR.OK) throw new CryptokiError(name, answer);
      return ulongs(values, checkedCount(name, readUlong(count), room));
    }
  };

  let isReleased = false;
  return {
    path: file,
    info: module.info,
    slots: () => list('C_GetSlotList', 1),
    async slotInfo(slot) {
      const block = allocate(CK_SLOT_INFO.size);
      await call('C_GetSlotInfo', slot, block);
      const { slotDescription, manufacturerID } = CK_SLOT_INFO.decode(block.bytes);
      return {
        description: decodePadded(slotDescription),
        manufacturer: decodePadded(manufacturerID),
      };
    },
    async tokenInfo(slot) {
      const block = allocate(CK_TOKEN_INFO.size);
      await call('C_GetTokenInfo', slot, block);
      const info = CK_TOKEN_INFO.decode(block.bytes);
      return {
        label: decodePadded(info.label),
        manufacturer: decodePadded(info.manufacturerID),
        model: decodePadded(info.model),
        serial: decodePadded(info.serialNumber),
        flags: Number(info.flags & 0xffff_ffffn),
      };
    },
    mechanisms: async (slot) => new Set((await list('C_GetMechanismList', slot)).map(Number)),
    async openSession(slot) {
      const session = allocateUlong(allocate, 0);
      await call('C_OpenSession', slot, CKF_SERIAL_SESSION, 0, 0, session);
      return readUlong(session);
    },
    closeSession: (session) => call('C_CloseSession', session),
    async login(session, user, pin) {
      const block = pin === undefined ? undefined : allocate(pin);
      try {
        await call('C_Login', session, user, block, pin?.length ?? 0);
      } finally {
        // A call that has not ended may still read it.
        if (!functions.isStuck()) block?.bytes.fill(0);
      }
    },
    logout: (session) => call('C_Logout', session),
    async findObjects(session, template, limit) {
      const values = allocateTemplate(allocate, template);
      await call('C_FindObjectsInit', session, values, template.length);
      try {
        const found: bigint[] = [];
        while (found.length < limit) {
          const room = limit - found.length;
          const handles = allocate(room * 8);
          const count = allocateUlong(allocate, 0);
          await call('C_FindObjects', session, handles, room, count);
          const more = checkedCount('C_FindObjects', readUlong(count), room);
          if (more === 0) break;
          found.push(...ulongs(handles, more));
        }
        return found;
      } finally {
        if (!functions.isStuck()) await tryCall('C_FindObjectsFinal', session);
      }
    },
    attribute: (session, object, type) => readAttribute(allocate, tryCall, [session, object, type]),
    async signInit(session, mechanism, key) {
      await call('C_SignInit', session, allocateMechanism(allocate, mechanism), key);
    },
    async sign(session, data) {
      const signature = allocate(MAX_SIGNATURE);
      const size = allocateUlong(allocate, MAX_SIGNATURE);
      await call('C_Sign', session, allocate(data), data.length, signature, size);
      return signature.bytes.slice(0, checkedCount('C_Sign', readUlong(size), MAX_SIGNATURE));
    },
    async release() {
      if (isReleased) return;
      isReleased = true;
      module.users -= 1;
      if (module.users > 0 || functions.isStuck()) return;
      loaded.delete(file);
      // Whoever waits for the user’s Ctrl-C need not wait for this.
      if (module.isOurs)
        await functions.call('C_Finalize', [0], { ...patience, signal: undefined });
    },
  };
}

/** What a module answers for an attribute that it does not have, or does not tell. */
const UNTOLD: ReadonlySet<number> = new Set([CKR.ATTRIBUTE_SENSITIVE, CKR.ATTRIBUTE_TYPE_INVALID]);

async function readAttribute(
  allocate: Allocate,
  tryCall: (name: CryptokiFunction, ...args: Argument[]) => Promise<number>,
  [session, object, type]: readonly [session: bigint, object: bigint, type: number],
): Promise<Uint8Array | undefined> {
  /** The size that the module has written into the template, or undefined when it tells nothing. */
  const ask = async (template: Block): Promise<number | undefined> => {
    const answer = await tryCall('C_GetAttributeValue', session, object, template, 1);
    if (UNTOLD.has(answer)) return undefined;
    if (answer !== CKR.OK) throw new CryptokiError('C_GetAttributeValue', answer);
    const { ulValueLen } = CK_ATTRIBUTE.decode(template.bytes);
    if (ulValueLen === UNAVAILABLE) return undefined;
    return checkedCount('C_GetAttributeValue', ulValueLen, MAX_ATTRIBUTE);
  };
  const sizeOnly = { type: BigInt(type), pValue: 0n, ulValueLen: 0n };
  const size = await ask(allocate(CK_ATTRIBUTE.encode(sizeOnly)));
  if (size === undefined || size === 0) return size === 0 ? new Uint8Array(0) : undefined;
  const template = allocateTemplate(allocate, [{ type, value: new Uint8Array(size) }]);
  const written = await ask(template);
  if (written === undefined) return undefined;
  const value = template.pointees[0]?.bytes ?? new Uint8Array(0);
  return value.slice(0, Math.min(written, value.length));
}

/** A count that a module wrote, before anybody relies on it. */
function checkedCount(name: CryptokiFunction, count: bigint, limit: number): number {
  if (count > BigInt(limit)) {
    throw new CryptokiError(name, undefined, `it tells of ${count} values, more than ${limit}`);
  }
  return Number(count);
}

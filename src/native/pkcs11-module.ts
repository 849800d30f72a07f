/**
 * The functions of a PKCS#11 module: loaded, found in its function list, and called one after the other on a
 * thread of libuv's pool, as a token may take its time or wait for a finger.
 *
 * @see https://docs.oasis-open.org/pkcs11/pkcs11-base/v2.40/pkcs11-base-v2.40.html
 */

import { CKR } from '../formats/pkcs11/constants.ts';
import { CryptokiError } from '../formats/pkcs11/cryptoki.ts';
import {
  CK_VERSION_SIZE,
  FUNCTION_INDEX,
  type CryptokiFunction,
} from '../formats/pkcs11/records.ts';
import { callAsync, type NativeFunction } from './library.ts';
import { endWithoutThreads } from './pkcs11-abandoned.ts';
import { createAllocator, readUlong, type Allocate, type Block } from './pkcs11-memory.ts';

const POINTER_SIZE = 8;

/** C_GetFunctionList gives the list of 2.40 in modules of 3.x, too. */
const MAJOR_VERSIONS: ReadonlySet<number> = new Set([2, 3]);

/** What each function takes. Numbers and pointers are of one size; `bool` is CK_BBOOL. */
const PARAMETERS: Readonly<Record<CryptokiFunction, string>> = {
  C_Initialize: 'uintptr_t',
  C_Finalize: 'uintptr_t',
  C_GetInfo: 'uintptr_t',
  C_GetSlotList: 'uint8_t, uintptr_t, uintptr_t',
  C_GetSlotInfo: 'uintptr_t, uintptr_t',
  C_GetTokenInfo: 'uintptr_t, uintptr_t',
  C_GetMechanismList: 'uintptr_t, uintptr_t, uintptr_t',
  C_OpenSession: 'uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t',
  C_CloseSession: 'uintptr_t',
  C_Login: 'uintptr_t, uintptr_t, uintptr_t, uintptr_t',
  C_Logout: 'uintptr_t',
  C_GetAttributeValue: 'uintptr_t, uintptr_t, uintptr_t, uintptr_t',
  C_FindObjectsInit: 'uintptr_t, uintptr_t, uintptr_t',
  C_FindObjects: 'uintptr_t, uintptr_t, uintptr_t, uintptr_t',
  C_FindObjectsFinal: 'uintptr_t',
  C_SignInit: 'uintptr_t, uintptr_t, uintptr_t',
  C_Sign: 'uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t',
};

/** A number, the address of a block, or NULL. */
export type Argument = number | bigint | Block | undefined;

export interface Patience {
  readonly milliseconds: number;
  readonly signal?: AbortSignal | undefined;
}

export interface Pkcs11Functions {
  readonly allocate: Allocate;
  /** Whether a call has not come back. The module takes no others then. */
  isStuck(): boolean;
  /** @returns CKR. Rejects when the answer does not come in time. */
  call(name: CryptokiFunction, args: readonly Argument[], patience: Patience): Promise<number>;
}

/** @throws when the file is no module. */
export async function loadFunctions(path: string): Promise<Pkcs11Functions> {
  // Only here, as loading koffi costs more than most commands need it for.
  const koffi = await import('koffi');
  const library = koffi.load(path);
  libraries.push(library);
  const getList = library.func('unsigned long C_GetFunctionList(uintptr_t list)');
  const allocate = createAllocator((buffer) => koffi.address(buffer));
  const found = allocate(POINTER_SIZE);
  const answer = Number(getList(found.address));
  if (answer !== CKR.OK) throw new CryptokiError('C_GetFunctionList', answer);
  const list = readUlong(found);
  if (list === 0n) throw new CryptokiError('C_GetFunctionList', undefined, 'it gives no list');
  const listSize =
    CK_VERSION_SIZE + POINTER_SIZE * (Math.max(...Object.values(FUNCTION_INDEX)) + 1);
  const view = new DataView(koffi.view(list, listSize).slice(0));
  const major = view.getUint8(0);
  if (!MAJOR_VERSIONS.has(major)) {
    const version = `${major}.${view.getUint8(1)}`;
    throw new CryptokiError('C_GetFunctionList', undefined, `version ${version} is not known here`);
  }

  const functions = new Map<CryptokiFunction, NativeFunction>();
  const find = (name: CryptokiFunction): NativeFunction => {
    const known = functions.get(name);
    if (known !== undefined) return known;
    const at = CK_VERSION_SIZE + POINTER_SIZE * FUNCTION_INDEX[name];
    const pointer = view.getBigUint64(at, true);
    if (pointer === 0n) throw new CryptokiError(name, CKR.FUNCTION_NOT_SUPPORTED);
    const type = koffi.proto(`unsigned long (${PARAMETERS[name]})`);
    const decoded = koffi.decode(pointer, type) as NativeFunction;
    functions.set(name, decoded);
    return decoded;
  };

  let stuck: CryptokiFunction | undefined;
  let turn: Promise<unknown> = Promise.resolve();
  const run = async (
    name: CryptokiFunction,
    args: readonly Argument[],
    patience: Patience,
  ): Promise<number> => {
    if (stuck !== undefined) {
      throw new CryptokiError(name, undefined, `the module has not come back from ${stuck}`);
    }
    patience.signal?.throwIfAborted();
    const called = find(name);
    stuck = name;
    inFlight.add(args);
    const ended = callAsync(called, ...args.map(valueOf)).finally(() => {
      stuck = undefined;
      inFlight.delete(args);
    });
    try {
      return Number(await inTime(ended, name, patience));
    } finally {
      if (stuck !== undefined) endWithoutThreads(koffi);
    }
  };
  return {
    allocate,
    isStuck: () => stuck !== undefined,
    call(name, args, patience) {
      const result = turn.then(() => run(name, args, patience));
      turn = result.catch(() => undefined);
      return result;
    },
  };
}

/**
 * A library whose handle nobody has any more is unloaded, and the functions of the list with it. It also stays for
 * threads of its own, which many modules have.
 */
const libraries: unknown[] = [];

/** Keeps the blocks of calls that have not ended, also of those that nobody waits for any more. */
const inFlight = new Set<readonly Argument[]>();

const valueOf = (argument: Argument): number | bigint =>
  typeof argument === 'object' ? argument.address : (argument ?? 0);

/** The answer, or an error when patience ends before it comes. */
function inTime<T>(answer: Promise<T>, name: string, patience: Patience): Promise<T> {
  const { milliseconds, signal } = patience;
  return new Promise<T>((resolve, reject) => {
    const settle = (work: () => void): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      work();
    };
    const late = `no answer within ${Math.round(milliseconds / 1000)} s`;
    const onTimeout = (): void => settle(() => reject(new CryptokiError(name, undefined, late)));
    const onAbort = (): void => settle(() => reject(signal?.reason as Error));
    const timer = setTimeout(onTimeout, milliseconds);
    signal?.addEventListener('abort', onAbort, { once: true });
    answer.then(
      (value) => settle(() => resolve(value)),
      (error: Error) => settle(() => reject(error)),
    );
  });
}

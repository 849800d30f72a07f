/**
 * A PKCS#11 module as its callers see it: `native` implements it, `signing` signs with it.
 *
 * Handles of sessions and objects, and slot numbers, are the module's own: they mean nothing elsewhere.
 */

import { returnValueName } from './constants.ts';

export interface CryptokiInfo {
  readonly manufacturer: string;
  readonly description: string;
  /** `major.minor`. */
  readonly version: string;
}

export interface SlotInfo {
  readonly description: string;
  readonly manufacturer: string;
}

export interface TokenInfo {
  readonly label: string;
  readonly manufacturer: string;
  readonly model: string;
  readonly serial: string;
  /** CKF of a token. */
  readonly flags: number;
}

/** A value by which objects are searched for. */
export interface AttributeValue {
  /** CKA. */
  readonly type: number;
  readonly value: Uint8Array;
}

export interface SignMechanism {
  /** CKM. */
  readonly type: number;
  /** The structure that the mechanism takes, as it lies in memory. */
  readonly parameter?: Uint8Array;
}

/**
 * Every method rejects with a CryptokiError when the module answers something else than CKR_OK, or
 * nothing in time.
 */
export interface Cryptoki {
  /** The file of the module, without symbolic links. */
  readonly path: string;
  readonly info: CryptokiInfo;
  /** Slots with a token in them. */
  slots(): Promise<readonly bigint[]>;
  slotInfo(slot: bigint): Promise<SlotInfo>;
  tokenInfo(slot: bigint): Promise<TokenInfo>;
  /** CKM. */
  mechanisms(slot: bigint): Promise<ReadonlySet<number>>;
  /** Opens a session that only reads. */
  openSession(slot: bigint): Promise<bigint>;
  closeSession(session: bigint): Promise<void>;
  /**
   * @param user CKU.
   * @param pin undefined for a token with a keypad of its own.
   */
  login(session: bigint, user: number, pin: Uint8Array | undefined): Promise<void>;
  logout(session: bigint): Promise<void>;
  /** Not more than `limit` handles. */
  findObjects(
    session: bigint,
    template: readonly AttributeValue[],
    limit: number,
  ): Promise<readonly bigint[]>;
  /** undefined when the object has no such attribute, or does not tell it. */
  attribute(session: bigint, object: bigint, type: number): Promise<Uint8Array | undefined>;
  signInit(session: bigint, mechanism: SignMechanism, key: bigint): Promise<void>;
  sign(session: bigint, data: Uint8Array): Promise<Uint8Array>;
  /** Lets go of the module; the last one who does ends it. */
  release(): Promise<void>;
}

/** Loads a module, or shares one that is loaded. */
export type LoadCryptoki = (
  path: string,
  options?: { readonly signal?: AbortSignal | undefined },
) => Promise<Cryptoki>;

/** A module said no, or nothing. */
export class CryptokiError extends Error {
  /** The function that was called: `C_Login`. */
  readonly call: string;
  /** CKR, or undefined when no answer came. */
  readonly value: number | undefined;

  constructor(call: string, value: number | undefined, reason?: string) {
    super(`${call}: ${reason ?? returnValueName(value ?? 0)}`);
    this.name = 'CryptokiError';
    this.call = call;
    this.value = value;
  }
}

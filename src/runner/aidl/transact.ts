/** The way of one AIDL call through the RPC layer, from both ends. */

import { AsyncLocalStorage } from 'node:async_hooks';
import type { CallContext, RemoteBinder } from '../rpc/binder.ts';
import type { ParcelReader } from '../rpc/parcel-reader.ts';
import type { ParcelWriter } from '../rpc/parcel-writer.ts';
import { readStatus } from '../rpc/status.ts';
import { AidlReader } from './reader.ts';
import { type AidlWriter, writeAidl } from './writer.ts';

/** Codes that every interface with a version answers: the last two that there are. */
export const GET_INTERFACE_VERSION = 0x00ffffff;
export const GET_INTERFACE_HASH = 0x00fffffe;

/** Leads from a proxy or an implementation to the object of the session. */
export const BINDER: unique symbol = Symbol.for('microbuild.aidl.binder');

export interface AidlCall {
  readonly descriptor: string;
  readonly code: number;
  readonly oneway: boolean;
  write(out: AidlWriter): void;
  readonly signal?: AbortSignal | undefined;
  readonly context?: CallContext | undefined;
}

/**
 * Calls, and leaves the reader at the return value; null of a one-way call.
 *
 * @throws {UsageError} when an argument does not fit its type: nothing was sent then.
 * @throws {BinderException} when the service threw, {BinderStatusError} when the call failed.
 */
export async function callAidl(binder: RemoteBinder, call: AidlCall): Promise<AidlReader | null> {
  const { descriptor, code, oneway, signal, context } = call;
  const reply = await transactInTurn(
    binder,
    code,
    (parcel) => {
      parcel.string16(descriptor);
      writeAidl(binder.session, parcel, 'argument', (out) => call.write(out));
    },
    { oneway, signal, ...(context === undefined ? {} : { context }) },
  );
  if (oneway) return null;
  readStatus(reply);
  return new AidlReader(binder.session, reply);
}

interface Serving {
  readonly context: CallContext;
  /** Until the handler is done. */
  active: boolean;
  /** Calls of one handler share a connection, on which one waits for the other. */
  turn: Promise<void>;
}

const serving = new AsyncLocalStorage<Serving>();

/** Runs a handler; the calls that it makes to its caller belong to the transaction that it serves. */
export async function runHandler<T>(
  context: CallContext,
  handler: () => T | Promise<T>,
): Promise<T> {
  const entry: Serving = { context, active: true, turn: Promise.resolve() };
  try {
    return await serving.run(entry, handler);
  } finally {
    entry.active = false;
  }
}

/** The transaction that is being served by the caller of this; undefined outside of handlers. */
export function currentCall(): CallContext | undefined {
  const entry = serving.getStore();
  return entry?.active === true ? entry.context : undefined;
}

async function transactInTurn(
  binder: RemoteBinder,
  code: number,
  write: (parcel: ParcelWriter) => void,
  options: { oneway: boolean; signal: AbortSignal | undefined; context?: CallContext },
): Promise<ParcelReader> {
  const entry = serving.getStore();
  const isNested =
    options.context === undefined &&
    entry?.active === true &&
    !entry.context.oneway &&
    entry.context.session === binder.session;
  if (!isNested) return binder.transact(code, write, options);
  const before = entry.turn;
  let done: () => void = () => undefined;
  entry.turn = new Promise((resolve) => {
    done = resolve;
  });
  try {
    await before;
    const context = entry.active ? { context: entry.context } : {};
    return await binder.transact(code, write, { ...options, ...context });
  } finally {
    done();
  }
}

/** The way of one AIDL call through the RPC layer, from both ends. */

import type { CallContext, RemoteBinder } from '../rpc/binder.ts';
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
  const reply = await binder.transact(
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

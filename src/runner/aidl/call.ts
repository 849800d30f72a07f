/** Calls and serves interfaces that are known only at run time, from their AIDL. */

import { UsageError } from '../../core/errors.ts';
import type { CallContext, LocalBinder, RemoteBinder } from '../rpc/binder.ts';
import { BinderStatusError, STATUS } from '../rpc/errors.ts';
import { readStatus, writeOk } from '../rpc/status.ts';
import { type AidlMethod, type InterfaceDescription, formatMethod } from './types.ts';
import { type AidlValue, checkValue, readValue, writeValue } from './values.ts';

/** @throws {UsageError} naming the methods that there are. */
export function getMethod(description: InterfaceDescription, name: string): AidlMethod {
  const method = description.methods.find((each) => each.name === name);
  if (method !== undefined) return method;
  const known = description.methods.map((each) => formatMethod(each)).join('; ');
  throw new UsageError('usage', `Cannot find method "${name}" in ${description.descriptor}`, {
    hint: `It has: ${known === '' ? 'no methods' : known}`,
  });
}

/**
 * Calls a method of `binder`.
 *
 * @param args One value an argument, as JSON gives them (see `checkValue`).
 * @returns The return value; null for `void` and one-way methods.
 * @throws {UsageError} when the method or the arguments do not fit the interface.
 * @throws {BinderException} when the service threw, {BinderStatusError} when the call failed.
 */
export async function callMethod(
  binder: RemoteBinder,
  description: InterfaceDescription,
  name: string,
  args: readonly unknown[],
  options: { readonly signal?: AbortSignal | undefined; readonly context?: CallContext } = {},
): Promise<AidlValue> {
  const method = getMethod(description, name);
  if (args.length !== method.args.length) {
    throw new UsageError(
      'usage',
      `Cannot call ${name}: it takes ${method.args.length} arguments, found ${args.length}`,
      { hint: formatMethod(method) },
    );
  }
  const checked = method.args.map((arg, i) => ({
    type: arg.type,
    value: checkValue(arg.type, args[i], `argument "${arg.name}"`),
  }));
  const reply = await binder.transact(
    method.code,
    (parcel) => {
      parcel.string16(description.descriptor);
      for (const { type, value } of checked) writeValue(parcel, type, value);
    },
    { ...options, oneway: method.oneway },
  );
  if (method.oneway) return null;
  readStatus(reply);
  return method.returns === null ? null : readValue(reply, method.returns);
}

export type MethodHandler = (args: readonly AidlValue[], context: CallContext) => unknown;

/**
 * An object that serves `description`. A handler returns the method's value (or a promise of it);
 * it throws a BinderException to answer with an exception.
 *
 * @throws {TypeError} when a handler is missing or names no method.
 */
export function serveInterface(
  description: InterfaceDescription,
  handlers: Readonly<Record<string, MethodHandler>>,
): LocalBinder {
  const byCode = new Map<number, { method: AidlMethod; handler: MethodHandler }>();
  for (const method of description.methods) {
    const handler = handlers[method.name];
    if (handler === undefined) throw new TypeError(`No handler for method "${method.name}"`);
    byCode.set(method.code, { method, handler });
  }
  for (const name of Object.keys(handlers)) getMethod(description, name);
  return {
    descriptor: description.descriptor,
    async onTransact(code, data, reply, context) {
      const entry = byCode.get(code);
      if (entry === undefined) throw new BinderStatusError(STATUS.UNKNOWN_TRANSACTION);
      if (data.string16() !== description.descriptor) {
        throw new BinderStatusError(STATUS.PERMISSION_DENIED);
      }
      const { method, handler } = entry;
      const args = method.args.map((arg) => readArgument(arg.type, readValue(data, arg.type)));
      const result = await handler(args, context);
      if (method.oneway) return;
      writeOk(reply);
      if (method.returns !== null) {
        writeValue(reply, method.returns, checkValue(method.returns, result, 'the return value'));
      }
    },
  };
}

/** A null where the interface allows none is what libbinder calls UNEXPECTED_NULL. */
function readArgument(type: AidlMethod['args'][number]['type'], value: AidlValue): AidlValue {
  if (value === null && !type.nullable) throw new BinderStatusError(STATUS.UNEXPECTED_NULL);
  return value;
}

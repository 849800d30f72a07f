/** Calls and serves interfaces by names of methods and lists of values: what commands do. */

import type { CallContext, LocalBinder, RemoteBinder } from '../rpc/binder.ts';
import {
  getMethod,
  invokeMethod,
  makeStub,
  type MethodHandler,
  outArguments,
  resultName,
} from './objects.ts';
import type { AidlMethod, InterfaceDescription } from './types.ts';
import { type AidlValue, toJsonValue } from './values.ts';

export { getMethod, type MethodHandler } from './objects.ts';

/**
 * Calls a method of `binder`.
 *
 * @param args One value an argument, as JSON gives them (see `checkValue`); for an `out` array its length.
 * @returns The return value; null for `void` and one-way methods. With out arguments, an object of them
 *   and of `result`.
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
  return invokeMethod(binder, description, getMethod(description, name), args, options);
}

/** An answer of `callMethod` as JSON, with the names of enumerators. */
export function answerToJson(method: AidlMethod, answer: AidlValue): unknown {
  const outs = outArguments(method);
  if (outs.length === 0) return toJsonValue(answer, method.returns ?? undefined);
  const types = new Map(outs.map(({ name, type }) => [name, type]));
  if (method.returns !== null) types.set(resultName(method), method.returns);
  const values = answer as Readonly<Record<string, AidlValue>>;
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [name, toJsonValue(value, types.get(name))]),
  );
}

/**
 * An object that serves `description`. A handler gets the arguments as a list and returns the method's
 * value (or a promise of it); it throws a BinderException to answer with an exception.
 *
 * @throws {TypeError} when a handler is missing, {UsageError} when one names no method.
 */
export function serveInterface(
  description: InterfaceDescription,
  handlers: Readonly<Record<string, MethodHandler>>,
): LocalBinder {
  for (const name of Object.keys(handlers)) getMethod(description, name);
  return makeStub(description, ({ name }) => {
    const handler = Object.hasOwn(handlers, name) ? handlers[name] : undefined;
    if (handler === undefined) throw new TypeError(`No handler for method "${name}"`);
    return handler;
  });
}

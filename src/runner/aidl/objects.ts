/**
 * Objects of interfaces that are known only at run time: proxies of what the peer serves, stubs of what
 * we serve, and their way through calls.
 */

import { RecipeError, UsageError } from '../../core/errors.ts';
import { type CallContext, type LocalBinder, RemoteBinder } from '../rpc/binder.ts';
import { BinderStatusError, STATUS } from '../rpc/errors.ts';
import { writeOk } from '../rpc/status.ts';
import { readValue, writeValue } from './codec.ts';
import { AidlReader } from './reader.ts';
import { BINDER, callAidl, GET_INTERFACE_HASH, GET_INTERFACE_VERSION } from './transact.ts';
import {
  type AidlArgument,
  type AidlMethod,
  type AidlType,
  formatMethod,
  type InterfaceDescription,
} from './types.ts';
import { type AidlValue, checkValue, type Given } from './values.ts';
import { writeAidl } from './writer.ts';

/** A proxy: each method of the interface by its name, and what every interface has. */
export interface AidlProxy {
  readonly [BINDER]: RemoteBinder;
  readonly [method: string]: (...args: readonly unknown[]) => Promise<AidlValue>;
}

/**
 * Methods by name. `in` and `inout` arguments come in order, and the length of each `out` array in its
 * place. A method without out arguments returns its value; one with them an object of them, in which
 * the return value is called `result`.
 */
export type AidlImplementation = object;

export interface StubOptions {
  /** The version and hash of the frozen interface; without them nobody may ask for them. */
  readonly version?: number;
  readonly hash?: string;
}

/** Served objects by implementation and interface, so that an object sent twice is the same twice. */
const stubs = new WeakMap<object, WeakMap<InterfaceDescription, LocalBinder>>();
const implementations = new WeakMap<LocalBinder, object>();

/**
 * A proxy of `binder`, whose methods are those of `declaration`. It holds the reference of `binder`:
 * give it back by `releaseProxy`.
 */
export function aidlProxy(binder: RemoteBinder, declaration: InterfaceDescription): AidlProxy {
  const methods: Record<string | symbol, unknown> = { [BINDER]: binder };
  for (const method of declaration.methods) {
    methods[memberName(method.name)] = (...args: unknown[]): Promise<AidlValue> =>
      invokeMethod(binder, declaration, method, args);
  }
  for (const method of META_METHODS) {
    methods[method.name] = (): Promise<AidlValue> => invokeMethod(binder, declaration, method, []);
  }
  return Object.freeze(methods) as unknown as AidlProxy;
}

/** What a method is called in TypeScript: an object with a `then` would be taken for a promise. */
export const memberName = (name: string): string => (name === 'then' ? 'then_' : name);

/** Gives the reference of a proxy back; it cannot be called any more. */
export function releaseProxy(proxy: AidlProxy): void {
  proxy[BINDER].release();
}

const META_METHODS: readonly AidlMethod[] = (
  [
    ['getInterfaceVersion', GET_INTERFACE_VERSION, { kind: 'int' }],
    ['getInterfaceHash', GET_INTERFACE_HASH, { kind: 'String', nullable: false }],
  ] as const
).map(([name, code, returns]) => ({
  name,
  code,
  returns,
  doc: undefined,
  oneway: false,
  args: [],
  unsupported: undefined,
}));

/** @throws {UsageError} naming the methods that there are. */
export function getMethod(declaration: InterfaceDescription, name: string): AidlMethod {
  const found = [...declaration.methods, ...META_METHODS].find((each) => each.name === name);
  if (found !== undefined) return found;
  const known = declaration.methods.map((each) => formatMethod(each)).join('; ');
  throw new UsageError('usage', `Cannot find method "${name}" in ${declaration.descriptor}`, {
    hint: `It has: ${known === '' ? 'no methods' : known}`,
  });
}

/** The name of the return value beside out arguments. */
export function resultName(method: AidlMethod): string {
  return method.args.some((arg) => arg.name === 'result') ? 'result_' : 'result';
}

/** Arguments that the caller gives, with their types: for an `out` array it is the length. */
export function givenArguments(method: AidlMethod): readonly AidlArgument[] {
  return method.args.filter((arg) => arg.direction !== 'out' || isOutArray(arg));
}

export const outArguments = (method: AidlMethod): readonly AidlArgument[] =>
  method.args.filter((arg) => arg.direction !== 'in');

/** An array `T[]` that the callee fills: its length travels, as the caller allocates it. */
export const isOutArray = ({ direction, type }: AidlArgument): boolean =>
  direction === 'out' && type.kind === 'array' && type.size === null && !type.list;

/** Calls one method with what a program or JSON gives. */
export async function invokeMethod(
  binder: RemoteBinder,
  declaration: InterfaceDescription,
  method: AidlMethod,
  args: readonly unknown[],
  options: { readonly signal?: AbortSignal | undefined; readonly context?: CallContext } = {},
): Promise<AidlValue> {
  if (method.unsupported !== undefined) throw new RecipeError([method.unsupported]);
  const given = givenArguments(method);
  if (args.length !== given.length) {
    throw new UsageError(
      'usage',
      `Cannot call ${method.name}: it takes ${given.length} arguments, found ${args.length}`,
      { hint: formatMethod(method) },
    );
  }
  const checked = given.map((arg, i) => ({
    arg,
    value: isOutArray(arg)
      ? checkLength(arg, args[i])
      : checkValue(arg.type, args[i], GIVEN, [arg.name]),
  }));
  const input = await callAidl(binder, {
    descriptor: declaration.descriptor,
    code: method.code,
    oneway: method.oneway,
    ...options,
    write(out) {
      for (const { arg, value } of checked) {
        out.at(arg.name);
        if (isOutArray(arg)) out.length(value as number | null);
        else writeValue(out, arg.type, value);
      }
    },
  });
  if (input === null) return null;
  const result = method.returns === null ? null : readValue(input, method.returns, wrapBinder);
  const outs = outArguments(method);
  if (outs.length === 0) return result;
  return Object.fromEntries([
    ...(method.returns === null ? [] : [[resultName(method), result] as const]),
    ...outs.map((arg) => [arg.name, readValue(input, arg.type, wrapBinder)] as const),
  ]);
}

function checkLength(arg: AidlArgument, value: unknown): AidlValue {
  if (value === null && 'nullable' in arg.type && arg.type.nullable) return null;
  return checkValue({ kind: 'int' }, value, GIVEN, [arg.name, 'length']);
}

export type MethodHandler = (args: readonly AidlValue[], context: CallContext) => unknown;

/** An object that serves `declaration` by handlers that get their arguments as a list. */
export function makeStub(
  declaration: InterfaceDescription,
  handlerOf: (method: AidlMethod) => MethodHandler,
  { version, hash }: StubOptions = {},
): LocalBinder {
  const byCode = new Map<number, { method: AidlMethod; handler: MethodHandler }>();
  for (const method of declaration.methods) {
    byCode.set(method.code, { method, handler: handlerOf(method) });
  }
  const { descriptor } = declaration;
  const meta = new Map<number, (reply: Parameters<LocalBinder['onTransact']>[2]) => void>();
  if (version !== undefined) meta.set(GET_INTERFACE_VERSION, (reply) => void reply.int32(version));
  if (hash !== undefined) meta.set(GET_INTERFACE_HASH, (reply) => void reply.string16(hash));
  return {
    descriptor,
    async onTransact(code, data, reply, context) {
      const entry = byCode.get(code);
      const answer = meta.get(code);
      if (entry === undefined && answer === undefined) {
        throw new BinderStatusError(STATUS.UNKNOWN_TRANSACTION);
      }
      if (data.string16() !== descriptor) throw new BinderStatusError(STATUS.PERMISSION_DENIED);
      if (entry !== undefined) {
        await serveMethod(entry.method, entry.handler, { data, reply, context });
      } else {
        writeOk(reply);
        answer?.(reply);
      }
    },
  };
}

async function serveMethod(
  method: AidlMethod,
  handler: MethodHandler,
  {
    data,
    reply,
    context,
  }: {
    data: Parameters<LocalBinder['onTransact']>[1];
    reply: Parameters<LocalBinder['onTransact']>[2];
    context: CallContext;
  },
): Promise<void> {
  if (method.unsupported !== undefined) throw new BinderStatusError(STATUS.FDS_NOT_ALLOWED);
  const input = new AidlReader(context.session, data);
  const args = givenArguments(method).map((arg) => {
    if (!isOutArray(arg)) return readValue(input, arg.type, wrapBinder);
    const isNullable = 'nullable' in arg.type && arg.type.nullable;
    return isNullable ? input.nullableLength() : input.length();
  });
  const answer: unknown = await handler(args, context);
  if (method.oneway) return;
  const values = answerValues(method, answer);
  writeOk(reply);
  writeAidl(context.session, reply, RETURNED.what, (out) => {
    for (const { name, type, value } of values) writeValue(out.at(name), type, value);
  });
}

/** The return value and the out arguments, in the order of the reply. */
function answerValues(
  method: AidlMethod,
  answer: unknown,
): { readonly name: string; readonly type: AidlType; readonly value: AidlValue }[] {
  const outs = outArguments(method);
  if (outs.length === 0) {
    if (method.returns === null) return [];
    return [
      { name: '', type: method.returns, value: checkValue(method.returns, answer, RETURNED) },
    ];
  }
  const given = (typeof answer === 'object' && answer !== null ? answer : {}) as Readonly<
    Record<string, unknown>
  >;
  const named = [
    ...(method.returns === null ? [] : [{ name: resultName(method), type: method.returns }]),
    ...outs,
  ];
  return named.map(({ name, type }) => ({
    name,
    type,
    value: checkValue(type, given[name], RETURNED, [name]),
  }));
}

/**
 * An object that serves `implementation` as `declaration`: to a server as its root, or as an argument.
 *
 * @throws {TypeError} when the implementation lacks a method.
 */
export function aidlStub(
  declaration: InterfaceDescription,
  implementation: AidlImplementation,
  options: StubOptions = {},
): LocalBinder {
  const methods = implementation as Readonly<Record<string, unknown>>;
  const stub = makeStub(
    declaration,
    ({ name }) => {
      const method = methods[memberName(name)];
      if (typeof method !== 'function') {
        throw new TypeError(`The implementation of ${declaration.name} has no method "${name}"`);
      }
      return (args) => method.apply(implementation, [...args]) as unknown;
    },
    options,
  );
  let known = stubs.get(implementation);
  if (known === undefined) {
    known = new WeakMap();
    stubs.set(implementation, known);
  }
  known.set(declaration, stub);
  implementations.set(stub, implementation);
  return stub;
}

/** Ours are given as they were before they travelled; those of the peer become proxies. */
function wrapBinder(
  binder: LocalBinder | RemoteBinder,
  declaration: InterfaceDescription | undefined,
): AidlValue {
  if (declaration === undefined) return binder;
  if (binder instanceof RemoteBinder) {
    return aidlProxy(binder, declaration) as unknown as AidlValue;
  }
  return (implementations.get(binder) ?? binder) as AidlValue;
}

function toBinder(
  value: unknown,
  declaration: InterfaceDescription | undefined,
): LocalBinder | RemoteBinder | undefined {
  if (value instanceof RemoteBinder) return value;
  if (typeof value !== 'object' || value === null) return undefined;
  const own = (value as { readonly [BINDER]?: LocalBinder | RemoteBinder })[BINDER];
  if (own !== undefined) return own;
  if (isLocalBinder(value)) return value;
  if (declaration === undefined) return undefined;
  const known = stubs.get(value)?.get(declaration);
  if (known !== undefined) return known;
  const methods = value as Readonly<Record<string, unknown>>;
  const serves = declaration.methods.every(
    ({ name }) => typeof methods[memberName(name)] === 'function',
  );
  return serves ? aidlStub(declaration, value) : undefined;
}

const isLocalBinder = (value: object): value is LocalBinder =>
  'descriptor' in value && 'onTransact' in value && typeof value.onTransact === 'function';

const GIVEN: Given = { what: 'argument', toBinder };
const RETURNED: Given = { what: 'the return value', toBinder };

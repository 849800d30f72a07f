/** What generated TypeScript is built on: an interface as a table of its methods, with typed ends. */

import { type LocalBinder, RemoteBinder } from '../rpc/binder.ts';
import { BinderStatusError, STATUS } from '../rpc/errors.ts';
import { writeOk } from '../rpc/status.ts';
import { AidlReader } from './reader.ts';
import { BINDER, callAidl, GET_INTERFACE_HASH, GET_INTERFACE_VERSION } from './transact.ts';
import { type AidlWriter, writeAidl } from './writer.ts';

/** How one method travels. Generated code gives the functions exact types. */
export interface MethodCodec {
  readonly code: number;
  readonly oneway: boolean;
  writeArguments(this: void, out: AidlWriter, ...args: never[]): void;
  readArguments(this: void, input: AidlReader): readonly unknown[];
  writeResult(this: void, out: AidlWriter, result: never): void;
  readResult(this: void, input: AidlReader): unknown;
}

/** What can be served as `T`: methods may answer at once or by a promise. */
export type Servable<T> = {
  readonly [K in keyof T]: T[K] extends (...args: infer A) => Promise<infer R>
    ? (...args: A) => R | Promise<R>
    : never;
};

/** What every proxy has besides the methods of its interface. */
export interface RemoteObject {
  readonly [BINDER]: RemoteBinder;
  /** Gives the reference back; the proxy cannot be called any more. */
  readonly release: () => void;
  readonly getInterfaceVersion: () => Promise<number>;
  readonly getInterfaceHash: () => Promise<string>;
}

export interface AidlInterface<T> {
  readonly descriptor: string;
  /** Calls what the peer serves; holds the reference of `binder`. */
  proxy(this: void, binder: RemoteBinder): T & RemoteObject;
  /** Serves an implementation: as the root of a server, or as an argument. */
  stub(
    this: void,
    implementation: Servable<T>,
    options?: { readonly version?: number; readonly hash?: string },
  ): LocalBinder;
  /** A proxy, or the implementation when the object is ours and came back. */
  wrap(this: void, binder: LocalBinder | RemoteBinder): T;
  /** What travels for a proxy or an implementation. */
  unwrap(this: void, value: T): LocalBinder | RemoteBinder;
}

type Methods = Readonly<Record<string, MethodCodec>>;

/** @param methods By the names that they have in TypeScript. */
export function aidlInterface<T extends object>(
  descriptor: string,
  methods: Methods,
): AidlInterface<T> {
  const stubs = new WeakMap<object, LocalBinder>();
  const implementations = new WeakMap<LocalBinder, object>();
  const proxy = (binder: RemoteBinder): T & RemoteObject =>
    makeProxy(descriptor, methods, binder) as unknown as T & RemoteObject;
  const stub: AidlInterface<T>['stub'] = (implementation, options = {}) => {
    const made = makeStub(descriptor, methods, implementation, options);
    stubs.set(implementation, made);
    implementations.set(made, implementation);
    return made;
  };
  return {
    descriptor,
    proxy,
    stub,
    wrap: (binder) =>
      binder instanceof RemoteBinder
        ? proxy(binder)
        : ((implementations.get(binder) ?? binder) as T),
    unwrap: (value) => {
      const own = (value as { readonly [BINDER]?: RemoteBinder })[BINDER];
      if (own !== undefined || value instanceof RemoteBinder) return own ?? (value as RemoteBinder);
      if (typeof value !== 'object' || value === null || 'onTransact' in value) {
        return value as unknown as LocalBinder;
      }
      return stubs.get(value) ?? stub(value as unknown as Servable<T>);
    },
  };
}

function makeProxy(descriptor: string, methods: Methods, binder: RemoteBinder): object {
  const call = async (
    { code, oneway }: Pick<MethodCodec, 'code' | 'oneway'>,
    write: (out: AidlWriter) => void,
    read: (input: AidlReader) => unknown,
  ): Promise<unknown> => {
    const input = await callAidl(binder, { descriptor, code, oneway, write });
    return input === null ? undefined : read(input);
  };
  const none = (): void => undefined;
  return Object.freeze({
    [BINDER]: binder,
    release: () => binder.release(),
    getInterfaceVersion: async () =>
      call({ code: GET_INTERFACE_VERSION, oneway: false }, none, (input) => input.int()),
    getInterfaceHash: async () =>
      call({ code: GET_INTERFACE_HASH, oneway: false }, none, (input) => input.string()),
    ...Object.fromEntries(
      Object.entries(methods).map(([name, method]) => [
        name,
        async (...args: unknown[]) =>
          call(
            method,
            (out) => method.writeArguments(out, ...(args as never[])),
            method.readResult,
          ),
      ]),
    ),
  });
}

function makeStub(
  descriptor: string,
  methods: Methods,
  implementation: object,
  { version, hash }: { readonly version?: number; readonly hash?: string },
): LocalBinder {
  const served = implementation as Readonly<Record<string, unknown>>;
  const byCode = new Map<number, { codec: MethodCodec; method: (...args: unknown[]) => unknown }>();
  for (const [name, codec] of Object.entries(methods)) {
    const method = served[name];
    if (typeof method !== 'function') {
      throw new TypeError(`The implementation of ${descriptor} has no method "${name}"`);
    }
    byCode.set(codec.code, {
      codec,
      method: (...args) => method.apply(implementation, args) as unknown,
    });
  }
  return {
    descriptor,
    async onTransact(code, data, reply, context) {
      const entry = byCode.get(code);
      const isVersion = code === GET_INTERFACE_VERSION && version !== undefined;
      const isHash = code === GET_INTERFACE_HASH && hash !== undefined;
      if (entry === undefined && !isVersion && !isHash) {
        throw new BinderStatusError(STATUS.UNKNOWN_TRANSACTION);
      }
      if (data.string16() !== descriptor) throw new BinderStatusError(STATUS.PERMISSION_DENIED);
      if (entry === undefined) {
        writeOk(reply);
        if (isVersion) reply.int32(version);
        else reply.string16(hash ?? null);
        return;
      }
      const { codec, method } = entry;
      const args = codec.readArguments(new AidlReader(context.session, data));
      const result = await method(...args);
      if (codec.oneway) return;
      writeOk(reply);
      writeAidl(context.session, reply, 'the return value', (out) =>
        codec.writeResult(out, result as never),
      );
    },
  };
}

/** For generated readers. */
export const wrapNullable = <T>(
  binder: LocalBinder | RemoteBinder | null,
  wrap: (binder: LocalBinder | RemoteBinder) => T,
): T | null => (binder === null ? null : wrap(binder));

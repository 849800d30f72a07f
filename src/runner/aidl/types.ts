/** What an AIDL file says about an interface, as far as `microbuild call` and the runner need it. */

/** Types that travel without knowledge of other files. */
export const AIDL_SCALARS = [
  'boolean',
  'byte',
  'char',
  'int',
  'long',
  'float',
  'double',
  'String',
] as const;

export type AidlScalar = (typeof AIDL_SCALARS)[number];

export interface AidlType {
  readonly name: AidlScalar;
  /** `T[]`. */
  readonly array: boolean;
  /** `@nullable`: null may stand for a String or an array. */
  readonly nullable: boolean;
}

export interface AidlArgument {
  readonly name: string;
  readonly type: AidlType;
}

export interface AidlMethod {
  readonly name: string;
  /** The transaction code: its place in the interface from 1, or the given id + 1. */
  readonly code: number;
  readonly oneway: boolean;
  readonly args: readonly AidlArgument[];
  /** Null for `void`. */
  readonly returns: AidlType | null;
}

export interface InterfaceDescription {
  /** Package and name: the token that opens every call. */
  readonly descriptor: string;
  readonly name: string;
  readonly methods: readonly AidlMethod[];
}

/** A type as AIDL writes it, without annotations. */
export function formatType(type: AidlType | null): string {
  return type === null ? 'void' : `${type.name}${type.array ? '[]' : ''}`;
}

/** A method as AIDL writes it. */
export function formatMethod(method: AidlMethod): string {
  const args = method.args.map((arg) => `${formatType(arg.type)} ${arg.name}`).join(', ');
  return `${method.oneway ? 'oneway ' : ''}${formatType(method.returns)} ${method.name}(${args})`;
}

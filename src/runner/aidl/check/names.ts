/** Names that AIDL knows or keeps for itself. */

export const SCALARS: ReadonlySet<string> = new Set([
  'boolean',
  'byte',
  'char',
  'int',
  'long',
  'float',
  'double',
]);

/** `void` counts as one: it can be no nullable and no element. */
export const isPrimitive = (name: string): boolean => name === 'void' || SCALARS.has(name);

const BUILT_IN: ReadonlySet<string> = new Set([
  'void',
  ...SCALARS,
  'String',
  'List',
  'Map',
  'IBinder',
  'FileDescriptor',
  'CharSequence',
  'ParcelFileDescriptor',
  'ParcelableHolder',
]);

/** Names from the time when AIDL knew only Java. */
const JAVA_NAMES: ReadonlyMap<string, string> = new Map([
  ['java.util.List', 'List'],
  ['java.util.Map', 'Map'],
  ['android.os.ParcelFileDescriptor', 'ParcelFileDescriptor'],
]);

/** Imports that name nothing that could be loaded. */
const IGNORED_IMPORTS: ReadonlySet<string> = new Set([
  'android.os.IInterface',
  'android.os.IBinder',
  'android.os.Parcelable',
  'android.os.Parcel',
  'android.content.Context',
  'java.lang.String',
  'java.lang.CharSequence',
]);

/** The built-in type that a name means; undefined for the name of a declared type. */
export function builtInName(name: string): string | undefined {
  return BUILT_IN.has(name) ? name : JAVA_NAMES.get(name);
}

export const isIgnoredImport = (name: string): boolean =>
  IGNORED_IMPORTS.has(name) || builtInName(name) !== undefined;

const C_OR_JAVA_WORDS =
  'break case catch char class continue default do double else enum false float for goto if int long ' +
  'new private protected public return short static switch this throw true try void volatile while';
const RESERVED_IN_TYPES: ReadonlySet<string> = new Set([
  ...C_OR_JAVA_WORDS.split(' '),
  ...BUILT_IN,
]);

/** Whether neither a type nor a part of its package may be called so. */
export const isReservedTypeName = (part: string): boolean => RESERVED_IN_TYPES.has(part);

const JAVA_WORDS =
  'abstract assert boolean break byte case catch char class const continue default do double else enum ' +
  'extends final finally float for goto if implements import instanceof int interface long native new ' +
  'package private protected public return short static strictfp super switch synchronized this throw ' +
  'throws transient try void volatile while true false null';
const RESERVED_FOR_ARGUMENTS: ReadonlySet<string> = new Set(JAVA_WORDS.split(' '));

export const isReservedArgumentName = (name: string): boolean => RESERVED_FOR_ARGUMENTS.has(name);

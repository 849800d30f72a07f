/** The methods of an interface: directions, one-way calls, transaction codes. */

import type { Diagnostic } from '../../../core/errors.ts';
import type { Problems } from '../syntax/source.ts';
import type { ArgumentNode, InterfaceNode, MethodNode, TypeNode } from '../syntax/tree.ts';
import type { AidlArgument, AidlMethod, AidlType, Direction } from '../types.ts';
import type { AnnotationContext } from './annotations.ts';
import { isReservedArgumentName } from './names.ts';
import { problemAt } from './types.ts';

/** `FIRST_CALL_TRANSACTION`: the code of id 0. */
const FIRST_CALL = 1;
/** The largest id: a hundred ids below the last transaction code are kept for AIDL's own methods. */
export const MAX_METHOD_ID = 0x00ffffff - FIRST_CALL - 100;
const MAX_METHODS = 10_000;

/** Methods that every interface has of its own, by name and types of the arguments. */
const RESERVED: ReadonlySet<string> = new Set([
  'asBinder()',
  'getInterfaceHash()',
  'getInterfaceVersion()',
  'getTransactionName(int)',
]);

/** Of the types that cannot travel, those that cannot be filled in either. */
const ONLY_IN: ReadonlySet<string> = new Set(['FileDescriptor', 'CharSequence']);

type ResolveType = (
  node: TypeNode,
  contexts: readonly AnnotationContext[],
) => AidlType | null | undefined;

export function describeMethods(
  node: InterfaceNode,
  resolve: ResolveType,
  isImmutable: (type: AidlType) => boolean,
  problems: Problems,
): readonly AidlMethod[] {
  const names = new Map<string, MethodNode>();
  const methods: AidlMethod[] = [];
  const codes = assignCodes(node.methods, problems);
  const permission = node.annotations.find((each) => each.name === 'EnforcePermission');
  for (const [index, method] of node.methods.entries()) {
    if (index >= MAX_METHODS || problems.isFull) break;
    const { name, place } = method;
    const known = names.get(name);
    if (known !== undefined) {
      problems.add(
        place,
        `Cannot declare the method "${name}" twice`,
        `The other one is in line ${known.place.line}: AIDL has no overloading`,
      );
    }
    names.set(name, method);
    const signature = `${name}(${method.args.map((arg) => arg.type.name).join(', ')})`;
    if (RESERVED.has(signature)) {
      problems.add(place, `Cannot declare the method "${signature}": every interface has it`);
    }
    const oneway = method.oneway || node.oneway;
    const returns = resolve(method.returns, ['type', 'method']);
    if (oneway && returns !== null && returns !== undefined) {
      problems.add(
        method.returns.place,
        `Cannot return a value from "${name}": it is oneway`,
        'Return void',
      );
    }
    const args = describeArguments(method, oneway, resolve, isImmutable, problems);
    const code = codes.get(method);
    if (returns === undefined || args === undefined || code === undefined) continue;
    const enforced =
      permission ?? method.returns.annotations.find((each) => each.name === 'EnforcePermission');
    const unsupported: Diagnostic | undefined =
      [returns, ...args.map((arg) => arg.type)].flatMap((type) =>
        type === null ? [] : (unsupportedOf(type) ?? []),
      )[0] ??
      (enforced === undefined
        ? undefined
        : problemAt(
            enforced.place,
            'Cannot enforce a permission: callers over vsock have none',
            'Remove the annotation, and check callers in the method',
          ));
    methods.push({ name, doc: method.doc, code, oneway, args, returns, unsupported });
  }
  return methods;
}

/** Why a type cannot travel, when it says so itself; structures tell of their fields where they stand. */
function unsupportedOf(type: AidlType): Diagnostic | undefined {
  if (type.kind === 'unsupported') return type.problem;
  return type.kind === 'array' ? unsupportedOf(type.element) : undefined;
}

function describeArguments(
  method: MethodNode,
  oneway: boolean,
  resolve: ResolveType,
  isImmutable: (type: AidlType) => boolean,
  problems: Problems,
): readonly AidlArgument[] | undefined {
  const names = new Set<string>();
  let complete = true;
  const args = method.args.flatMap((node): AidlArgument[] => {
    const { name, place } = node;
    if (names.has(name)) problems.add(place, `Cannot declare the argument "${name}" twice`);
    names.add(name);
    if (isReservedArgumentName(name)) {
      problems.add(place, `Cannot name an argument "${name}": it is a word of Java or AIDL`);
    }
    if (name.startsWith('_aidl'))
      problems.add(place, 'Cannot start the name of an argument with "_aidl"');
    const type = resolve(node.type, ['type']);
    if (type === null) problems.add(node.type.place, 'Cannot use void as the type of an argument');
    if (type === undefined || type === null) {
      complete = false;
      return [];
    }
    const direction = checkDirection(node, type, isImmutable, problems);
    if (oneway && direction !== 'in') {
      problems.add(
        place,
        `Cannot give "${name}" back: the method is oneway`,
        'Make it an "in" argument',
      );
    }
    return [{ name, direction, type }];
  });
  return complete ? args : undefined;
}

/** Containers say their direction; whatever has no fields to fill in is "in". */
function checkDirection(
  { direction, name, place, type: node }: ArgumentNode,
  type: AidlType,
  isImmutable: (type: AidlType) => boolean,
  problems: Problems,
): Direction {
  const isContainer = node.array !== undefined || node.args.length > 0;
  const fills =
    type.kind === 'array' ||
    type.kind === 'structure' ||
    (type.kind === 'unsupported' && (isContainer || !ONLY_IN.has(type.name)));
  const isOnlyIn = !fills || (type.kind === 'structure' && isImmutable(type));
  if (isOnlyIn) {
    if (direction !== undefined && direction !== 'in') {
      problems.add(
        place,
        `Cannot use "${direction}" for "${name}": ${node.name} can only be "in"`,
        'Return it, or a parcelable that holds it',
      );
    }
    return 'in';
  }
  if (direction === undefined) {
    problems.add(
      place,
      `Cannot tell the direction of "${name}"`,
      `Write it: in ${node.name} ${name}, or out, or inout`,
    );
  }
  const isDescriptor =
    type.kind === 'unsupported' && /(?:^|\.)ParcelFileDescriptor$/.test(type.name);
  if (direction === 'out' && isDescriptor && !isContainer) {
    problems.add(place, 'Cannot use "out" for a ParcelFileDescriptor');
  }
  return direction ?? 'in';
}

/** Ids are given for all methods or for none. */
function assignCodes(
  methods: readonly MethodNode[],
  problems: Problems,
): ReadonlyMap<MethodNode, number> {
  const codes = new Map<MethodNode, number>();
  const users = new Map<number, MethodNode>();
  const given = methods.some((method) => method.id !== undefined);
  for (const [index, method] of methods.entries()) {
    const { id: written, name, place } = method;
    if (written === undefined && given) {
      problems.add(
        place,
        `Cannot leave "${name}" without an id: other methods have one`,
        `Write an id behind it: ${name}(...) = ${index};`,
      );
      continue;
    }
    let id = index;
    if (written !== undefined) {
      const isPlain = /^\d{1,10}$/.test(written.text);
      id = isPlain ? Number(written.text) : -1;
      if (id < 0 || id > MAX_METHOD_ID) {
        problems.add(
          written.place,
          `Cannot use "${written.text.slice(0, 40)}" as the id of a method`,
          `Ids are 0 to ${MAX_METHOD_ID}`,
        );
        continue;
      }
      const user = users.get(id);
      if (user !== undefined) {
        problems.add(written.place, `Cannot use the id ${id} twice`, `"${user.name}" has it`);
      }
      users.set(id, method);
    }
    codes.set(method, id + FIRST_CALL);
  }
  return codes;
}

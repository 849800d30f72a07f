/** Turns the types that are written into what they mean, and tells of those that cannot be. */

import type { Diagnostic } from '../../../core/errors.ts';
import { describeProblem, type Place, type Problems } from '../syntax/source.ts';
import type { Annotation, Expression, TypeNode } from '../syntax/tree.ts';
import type { AidlType, ScalarKind, TypeDescription } from '../types.ts';
import { hasAnnotation } from './annotations.ts';
import { type Constants, showKind } from './constants.ts';
import type { Documents, Entry } from './documents.ts';
import { isPrimitive, SCALARS } from './names.ts';

/** What one call can carry at most: the largest frame of any Binder RPC protocol. */
export const MAX_CALL_BYTES = 614_400;

/** Built-in types that AIDL has and that no call over vsock can carry. */
const CANNOT_TRAVEL: Readonly<Record<string, readonly [why: string, hint: string]>> = {
  Map: ['its entries have no type', 'Use an array of a parcelable with key and value'],
  CharSequence: ['only Java has it', 'Use String'],
  FileDescriptor: ['no file descriptor travels over vsock', 'Send the bytes, as byte[] in parts'],
  ParcelFileDescriptor: [
    'no file descriptor travels over vsock',
    'Send the bytes, as byte[] in parts',
  ],
  ParcelableHolder: ['its content has no type', 'Use a union of the parcelables that it may hold'],
};

export class Types {
  readonly #documents: Documents;
  readonly #constants: Constants;
  readonly #problems: Problems;
  readonly #describe: (entry: Entry) => TypeDescription | undefined;

  /** @param describe The description of a declared type; undefined for an unstructured parcelable. */
  constructor(
    documents: Documents,
    constants: Constants,
    problems: Problems,
    describe: (entry: Entry) => TypeDescription | undefined,
  ) {
    this.#documents = documents;
    this.#constants = constants;
    this.#problems = problems;
    this.#describe = describe;
  }

  /** Undefined when the type means nothing, which is told. `void` is null. */
  resolve(node: TypeNode, scope: Entry): AidlType | null | undefined {
    const { place, annotations } = node;
    const found = this.#documents.resolve(node.name, place, scope);
    if (found === undefined) return undefined;
    const name = 'builtIn' in found ? found.builtIn : found.fullName;
    const nullable = hasAnnotation(annotations, 'nullable');
    const utf8 = hasAnnotation(annotations, 'utf8InCpp');
    if (name === 'void') {
      if (node.array === undefined && node.args.length === 0 && !nullable && !utf8) return null;
      this.#problems.add(place, 'Cannot use void so: it is no value');
      return undefined;
    }
    const base =
      node.args.length > 0 || name === 'List' || name === 'Map'
        ? this.#generic(node, name, scope, nullable)
        : this.#simple(node, found, nullable);
    if (base === undefined) return undefined;
    const leaf = base.kind === 'array' ? base.element : base;
    if (utf8 && leaf.kind !== 'String') {
      this.#problems.add(place, 'Cannot be @utf8InCpp: only String, String[] and List<String> are');
    }
    this.#checkNullable(node, base);
    return this.#arrayOf(node, base, scope, nullable);
  }

  #simple(
    node: TypeNode,
    found: Entry | { readonly builtIn: string },
    nullable: boolean,
  ): AidlType | undefined {
    if ('builtIn' in found) {
      const name = found.builtIn;
      if (SCALARS.has(name)) return { kind: name as ScalarKind };
      if (name === 'String' || name === 'IBinder') return { kind: name, nullable };
      const [why, hint] = CANNOT_TRAVEL[name] ?? ['it is unknown', ''];
      return this.#unsupported(node, `Cannot use ${name}: ${why}`, hint);
    }
    if (found.node.kind === 'unstructured') {
      return this.#unsupported(
        node,
        `Cannot use ${found.fullName}: its fields are not written in AIDL`,
        `Declare them: parcelable ${found.node.name} { ... }`,
      );
    }
    const declaration = this.#describe(found);
    switch (declaration?.kind) {
      case undefined:
        return undefined;
      case 'enum':
        return { kind: 'enum', declaration };
      case 'interface':
        return { kind: 'interface', declaration, nullable };
      case 'parcelable':
      case 'union':
        if (found.node.kind === 'parcelable' || found.node.kind === 'union') {
          if (found.node.typeParameters.length > 0) return this.#userGeneric(node, found.fullName);
        }
        return { kind: 'structure', declaration, nullable, heap: isHeap(node.annotations) };
    }
  }

  #generic(node: TypeNode, name: string, scope: Entry, nullable: boolean): AidlType | undefined {
    const { place, args } = node;
    // Each argument is looked at even where the whole is refused: its own problems count too.
    const elements = args.map((each) => this.resolve(each, scope));
    if (name === 'List') {
      if (args.length === 0) {
        return this.#unsupported(
          node,
          'Cannot use a List of anything',
          'Write its element: List<String>',
        );
      }
      const [argument] = args;
      const [element] = elements;
      if (argument === undefined || args.length > 1) {
        this.#problems.add(place, `Cannot give List ${args.length} types: it has one element type`);
        return undefined;
      }
      if (element === undefined) return undefined;
      const fits =
        element !== null &&
        ['String', 'IBinder', 'interface', 'structure', 'unsupported'].includes(element.kind);
      if (!fits) {
        this.#problems.add(
          argument.place,
          `Cannot use List of ${argument.name}${argument.array === undefined ? '' : '[]'}`,
          'A List holds String, IBinder, interfaces, parcelables or unions: use an array',
        );
        return undefined;
      }
      if (element.kind === 'unsupported') return element;
      return {
        kind: 'array',
        element: asElement(element, nullable),
        size: null,
        list: true,
        nullable,
      };
    }
    if (name === 'Map') return this.#unsupported(node, ...this.#cannotTravel('Map'));
    const entry = this.#documents.entry(name);
    const isGeneric =
      entry !== undefined && 'typeParameters' in entry.node && entry.node.typeParameters.length > 0;
    if (isGeneric || entry?.node.kind === 'unstructured') return this.#userGeneric(node, name);
    this.#problems.add(place, `Cannot give ${node.name} types: it is not generic`);
    return undefined;
  }

  #cannotTravel(name: string): readonly [string, string] {
    const [why, hint] = CANNOT_TRAVEL[name] ?? ['it is unknown', ''];
    return [`Cannot use ${name}: ${why}`, hint];
  }

  #userGeneric(node: TypeNode, name: string): AidlType {
    return this.#unsupported(
      node,
      `Cannot use ${name}: generic parcelables have no fixed fields`,
      'Declare a parcelable for each type that it holds',
    );
  }

  #checkNullable({ annotations, array, place, name }: TypeNode, base: AidlType): void {
    if (!hasAnnotation(annotations, 'nullable')) return;
    if (array === undefined && (isPrimitive(name) || base.kind === 'enum')) {
      const hint = 'Use an array of it, or a parcelable that holds it';
      this.#problems.add(place, `Cannot be @nullable: ${name} has no null`, hint);
    }
    if (
      isHeap(annotations) &&
      (!['structure', 'unsupported'].includes(base.kind) || array !== undefined)
    ) {
      this.#problems.add(place, 'Cannot be @nullable(heap=true): only parcelables and unions are');
    }
  }

  #arrayOf(node: TypeNode, base: AidlType, scope: Entry, nullable: boolean): AidlType | undefined {
    const { array, place } = node;
    if (array === undefined) return base;
    if (base.kind === 'array') {
      this.#problems.add(place, 'Cannot use an array of lists', 'Put the list into a parcelable');
      return undefined;
    }
    if (base.kind === 'unsupported') {
      if (base.name !== 'CharSequence' && base.name !== 'ParcelableHolder') return base;
      this.#problems.add(place, `Cannot use an array of ${base.name}: AIDL has none`);
      return undefined;
    }
    const element = asElement(base, nullable);
    if (array === 'dynamic') return { kind: 'array', element, size: null, list: false, nullable };
    const sizes: number[] = [];
    for (const each of array) {
      const size = this.#arraySize(each, scope);
      if (size === undefined) return undefined;
      sizes.push(size);
    }
    if (sizes.reduce((total, size) => total * size, 1) > MAX_CALL_BYTES) {
      this.#problems.add(
        place,
        `Cannot use an array so large: a call carries ${MAX_CALL_BYTES} bytes`,
      );
      return undefined;
    }
    return sizes.reduceRight<AidlType>(
      (inner, size, index) => ({
        kind: 'array',
        element: inner,
        size,
        list: false,
        nullable: index === 0 && nullable,
      }),
      element,
    );
  }

  #arraySize(expression: Expression, scope: Entry): number | undefined {
    const value = this.#constants.evaluate(expression, scope);
    if (value === undefined) return undefined;
    const isSize =
      (value.kind === 'boolean' || value.kind === 'int8' || value.kind === 'int32') &&
      value.value >= 0n;
    if (isSize) return Number(value.value);
    this.#problems.add(
      expression.place,
      `Cannot use ${showKind(value)} as the size of an array: expected 0 or more`,
    );
    return undefined;
  }

  #unsupported(node: TypeNode, message: string, hint: string): AidlType {
    return { kind: 'unsupported', name: node.name, problem: problemAt(node.place, message, hint) };
  }
}

const isHeap = (annotations: readonly Annotation[]): boolean =>
  annotations.some(
    ({ name, parameters }) =>
      name === 'nullable' &&
      parameters.some(
        (each) => each.name === 'heap' && each.value.kind === 'boolean' && each.value.value,
      ),
  );

/** In a nullable array every element that can be null may be null. */
const asElement = (type: AidlType, nullable: boolean): AidlType =>
  'nullable' in type ? { ...type, nullable, ...('heap' in type ? { heap: false } : {}) } : type;

export const problemAt = (place: Place, message: string, hint?: string): Diagnostic =>
  describeProblem(place.source, place, message, hint === '' ? undefined : hint);

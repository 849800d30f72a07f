/** Makes the descriptions of declared types, and checks their members on the way. */

import type { Diagnostic } from '../../../core/errors.ts';
import type { Problems } from '../syntax/source.ts';
import type {
  ConstantNode,
  Declaration,
  EnumNode,
  InterfaceNode,
  StructureNode,
  TypeNode,
} from '../syntax/tree.ts';
import type {
  AidlType,
  ConstantDescription,
  EnumDescription,
  InterfaceDescription,
  StructureDescription,
  TypeDescription,
} from '../types.ts';
import {
  annotationText,
  type AnnotationContext,
  checkAnnotations,
  hasAnnotation,
} from './annotations.ts';
import { Constants } from './constants.ts';
import type { Documents, Entry } from './documents.ts';
import { describeMethods } from './methods.ts';
import { problemAt, Types } from './types.ts';
import { typedConstant } from './values.ts';

/** While it is filled in; readers see the readonly type. */
type Mutable<T> = { -readonly [K in keyof T]: T[K] };

const CONTEXTS: Readonly<Record<Declaration['kind'], AnnotationContext>> = {
  interface: 'interface',
  parcelable: 'parcelable',
  union: 'union',
  enum: 'enum',
  unstructured: 'unstructured parcelable',
};

export class Describer {
  readonly #documents: Documents;
  readonly #problems: Problems;
  readonly constants: Constants;
  readonly types: Types;
  readonly #descriptions = new Map<Entry, TypeDescription>();
  /** What AIDL allows and a call cannot carry. */
  readonly unsupported: Diagnostic[] = [];

  constructor(documents: Documents, problems: Problems) {
    this.#documents = documents;
    this.#problems = problems;
    this.constants = new Constants(documents, problems);
    this.types = new Types(documents, this.constants, problems, (entry) => this.describe(entry));
  }

  /** The description, whose members are filled in by `describeAll`. */
  describe(entry: Entry): TypeDescription | undefined {
    const known = this.#descriptions.get(entry);
    if (known !== undefined) return known;
    const made = this.#shell(entry);
    if (made !== undefined) this.#descriptions.set(entry, made);
    return made;
  }

  /** Fills in all types, and those that they lead to. */
  describeAll(): ReadonlyMap<Entry, TypeDescription> {
    for (const entry of this.#documents.entries) {
      if (this.#problems.isFull) break;
      this.#fill(entry);
    }
    return this.#descriptions;
  }

  #shell(entry: Entry): TypeDescription | undefined {
    const { node, document, fullName } = entry;
    const outer = entry.outer === undefined ? undefined : this.describe(entry.outer);
    const base = {
      fullName,
      name: node.name,
      packageName: document.packageName,
      outer,
      doc: node.doc,
      constants: [],
      nested: [],
      file: document.source.path,
    };
    switch (node.kind) {
      case 'interface': {
        const descriptor = annotationText(node.annotations, 'Descriptor', 'value') ?? fullName;
        return { ...base, kind: 'interface', descriptor, methods: [] };
      }
      case 'parcelable':
      case 'union': {
        const fixedSize = hasAnnotation(node.annotations, 'FixedSize');
        return { ...base, kind: node.kind, fields: [], fixedSize };
      }
      case 'enum':
        // Defaults of fields look enumerators up before their enum's turn comes.
        return { ...base, kind: 'enum', ...this.#enumerators(node, entry) };
      case 'unstructured':
        return undefined;
    }
  }

  #fill(entry: Entry): void {
    const { node } = entry;
    this.#annotations(node.annotations, [CONTEXTS[node.kind]], entry);
    if (entry.outer !== undefined && node.kind === 'unstructured') {
      this.#problems.add(
        node.place,
        `Cannot nest "${node.name}": its fields are not written in AIDL`,
        'Declare it in a file of its own',
      );
    }
    if (entry.outer?.node.name === node.name) {
      this.#problems.add(node.place, `Cannot name a type as the one around it: "${node.name}"`);
    }
    const description: Mutable<TypeDescription> | undefined = this.describe(entry);
    if (description === undefined) return;
    description.nested = node.nested.flatMap((each) => {
      const nested = this.#documents.entry(`${entry.fullName}.${each.name}`);
      const found = nested === undefined ? undefined : this.describe(nested);
      return found === undefined ? [] : [found];
    });
    description.constants = this.#constants(node.constants, entry);
    if (description.kind === 'interface' && node.kind === 'interface') {
      this.#interface(node, description, entry);
    } else if (node.kind === 'parcelable' || node.kind === 'union') {
      this.#structure(node, description as Mutable<StructureDescription>, entry);
    }
  }

  #interface(node: InterfaceNode, description: Mutable<InterfaceDescription>, entry: Entry): void {
    description.methods = describeMethods(
      node,
      (type, contexts) => this.#type(type, contexts, entry),
      (type) => this.#isImmutable(type),
      this.#problems,
    );
    for (const { unsupported } of description.methods) {
      if (unsupported !== undefined) this.unsupported.push(unsupported);
    }
  }

  #structure(node: StructureNode, description: Mutable<StructureDescription>, entry: Entry): void {
    const [parameter] = node.typeParameters;
    if (parameter !== undefined) {
      this.unsupported.push(
        problemAt(
          node.place,
          `Cannot use ${node.name}<${node.typeParameters.join(', ')}>: generic parcelables have no fixed fields`,
          'Declare a parcelable for each type that it holds',
        ),
      );
      return;
    }
    const names = new Set<string>();
    const capitalized = new Set<string>();
    const immutable = hasAnnotation(node.annotations, 'JavaOnlyImmutable');
    description.fields = node.fields.flatMap((field) => {
      const { name, place, doc } = field;
      if (names.has(name)) this.#problems.add(place, `Cannot declare the field "${name}" twice`);
      names.add(name);
      const getter = name.charAt(0).toUpperCase() + name.slice(1);
      if (node.kind === 'union' || immutable) {
        if (capitalized.has(getter)) {
          this.#problems.add(
            place,
            `Cannot declare "${name}": another field is called so but for its first letter`,
          );
        }
        capitalized.add(getter);
      }
      const type = this.#type(field.type, ['type', 'field'], entry);
      if (type === null) {
        this.#problems.add(field.type.place, 'Cannot use void as the type of a field');
      }
      if (type === undefined || type === null) return [];
      if (type.kind === 'unsupported') this.unsupported.push(type.problem);
      if (immutable && !this.#isImmutable(type)) {
        this.#problems.add(
          place,
          `Cannot use the field "${name}" in a @JavaOnlyImmutable type: it can change`,
        );
      }
      if (description.fixedSize && !isFixedSize(type)) {
        this.#problems.add(
          place,
          `Cannot use the field "${name}" in a @FixedSize type: its size is not fixed`,
          'Numbers, enums, arrays T[N] and @FixedSize types are',
        );
      }
      const value =
        field.value === undefined
          ? undefined
          : typedConstant(field.value, type, entry, this.constants, this.#problems);
      return [{ name, doc, type, value }];
    });
    if (node.kind === 'union') this.#checkUnion(node, description);
  }

  #checkUnion(node: StructureNode, { fields }: StructureDescription): void {
    const [firstNode] = node.fields;
    const [first] = fields;
    if (firstNode === undefined) {
      this.#problems.add(node.place, `Cannot use the union "${node.name}": it has no fields`);
    } else if (first !== undefined && firstNode.value === undefined) {
      const { type } = first;
      if (type.kind === 'enum') {
        this.#problems.add(
          firstNode.place,
          'Cannot use an enum without a default as the first field of a union',
          `Write one: ${first.name} = ${type.declaration.name}.${type.declaration.enumerators[0]?.name ?? 'NAME'};`,
        );
      } else if (type.kind === 'array' && !type.list && !type.nullable) {
        this.#problems.add(
          firstNode.place,
          'Cannot use an array without a default as the first field of a union',
          'Write one, as in "= {}", or make it @nullable',
        );
      }
    }
  }

  #enumerators(node: EnumNode, entry: Entry): Pick<EnumDescription, 'backing' | 'enumerators'> {
    const given = node.annotations.find((each) => each.name === 'Backing');
    const text = annotationText(node.annotations, 'Backing', 'type') ?? 'byte';
    if (text !== 'byte' && text !== 'int' && text !== 'long') {
      this.#problems.add(
        given?.place ?? node.place,
        `Cannot use "${text}" as the backing type of an enum`,
        'Use byte, int or long',
      );
    }
    const backing = text === 'int' || text === 'long' ? text : 'byte';
    const names = new Set<string>();
    const enumerators = node.enumerators.flatMap(({ name, place, doc, value: expression }) => {
      if (names.has(name)) {
        this.#problems.add(place, `Cannot declare the enumerator "${name}" twice`);
        return [];
      }
      names.add(name);
      const value = this.constants.valueOf(entry, name);
      if (value === undefined) return [];
      const bits = { byte: 8, int: 32, long: 64 }[backing];
      const isInteger = 'value' in value && typeof value.value === 'bigint';
      if (!isInteger || BigInt.asIntN(bits, value.value) !== value.value) {
        this.#problems.add(
          expression?.place ?? place,
          `Cannot use ${'value' in value ? String(value.value) : 'an array'} as an enumerator: expected a number of ${bits} bits`,
          backing === 'byte'
            ? 'Write @Backing(type="int") in front of the enum for larger ones'
            : undefined,
        );
        return [];
      }
      return [{ name, doc, value: backing === 'long' ? value.value : Number(value.value) }];
    });
    return { backing, enumerators };
  }

  #constants(nodes: readonly ConstantNode[], entry: Entry): ConstantDescription[] {
    const names = new Set<string>();
    return nodes.flatMap(({ name, place, doc, type: typeNode, value: expression }) => {
      if (names.has(name)) this.#problems.add(place, `Cannot declare the constant "${name}" twice`);
      names.add(name);
      const type = this.#type(typeNode, ['type', 'constant'], entry);
      if (type === undefined) return [];
      const isPlain = type !== null && (type.kind === 'String' || SCALAR_KINDS.has(type.kind));
      if (!isPlain) {
        this.#problems.add(
          typeNode.place,
          `Cannot use a constant of ${typeNode.name}${typeNode.array === undefined ? '' : '[]'}`,
          'Constants are numbers, booleans, characters or String',
        );
        return [];
      }
      const value = typedConstant(expression, type, entry, this.constants, this.#problems);
      return value === undefined ? [] : [{ name, doc, type, value }];
    });
  }

  #type(
    node: TypeNode,
    contexts: readonly AnnotationContext[],
    entry: Entry,
  ): AidlType | null | undefined {
    this.#annotations(node.annotations, contexts, entry);
    for (const argument of node.args) this.#annotations(argument.annotations, ['type'], entry);
    return this.types.resolve(node, entry);
  }

  #annotations(
    annotations: TypeNode['annotations'],
    contexts: readonly AnnotationContext[],
    entry: Entry,
  ): void {
    checkAnnotations(annotations, contexts, entry, this.constants, this.#problems);
  }

  #isImmutable(type: AidlType): boolean {
    if (type.kind === 'array') return this.#isImmutable(type.element);
    if (type.kind === 'structure') {
      const entry = this.#documents.entry(type.declaration.fullName);
      return entry !== undefined && hasAnnotation(entry.node.annotations, 'JavaOnlyImmutable');
    }
    const { kind } = type;
    // What is refused anyway needs no second problem.
    return ['enum', 'String', 'unsupported'].includes(kind) || SCALAR_KINDS.has(kind);
  }
}

const SCALAR_KINDS: ReadonlySet<string> = new Set([
  'boolean',
  'byte',
  'char',
  'int',
  'long',
  'float',
  'double',
]);

function isFixedSize(type: AidlType): boolean {
  if ('nullable' in type && type.nullable) return false;
  if (type.kind === 'array') return type.size !== null && isFixedSize(type.element);
  if (type.kind === 'structure') return type.declaration.fixedSize;
  return type.kind === 'enum' || SCALAR_KINDS.has(type.kind);
}

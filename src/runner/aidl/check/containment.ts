/** Structures that hold each other: none may hold itself, nor hold more than a call carries. */

import type { Diagnostic } from '../../../core/errors.ts';
import type { Problems } from '../syntax/source.ts';
import type { AidlType, FieldDescription, StructureDescription } from '../types.ts';
import type { Entry } from './documents.ts';
import { MAX_CALL_BYTES } from './types.ts';

/** Readers go down by recursion, so a deeper nesting is refused where it is declared. */
export const MAX_DEPTH = 64;

export class Containment {
  readonly #problems: Problems;
  readonly #entryOf: (description: StructureDescription) => Entry | undefined;
  readonly #sizes = new Map<StructureDescription, number | 'busy'>();
  readonly #unsupported = new Map<StructureDescription, Diagnostic | undefined>();

  constructor(
    problems: Problems,
    entryOf: (description: StructureDescription) => Entry | undefined,
  ) {
    this.#problems = problems;
    this.#entryOf = entryOf;
  }

  /** Tells of a structure that holds itself or too much. */
  check(description: StructureDescription): void {
    this.#size(description, []);
  }

  /** Why a structure cannot travel: one of its fields, or of those that it leads to, cannot. */
  unsupported(description: StructureDescription): Diagnostic | undefined {
    if (this.#unsupported.has(description)) return this.#unsupported.get(description);
    const seen = new Set<StructureDescription>([description]);
    let found: Diagnostic | undefined;
    // The set grows while it is walked through.
    for (const structure of seen) {
      for (const { type } of structure.fields) {
        const leaf = leafOf(type);
        if (leaf.kind === 'unsupported') found ??= leaf.problem;
        if (leaf.kind === 'structure') seen.add(leaf.declaration);
      }
      if (found !== undefined) break;
    }
    this.#unsupported.set(description, found);
    return found;
  }

  /** The least bytes that a value takes. */
  #size(description: StructureDescription, path: readonly string[]): number {
    const known = this.#sizes.get(description);
    if (typeof known === 'number') return known;
    const place = this.#entryOf(description)?.node.place;
    const names = [...path, description.name];
    const tell = (message: string, hint: string): number => {
      if (place !== undefined) this.#problems.add(place, message, hint);
      return 0;
    };
    if (known === 'busy') {
      const cycle = names.slice(names.indexOf(description.name)).join(' -> ');
      return tell(
        `Cannot use "${description.name}": it holds itself (${cycle})`,
        'Hold it as @nullable(heap=true), or in an array',
      );
    }
    if (path.length > MAX_DEPTH) {
      this.#sizes.set(description, 0);
      return tell(
        `Cannot use "${description.name}": it is nested deeper than ${MAX_DEPTH}`,
        'Hold fewer levels',
      );
    }
    this.#sizes.set(description, 'busy');
    const sizes = description.fields.map(({ type }: FieldDescription) =>
      this.#typeSize(type, names),
    );
    const isUnion = description.kind === 'union';
    const fields = isUnion ? (sizes[0] ?? 0) : sizes.reduce((total, size) => total + size, 0);
    let size = 4 + fields;
    if (size > MAX_CALL_BYTES) {
      tell(
        `Cannot use "${description.name}": it takes more than the ${MAX_CALL_BYTES} bytes of a call`,
        'Use smaller arrays',
      );
      // Told once: those that hold it need not be told of.
      size = 4;
    }
    this.#sizes.set(description, size);
    return size;
  }

  #typeSize(type: AidlType, path: readonly string[]): number {
    switch (type.kind) {
      case 'long':
      case 'double':
        return 8;
      case 'structure':
        // Nullable without "heap" still holds its value in place, in C++.
        if (type.heap) return 4;
        return 4 + this.#size(type.declaration, path) * (type.nullable ? 0 : 1);
      case 'array': {
        if (type.size === null || type.size === 0) return 4;
        const element = this.#typeSize(type.element, path);
        if (type.nullable) return 4;
        return 4 + type.size * (type.element.kind === 'byte' ? 1 : element);
      }
      case 'interface':
      case 'IBinder':
      case 'String':
      case 'boolean':
      case 'byte':
      case 'char':
      case 'int':
      case 'float':
      case 'enum':
      case 'unsupported':
        return 4;
    }
  }
}

function leafOf(type: AidlType): AidlType {
  return type.kind === 'array' ? leafOf(type.element) : type;
}

/**
 * The values of constant expressions, by AIDL's arithmetic: 8, 32 and 64 bits, signed, an overflow is
 * an error; `boolean` counts as an integer.
 */

import { type Place, type Problems, SyntaxFailure } from '../syntax/source.ts';
import type { Expression } from '../syntax/tree.ts';
import type { Documents, Entry } from './documents.ts';

type IntegerWidth = 'boolean' | 'int8' | 'int32' | 'int64';

export type Constant =
  | { readonly kind: IntegerWidth; readonly value: bigint }
  | { readonly kind: 'float'; readonly value: number; readonly single: boolean }
  | { readonly kind: 'char' | 'string'; readonly value: string }
  | { readonly kind: 'array'; readonly items: readonly Expression[] };

/** How deep constants may lead to each other, together with their expressions. */
const MAX_DEPTH = 1000;
/** No integer of 64 bits needs as many, zeros in front included. */
const MAX_DIGITS = 64;
const BITS: Readonly<Record<IntegerWidth, number>> = { boolean: 1, int8: 8, int32: 32, int64: 64 };
const WIDTHS: readonly IntegerWidth[] = ['boolean', 'int8', 'int32', 'int64'];

interface Target {
  readonly owner: Entry;
  readonly name: string;
  readonly place: Place;
  readonly expression: Expression | undefined;
  /** The enumerator in front, whose value counts when there is no expression. */
  readonly previous: Target | undefined;
}

/** Evaluates with memory; every problem is told once, and gives undefined. */
export class Constants {
  readonly #documents: Documents;
  readonly #problems: Problems;
  readonly #values = new Map<string, Constant | 'busy' | undefined>();
  readonly #targets = new Map<Entry, ReadonlyMap<string, Target>>();
  #depth = 0;

  constructor(documents: Documents, problems: Problems) {
    this.#documents = documents;
    this.#problems = problems;
  }

  evaluate(expression: Expression, scope: Entry): Constant | undefined {
    try {
      return this.#evaluate(expression, scope);
    } catch (error) {
      if (error instanceof SyntaxFailure) return undefined;
      throw error;
    }
  }

  /** The value of a constant or an enumerator of `owner`. */
  valueOf(owner: Entry, name: string): Constant | undefined {
    const target = this.#members(owner).get(name);
    if (target === undefined) return undefined;
    try {
      return this.#targetValue(target, target.place);
    } catch (error) {
      if (error instanceof SyntaxFailure) return undefined;
      throw error;
    }
  }

  /** The enumerator that an expression names, when it names one. */
  enumeratorOf(expression: Expression, scope: Entry): Omit<Target, 'previous'> | undefined {
    if (expression.kind !== 'reference') return undefined;
    return this.#find(expression.name, expression.place, scope, true);
  }

  #evaluate(expression: Expression, scope: Entry): Constant {
    this.#depth++;
    try {
      if (this.#depth > MAX_DEPTH) {
        this.#fail(expression.place, 'Cannot follow constants that lead so far');
      }
      return this.#compute(expression, scope);
    } finally {
      this.#depth--;
    }
  }

  #compute(expression: Expression, scope: Entry): Constant {
    switch (expression.kind) {
      case 'boolean':
        return { kind: 'boolean', value: expression.value ? 1n : 0n };
      case 'integer':
        return parseInteger(expression.text) ?? this.#badLiteral(expression.place, expression.text);
      case 'float': {
        const single = expression.text.endsWith('f');
        const value = Number(single ? expression.text.slice(0, -1) : expression.text);
        if (!Number.isFinite(value)) this.#badLiteral(expression.place, expression.text);
        return { kind: 'float', value, single };
      }
      case 'char':
      case 'string':
        return this.#text(expression.kind, expression.text.slice(1, -1), expression.place);
      case 'array':
        return { kind: 'array', items: expression.items };
      case 'reference': {
        const target = this.#find(expression.name, expression.place, scope, false);
        if (target === undefined) throw new SyntaxFailure();
        return this.#targetValue(target, expression.place);
      }
      case 'unary':
        return this.#unary(expression, this.#evaluate(expression.operand, scope));
      case 'binary':
        return this.#binary(
          expression,
          this.#evaluate(expression.left, scope),
          this.#evaluate(expression.right, scope),
        );
    }
  }

  #text(kind: 'char' | 'string', value: string, place: Place): Constant {
    const bad = /[^\x20-\x5b\x5d-\x7e]/u.exec(value)?.[0];
    if (bad !== undefined) {
      this.#fail(
        place,
        `Cannot use ${JSON.stringify(bad)} in a literal`,
        'Only printable ASCII without the backslash stands in literals',
      );
    }
    return { kind, value };
  }

  #unary(expression: Expression & { kind: 'unary' }, operand: Constant): Constant {
    const { operator, place } = expression;
    if (operand.kind === 'float' && (operator === '+' || operator === '-')) {
      return operator === '-' ? { ...operand, value: -operand.value } : operand;
    }
    if (!isInteger(operand) || (operand.kind === 'boolean' && operator === '~')) {
      return this.#fail(place, `Cannot apply "${operator}" to ${showKind(operand)}`);
    }
    const { kind, value } = operand;
    switch (operator) {
      case '-':
        // C++ computes it as a bool: not 0 stays true.
        return kind === 'boolean' ? operand : this.#bounded(kind, -value, place);
      case '!':
        return { kind, value: value === 0n ? 1n : 0n };
      case '~':
        return { kind, value: ~value };
      default:
        return operand;
    }
  }

  #binary(expression: Expression & { kind: 'binary' }, left: Constant, right: Constant): Constant {
    const { operator, place } = expression;
    if (left.kind === 'string' && right.kind === 'string') {
      if (operator === '+') return { kind: 'string', value: left.value + right.value };
      return this.#fail(place, `Cannot apply "${operator}" to texts: only "+" joins them`);
    }
    if (!isInteger(left) || !isInteger(right)) {
      const kinds = `${showKind(left)} and ${showKind(right)}`;
      return this.#fail(place, `Cannot apply "${operator}" to ${kinds}`);
    }
    if (operator === '&&' || operator === '||') {
      const [a, b] = [left.value !== 0n, right.value !== 0n];
      return { kind: 'boolean', value: (operator === '&&' ? a && b : a || b) ? 1n : 0n };
    }
    const kind = wider(left.kind, right.kind);
    if (operator === '<<' || operator === '>>')
      return this.#shift(operator, kind, left, right, place);
    const compared = compare(operator, left.value, right.value);
    if (compared !== undefined) return { kind: 'boolean', value: compared ? 1n : 0n };
    if ((operator === '/' || operator === '%') && right.value === 0n) {
      return this.#fail(place, 'Cannot divide by zero');
    }
    return this.#bounded(kind, calculate(operator, left.value, right.value), place);
  }

  /** A negative number of bits shifts the other way; a negative value cannot be shifted. */
  #shift(
    operator: string,
    kind: IntegerWidth,
    { value }: { readonly value: bigint },
    by: { readonly value: bigint },
    place: Place,
  ): Constant {
    const bits = by.value < 0n ? -by.value : by.value;
    const toLeft = (operator === '<<') === by.value >= 0n;
    if (value < 0n || bits >= BigInt(BITS[kind])) {
      return this.#fail(place, `Cannot shift ${value} by ${by.value} bits: the result overflows`);
    }
    if (!toLeft) return { kind, value: value >> bits };
    const shifted = value << bits;
    // Into the sign bit and no further, as in C++.
    if (shifted >> BigInt(BITS[kind]) !== 0n) return this.#bounded(kind, shifted, place);
    return { kind, value: BigInt.asIntN(BITS[kind], shifted) };
  }

  #bounded(kind: IntegerWidth, value: bigint, place: Place): Constant {
    if (value !== BigInt.asIntN(BITS[kind], value)) {
      this.#fail(place, `Cannot use the value ${value}: it overflows ${BITS[kind]} bits`);
    }
    return { kind, value };
  }

  #targetValue(target: Target, from: Place): Constant {
    const key = `${target.owner.fullName}\0${target.name}`;
    const known = this.#values.get(key);
    if (known === 'busy') this.#fail(from, `Cannot compute "${target.name}": it leads to itself`);
    if (known !== undefined) return known;
    if (this.#values.has(key)) throw new SyntaxFailure();
    this.#values.set(key, 'busy');
    let value: Constant | undefined;
    try {
      value = this.#targetExpression(target);
    } finally {
      this.#values.set(key, value);
    }
    return value;
  }

  #targetExpression({ owner, expression, previous, place }: Target): Constant {
    if (expression !== undefined) return this.#evaluate(expression, owner);
    if (previous === undefined) return { kind: 'int8', value: 0n };
    const before = this.#targetValue(previous, place);
    if (!isInteger(before)) throw new SyntaxFailure();
    return this.#bounded(wider(before.kind, 'int8'), before.value + 1n, place);
  }

  #find(name: string, place: Place, scope: Entry, quiet: boolean): Target | undefined {
    const dot = name.lastIndexOf('.');
    const member = name.slice(dot + 1);
    const owner =
      dot < 0 ? scope : this.#documents.resolve(name.slice(0, dot), place, scope, quiet);
    if (owner === undefined) return undefined;
    const target = 'builtIn' in owner ? undefined : this.#members(owner).get(member);
    if (target === undefined && !quiet) {
      const where = 'builtIn' in owner ? owner.builtIn : owner.fullName;
      this.#problems.add(place, `Cannot find the constant "${member}" in ${where}`);
    }
    return target;
  }

  #members(owner: Entry): ReadonlyMap<string, Target> {
    const known = this.#targets.get(owner);
    if (known !== undefined) return known;
    const members = new Map<string, Target>();
    if (owner.node.kind === 'enum') {
      let previous: Target | undefined;
      for (const { name, place, value: expression } of owner.node.enumerators) {
        const target: Target = { owner, name, place, expression, previous };
        // Filled in order, so that a long enum does not lead back step by step.
        if (!members.has(name)) members.set(name, target);
        previous = target;
      }
    } else {
      for (const { name, place, value: expression } of owner.node.constants) {
        if (!members.has(name)) {
          members.set(name, { owner, name, place, expression, previous: undefined });
        }
      }
    }
    this.#targets.set(owner, members);
    if (owner.node.kind === 'enum') {
      for (const name of members.keys()) this.valueOf(owner, name);
    }
    return members;
  }

  #badLiteral(place: Place, text: string): never {
    return this.#fail(place, `Cannot use the number ${text.slice(0, 40)}: it is out of range`);
  }

  #fail(place: Place, message: string, hint?: string): never {
    this.#problems.add(place, message, hint);
    throw new SyntaxFailure(message);
  }
}

const isInteger = (
  value: Constant,
): value is Constant & { readonly kind: IntegerWidth; readonly value: bigint } =>
  (WIDTHS as readonly string[]).includes(value.kind);

/** Operands have 32 bits at least. */
function wider(a: IntegerWidth, b: IntegerWidth): IntegerWidth {
  return a === 'int64' || b === 'int64' ? 'int64' : 'int32';
}

function compare(operator: string, a: bigint, b: bigint): boolean | undefined {
  switch (operator) {
    case '==':
      return a === b;
    case '!=':
      return a !== b;
    case '<':
      return a < b;
    case '>':
      return a > b;
    case '<=':
      return a <= b;
    case '>=':
      return a >= b;
    default:
      return undefined;
  }
}

function calculate(operator: string, a: bigint, b: bigint): bigint {
  switch (operator) {
    case '+':
      return a + b;
    case '-':
      return a - b;
    case '*':
      return a * b;
    case '/':
      return a / b;
    case '%':
      return a % b;
    case '|':
      return a | b;
    case '^':
      return a ^ b;
    default:
      return a & b;
  }
}

/**
 * A literal's value and width. Hexadecimal ones have 32 or 64 bits, of which the first is the sign;
 * `u8` makes a byte of 0 to 255, `L` a long.
 */
export function parseInteger(text: string): Constant | undefined {
  if (text.length > MAX_DIGITS) return undefined;
  const isByte = text.endsWith('u8');
  const digits = isByte ? text.slice(0, -2) : text;
  const isLong = /[lL]$/.test(digits);
  if (isByte && isLong) return undefined;
  const value = BigInt(isLong ? digits.slice(0, -1) : digits);
  const isHex = /^0[xX]/.test(text);
  if (isByte) {
    return value > 255n ? undefined : { kind: 'int8', value: BigInt.asIntN(8, value) };
  }
  if (isHex) {
    if (!isLong && value < 1n << 32n) return { kind: 'int32', value: BigInt.asIntN(32, value) };
    return value < 1n << 64n ? { kind: 'int64', value: BigInt.asIntN(64, value) } : undefined;
  }
  if (value >= 1n << 63n) return undefined;
  if (isLong || value >= 1n << 31n) return { kind: 'int64', value };
  return { kind: value < 128n ? 'int8' : 'int32', value };
}

export function showKind(value: Constant): string {
  switch (value.kind) {
    case 'boolean':
      return 'a boolean';
    case 'int8':
    case 'int32':
    case 'int64':
      return `the number ${value.value}`;
    case 'float':
      return `the number ${value.value}`;
    case 'char':
      return 'a character';
    case 'string':
      return 'a text';
    case 'array':
      return 'an array';
  }
}

/** Which annotations there are, where they may stand, and what they may say. */

import type { Problems } from '../syntax/source.ts';
import type { Annotation, Expression } from '../syntax/tree.ts';
import type { Constants } from './constants.ts';
import type { Entry } from './documents.ts';

export type AnnotationContext =
  | 'interface'
  | 'parcelable'
  | 'union'
  | 'unstructured parcelable'
  | 'enum'
  | 'constant'
  | 'field'
  | 'method'
  | 'type';

type ParameterType = 'boolean' | 'String' | 'int' | 'long' | 'String[]';

interface Schema {
  readonly contexts: readonly AnnotationContext[];
  readonly parameters?: Readonly<Record<string, ParameterType>>;
  readonly required?: readonly string[];
  readonly repeatable?: boolean;
}

const TYPES: readonly AnnotationContext[] = [
  'interface',
  'parcelable',
  'union',
  'unstructured parcelable',
  'enum',
];
const MEMBERS: readonly AnnotationContext[] = ['constant', 'field', 'method'];
const STRUCTURES: readonly AnnotationContext[] = ['parcelable', 'union'];
const ALL: readonly AnnotationContext[] = [...TYPES, ...MEMBERS, 'type'];
const UNSTRUCTURED: readonly AnnotationContext[] = ['unstructured parcelable'];
const CALLS: readonly AnnotationContext[] = ['interface', 'method'];

/** Apart, for a property called `toString` confuses where the type is inferred. */
const JAVA_METHODS: Readonly<Record<string, ParameterType>> = Object.fromEntries([
  ['toString', 'boolean' as const],
  ['equals', 'boolean' as const],
]);

const SCHEMAS: Readonly<Record<string, Schema>> = {
  Backing: { contexts: ['enum'], parameters: { type: 'String' }, required: ['type'] },
  Descriptor: { contexts: ['interface'], parameters: { value: 'String' }, required: ['value'] },
  EnforcePermission: {
    contexts: CALLS,
    parameters: { value: 'String', anyOf: 'String[]', allOf: 'String[]' },
  },
  FixedSize: { contexts: STRUCTURES },
  JavaDefault: { contexts: ['interface'] },
  JavaDelegator: { contexts: ['interface'] },
  JavaDerive: {
    contexts: [...STRUCTURES, 'enum'],
    parameters: JAVA_METHODS,
  },
  JavaOnlyImmutable: { contexts: [...STRUCTURES, ...UNSTRUCTURED] },
  JavaOnlyStableParcelable: { contexts: UNSTRUCTURED },
  JavaPassthrough: {
    contexts: ALL,
    parameters: { annotation: 'String' },
    required: ['annotation'],
    repeatable: true,
  },
  JavaSuppressLint: { contexts: ALL, parameters: { value: 'String[]' }, required: ['value'] },
  NdkOnlyStableParcelable: { contexts: UNSTRUCTURED },
  PermissionManuallyEnforced: { contexts: CALLS },
  PropagateAllowBlocking: { contexts: ['method'] },
  RequiresNoPermission: { contexts: CALLS },
  RustDerive: {
    contexts: STRUCTURES,
    parameters: {
      Copy: 'boolean',
      Clone: 'boolean',
      PartialOrd: 'boolean',
      Ord: 'boolean',
      PartialEq: 'boolean',
      Eq: 'boolean',
      Hash: 'boolean',
    },
  },
  RustOnlyStableParcelable: { contexts: UNSTRUCTURED },
  SensitiveData: { contexts: ['interface'] },
  SuppressWarnings: {
    contexts: [...TYPES, ...MEMBERS],
    parameters: { value: 'String[]' },
    required: ['value'],
  },
  UnsupportedAppUsage: {
    contexts: [...TYPES, ...MEMBERS],
    parameters: {
      expectedSignature: 'String',
      implicitMember: 'String',
      maxTargetSdk: 'int',
      publicAlternatives: 'String',
      trackingBug: 'long',
    },
  },
  VintfStability: { contexts: TYPES },
  nullable: { contexts: ['type'], parameters: { heap: 'boolean' } },
  utf8InCpp: { contexts: ['type'] },
};

/** Tells of annotations that are unknown, misplaced, repeated or wrongly filled in. */
export function checkAnnotations(
  annotations: readonly Annotation[],
  contexts: readonly AnnotationContext[],
  scope: Entry,
  constants: Constants,
  problems: Problems,
): void {
  const seen = new Set<string>();
  for (const annotation of annotations) {
    const { name, place } = annotation;
    const schema = Object.hasOwn(SCHEMAS, name) ? SCHEMAS[name] : undefined;
    if (schema === undefined) {
      const same = Object.keys(SCHEMAS).find((each) => each.toLowerCase() === name.toLowerCase());
      const hint =
        same === undefined
          ? `AIDL knows ${Object.keys(SCHEMAS).join(', ')}`
          : `Write @${same}, as AIDL knows it`;
      problems.add(place, `Cannot use the annotation @${name}: it is unknown`, hint);
      continue;
    }
    if (!schema.contexts.some((each) => contexts.includes(each))) {
      const where = schema.contexts.map((each) => `${article(each)} ${each}`).join(', ');
      problems.add(
        place,
        `Cannot annotate ${article(contexts[0])} ${contexts[0]} with @${name}`,
        `It annotates ${where}`,
      );
    }
    if (seen.has(name) && schema.repeatable !== true) {
      problems.add(place, `Cannot repeat the annotation @${name}`);
    }
    seen.add(name);
    checkParameters(annotation, schema, scope, constants, problems);
  }
}

function checkParameters(
  { name, place, parameters }: Annotation,
  schema: Schema,
  scope: Entry,
  constants: Constants,
  problems: Problems,
): void {
  const known = schema.parameters ?? {};
  for (const parameter of parameters) {
    const type = Object.hasOwn(known, parameter.name) ? known[parameter.name] : undefined;
    if (type === undefined) {
      const names = Object.keys(known).join(', ');
      problems.add(
        parameter.place,
        `Cannot give @${name} the parameter "${parameter.name}"`,
        names === '' ? 'It has no parameters' : `It has ${names}`,
      );
    } else if (!fits(parameter.value, type, scope, constants)) {
      problems.add(
        parameter.value.place,
        `Cannot use this as "${parameter.name}" of @${name}: expected ${type}`,
      );
    }
  }
  for (const required of schema.required ?? []) {
    if (!parameters.some((each) => each.name === required)) {
      problems.add(
        place,
        `Cannot use @${name} without "${required}"`,
        `Write @${name}(${required}=...)`,
      );
    }
  }
  if (name === 'EnforcePermission' && parameters.length === 0) {
    problems.add(place, 'Cannot use @EnforcePermission without a permission');
  }
}

/** References are not allowed: the value of an annotation stands in it. */
function fits(value: Expression, type: ParameterType, scope: Entry, constants: Constants): boolean {
  if (value.kind === 'array') {
    const isArray = type === 'String[]';
    return isArray && value.items.every((item) => fits(item, 'String', scope, constants));
  }
  if (type === 'String[]' || refersTo(value)) return false;
  const constant = constants.evaluate(value, scope);
  switch (constant?.kind) {
    case 'boolean':
    case 'int8':
    case 'int32':
      return type !== 'String';
    case 'int64':
      return type === 'long' || type === 'boolean';
    case 'string':
      return type === 'String';
    case 'float':
    case 'char':
    case 'array':
    case undefined:
      return false;
  }
}

function refersTo(value: Expression): boolean {
  if (value.kind === 'unary') return refersTo(value.operand);
  if (value.kind === 'binary') return refersTo(value.left) || refersTo(value.right);
  return value.kind === 'reference';
}

const article = (word: string | undefined): string =>
  word !== undefined && /^[aeiou]/.test(word) ? 'an' : 'a';

/** The text that a parameter holds, when it is there and is one. */
export function annotationText(
  annotations: readonly Annotation[],
  name: string,
  parameter: string,
): string | undefined {
  const value = annotations
    .find((each) => each.name === name)
    ?.parameters.find((each) => each.name === parameter)?.value;
  return value?.kind === 'string' ? value.text.slice(1, -1) : undefined;
}

export const hasAnnotation = (annotations: readonly Annotation[], name: string): boolean =>
  annotations.some((each) => each.name === name);

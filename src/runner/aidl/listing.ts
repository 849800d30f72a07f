/** An interface for people who want to call it: its methods, and the types that these use. */

import {
  type AidlType,
  type EnumDescription,
  formatMethod,
  formatType,
  type InterfaceDescription,
  simplePath,
  type StructureDescription,
} from './types.ts';

export interface InterfaceListing {
  readonly text: string;
  readonly json: {
    readonly descriptor: string;
    readonly methods: readonly {
      readonly name: string;
      readonly signature: string;
      readonly code: number;
      /** Why it cannot be called. */
      readonly unsupported?: string;
    }[];
    readonly types: readonly { readonly name: string; readonly declaration: string }[];
  };
}

export function describeInterface(description: InterfaceDescription): InterfaceListing {
  const { descriptor, methods } = description;
  const types = usedTypes(description).map((type) => ({
    name: type.fullName,
    declaration: type.kind === 'enum' ? formatEnum(type) : formatStructure(type),
  }));
  const listed = methods.map((method) => ({
    name: method.name,
    signature: formatMethod(method),
    code: method.code,
    ...(method.unsupported === undefined ? {} : { unsupported: method.unsupported.message }),
  }));
  const lines = listed.flatMap(({ signature, unsupported }) =>
    unsupported === undefined ? [`  ${signature}`] : [`  ${signature}`, `      ${unsupported}`],
  );
  const text = [descriptor, ...lines, ...types.map(({ declaration }) => declaration)].join('\n');
  return { text, json: { descriptor, methods: listed, types } };
}

/** In the order in which they are met. */
function usedTypes(
  description: InterfaceDescription,
): readonly (StructureDescription | EnumDescription)[] {
  const used = new Set<StructureDescription | EnumDescription>();
  const meet = (type: AidlType | null): void => {
    if (type?.kind === 'array') meet(type.element);
    if (type?.kind === 'structure' || type?.kind === 'enum') used.add(type.declaration);
  };
  for (const { args, returns } of description.methods) {
    for (const { type } of args) meet(type);
    meet(returns);
  }
  // The set grows while it is walked through.
  for (const type of used) {
    if (type.kind !== 'enum') for (const field of type.fields) meet(field.type);
  }
  return [...used];
}

function formatStructure(type: StructureDescription): string {
  const fields = type.fields.map((field) => ` ${formatType(field.type)} ${field.name};`);
  return `${type.kind} ${simplePath(type)} {${fields.join('')} }`;
}

function formatEnum(type: EnumDescription): string {
  const values = type.enumerators.map(({ name, value }) => ` ${name} = ${value}`);
  return `enum ${simplePath(type)} {${values.join(',')} }`;
}

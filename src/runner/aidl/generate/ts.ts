/**
 * TypeScript from AIDL: a file for each type. An interface becomes a type with its methods and a value
 * that makes proxies and stubs; a parcelable, union or enum a type and a value of the same name.
 */

import type { AidlProgram } from '../compile.ts';
import type { EnumDescription, StructureDescription, TypeDescription } from '../types.ts';
import { CodeText, neededTypes, withNested } from './text.ts';
import { writeInterface } from './ts-interface.ts';
import { writeConstants, writeDoc } from './ts-shared.ts';
import {
  defaultCode,
  exportName,
  hasDefault,
  key,
  modulePath,
  readCode,
  TsNames,
  tsType,
  writeCode,
} from './ts-types.ts';

export interface TsOptions {
  /** What generated files import the runtime from. */
  readonly runtime?: string;
  /** How they name each other: `.js` as tsc and Node want it, `.ts` where imports are rewritten. */
  readonly extension?: string;
}

export interface GeneratedFile {
  /** Below the output folder, as in `a/b/IFoo.ts`. */
  readonly path: string;
  readonly text: string;
}

/** The same program gives the same files, in the order of their paths. */
export function generateTs(
  program: AidlProgram,
  options: TsOptions = {},
): readonly GeneratedFile[] {
  const { runtime = 'microbuild', extension = '.js' } = options;
  return neededTypes(program).map((description) => {
    const own = withNested(description);
    const names = new TsNames(description, own);
    const body = new CodeText('  ');
    for (const each of own) {
      body.gap();
      writeType(body, each, names);
    }
    const head = new CodeText('  ');
    head.line('// Made by `microbuild aidl ts`: change the .aidl file, not this.', '');
    const imports = names.imports(runtime, extension);
    if (imports.length > 0) head.line(...imports, '');
    return { path: `${modulePath(description)}.ts`, text: head.toString() + body.toString() };
  });
}

function writeType(code: CodeText, description: TypeDescription, names: TsNames): void {
  switch (description.kind) {
    case 'interface':
      return writeInterface(code, description, names);
    case 'parcelable':
      return writeParcelable(code, description, names);
    case 'union':
      return writeUnion(code, description, names);
    case 'enum':
      return writeEnum(code, description);
  }
}

const STRUCTURE_MEMBERS = ['of', 'write', 'read'];

function writeParcelable(code: CodeText, description: StructureDescription, names: TsNames): void {
  const { fields, constants } = description;
  const name = exportName(description);
  const writer = names.runtime('type AidlWriter');
  const reader = names.runtime('type AidlReader');
  writeDoc(code, description.doc);
  code.block(`export interface ${name} {`, () => {
    for (const field of fields) {
      writeDoc(code, field.doc);
      code.line(`readonly ${key(field.name)}: ${tsType(field.type, names)};`);
    }
  });
  const needed = fields.filter((field) => field.value === undefined && !hasDefault(field.type));
  const parameter =
    needed.length === 0
      ? `fields: Partial<${name}> = {}`
      : `fields: Partial<${name}> & Pick<${name}, ${needed.map((field) => `'${field.name}'`).join(' | ')}>`;
  code.gap().block(
    `export const ${name} = {`,
    () => {
      writeConstants(code, constants, STRUCTURE_MEMBERS, names);
      code.line('/** What is left out has its default. */');
      code.block(
        `of: (${parameter}): ${name} => ({`,
        () => {
          for (const field of fields) {
            const value = defaultCode(field, names);
            if (value !== undefined && !needed.includes(field))
              code.line(`${key(field.name)}: ${value},`);
          }
          code.line('...fields,');
        },
        '}),',
      );
      code.block(
        `write: (out: ${writer}, value: ${name}): void =>`,
        () => {
          code.block(
            'out.fields(() => {',
            () => {
              for (const field of fields) {
                const written = writeCode(
                  field.type,
                  `value.${field.name}`,
                  names,
                  `out.at('${field.name}')`,
                );
                code.line(`${written};`);
              }
            },
            '}),',
          );
        },
        '',
      );
      code.block(
        `read: (input: ${reader}): ${name} =>`,
        () => {
          code.block(
            'input.fields((more) => ({',
            () => {
              for (const field of fields) {
                const absent = defaultCode(field, names);
                const read = readCode(field.type, names);
                code.line(
                  absent === undefined
                    ? `${key(field.name)}: ${read},`
                    : `${key(field.name)}: more() ? ${read} : ${absent},`,
                );
              }
            },
            '})),',
          );
        },
        '',
      );
    },
    '};',
  );
}

function writeUnion(code: CodeText, description: StructureDescription, names: TsNames): void {
  const { fields, constants } = description;
  const name = exportName(description);
  const writer = names.runtime('type AidlWriter');
  const reader = names.runtime('type AidlReader');
  writeDoc(code, description.doc);
  code.line(`export type ${name} =`);
  for (const [index, field] of fields.entries()) {
    const end = index === fields.length - 1 ? ';' : '';
    code.line(`  | { readonly ${key(field.name)}: ${tsType(field.type, names)} }${end}`);
  }
  const [first] = fields;
  const initial = first === undefined ? undefined : defaultCode(first, names);
  code.gap().block(
    `export const ${name} = {`,
    () => {
      writeConstants(code, constants, STRUCTURE_MEMBERS, names);
      if (first !== undefined && initial !== undefined) {
        code.line('/** The first field with its default. */');
        code.line(`of: (): ${name} => ({ ${key(first.name)}: ${initial} }),`);
      }
      code.block(
        `write: (out: ${writer}, value: ${name}): void => {`,
        () => {
          for (const [tag, field] of fields.entries()) {
            code.block(`if ('${field.name}' in value) {`, () => {
              const written = writeCode(
                field.type,
                `value.${field.name}`,
                names,
                `out.at('${field.name}')`,
              );
              code.line(`out.tag(${tag});`, `return ${written};`);
            });
          }
          const known = fields.map((field) => field.name).join(', ');
          code.line(`return out.fail(value, 'one of the fields of ${name}: ${known}');`);
        },
        '},',
      );
      code.block(
        `read: (input: ${reader}): ${name} => {`,
        () => {
          code.line('const tag = input.tag();');
          code.block('switch (tag) {', () => {
            for (const [tag, field] of fields.entries()) {
              code.line(
                `case ${tag}:`,
                `  return { ${key(field.name)}: ${readCode(field.type, names)} };`,
              );
            }
            code.line('default:', `  throw input.badTag(tag, '${name}');`);
          });
        },
        '},',
      );
    },
    '};',
  );
}

function writeEnum(code: CodeText, description: EnumDescription): void {
  const { backing, enumerators } = description;
  const name = exportName(description);
  writeDoc(code, description.doc);
  code.block(
    `export const ${name} = {`,
    () => {
      for (const { name: each, doc, value } of enumerators) {
        writeDoc(code, doc);
        code.line(`${key(each)}: ${value}${backing === 'long' ? 'n' : ''},`);
      }
    },
    '} as const;',
  );
  code.line('/** A newer peer may send numbers that have no name here. */');
  const open = backing === 'long' ? 'bigint' : 'number';
  code.line(
    `export type ${name} = (typeof ${name})[keyof typeof ${name}] | (${open} & Record<never, never>);`,
  );
}

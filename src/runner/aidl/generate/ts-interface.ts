/** One interface in TypeScript: its type, and the table of its methods. */

import { givenArguments, isOutArray, memberName, outArguments, resultName } from '../objects.ts';
import {
  type AidlArgument,
  type AidlMethod,
  formatMethod,
  type InterfaceDescription,
} from '../types.ts';
import type { CodeText } from './text.ts';
import { writeConstants, writeDoc } from './ts-shared.ts';
import {
  exportName,
  quote,
  readCode,
  type TsNames,
  tsType,
  variable,
  writeCode,
} from './ts-types.ts';

export function writeInterface(
  code: CodeText,
  description: InterfaceDescription,
  names: TsNames,
): void {
  const name = exportName(description);
  writeDoc(code, description.doc);
  code.block(`export interface ${name} {`, () => {
    for (const method of description.methods) {
      writeDoc(code, method.doc);
      const parameters = givenArguments(method).map((arg) => parameter(arg, names));
      code.line(
        `${memberName(method.name)}(${parameters.join(', ')}): Promise<${resultType(method, names)}>;`,
      );
    }
  });
  code.gap().block(
    `export const ${name} = {`,
    () => {
      writeConstants(code, description.constants, MEMBERS, names);
      const make = `...${names.runtime('aidlInterface')}<${name}>(${quote(description.descriptor)}, {`;
      code.block(
        make,
        () => {
          for (const method of description.methods) writeMethod(code, method, names);
        },
        '}),',
      );
    },
    '};',
  );
}

const MEMBERS = ['descriptor', 'proxy', 'stub', 'wrap', 'unwrap'];

const isNullable = ({ type }: AidlArgument): boolean => 'nullable' in type && type.nullable;

function parameter(arg: AidlArgument, names: TsNames): string {
  if (!isOutArray(arg)) return `${variable(arg.name)}: ${tsType(arg.type, names)}`;
  return `${arg.name}Length: number${isNullable(arg) ? ' | null' : ''}`;
}

function resultType(method: AidlMethod, names: TsNames): string {
  const outs = outArguments(method);
  const own = method.returns === null ? 'void' : tsType(method.returns, names);
  if (outs.length === 0) return own;
  const fields = [
    ...(method.returns === null ? [] : [`readonly ${resultName(method)}: ${own}`]),
    ...outs.map((arg) => `readonly ${arg.name}: ${tsType(arg.type, names)}`),
  ];
  return `{ ${fields.join('; ')} }`;
}

function writeMethod(code: CodeText, method: AidlMethod, names: TsNames): void {
  const writer = names.runtime('type AidlWriter');
  const reader = names.runtime('type AidlReader');
  const given = givenArguments(method);
  const outs = outArguments(method);
  const type = resultType(method, names);
  code.line(`// ${formatMethod(method)}`);
  code.block(
    `${memberName(method.name)}: {`,
    () => {
      code.line(`code: ${method.code},`, `oneway: ${method.oneway},`);
      const parameters = given.map((arg) => `, ${parameter(arg, names)}`).join('');
      const isEmpty = given.length === 0;
      const writes = given.map((arg) =>
        isOutArray(arg)
          ? `out.at('${arg.name}').length(${arg.name}Length);`
          : `${writeCode(arg.type, variable(arg.name), names, `out.at('${arg.name}')`)};`,
      );
      if (isEmpty) code.line('writeArguments: (): void => undefined,');
      else {
        code.block(
          `writeArguments: (out: ${writer}${parameters}): void => {`,
          () => void code.line(...writes),
          '},',
        );
      }
      const reads = given.map((arg) => {
        if (!isOutArray(arg)) return readCode(arg.type, names);
        return isNullable(arg) ? 'input.nullableLength()' : 'input.length()';
      });
      const input = reads.length === 0 ? '' : `input: ${reader}`;
      code.line(`readArguments: (${input}) => [${reads.join(', ')}],`);
      if (method.returns === null && outs.length === 0) {
        code.line('writeResult: (): void => undefined,', 'readResult: (): void => undefined,');
        return;
      }
      const returned =
        method.returns === null ? [] : [{ name: resultName(method), type: method.returns }];
      const all = [...returned, ...outs];
      code.block(
        `writeResult: (out: ${writer}, result: ${type}): void => {`,
        () => {
          for (const each of all) {
            const [value, out] =
              outs.length === 0
                ? ['result', "out.at('')"]
                : [`result.${each.name}`, `out.at('${each.name}')`];
            code.line(`${writeCode(each.type, value, names, out)};`);
          }
        },
        '},',
      );
      if (outs.length === 0 && method.returns !== null) {
        code.line(`readResult: (input: ${reader}): ${type} => ${readCode(method.returns, names)},`);
        return;
      }
      code.block(
        `readResult: (input: ${reader}): ${type} => ({`,
        () => {
          for (const each of all) code.line(`${each.name}: ${readCode(each.type, names)},`);
        },
        '}),',
      );
    },
    '},',
  );
}

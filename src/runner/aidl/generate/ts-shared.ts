/** What all kinds of types have in TypeScript. */

import type { ConstantDescription } from '../types.ts';
import { type CodeText, docLines } from './text.ts';
import { constantCode, key, type TsNames } from './ts-types.ts';

export function writeDoc(code: CodeText, doc: string | undefined): void {
  const lines = docLines(doc?.replaceAll('*/', '* /'));
  if (lines.length === 0) return;
  if (lines.length === 1) code.line(`/** ${lines[0]} */`);
  else code.line('/**', ...lines.map((line) => (line === '' ? ' *' : ` * ${line}`)), ' */');
}

/** Constants stand beside the functions of a type's value, whose names they must not have. */
export function writeConstants(
  code: CodeText,
  constants: readonly ConstantDescription[],
  taken: readonly string[],
  names: TsNames,
): void {
  for (const { name, doc, type, value } of constants) {
    writeDoc(code, doc);
    code.line(
      `${key(taken.includes(name) ? `${name}_` : name)}: ${constantCode(type, value, names)},`,
    );
  }
}

/** AIDL files that exist only in a test. */

import { type Diagnostic, RecipeError } from '../../src/core/errors.ts';
import {
  type AidlProgram,
  type AidlSources,
  type CompileOptions,
  compileAidl,
} from '../../src/runner/aidl/compile.ts';
import { aidlSources, readAidlFiles } from '../../src/runner/aidl/files.ts';
import type { InterfaceDescription } from '../../src/runner/aidl/types.ts';

/** One folder that is searched for imports, by path. */
export function aidlFolder(files: Readonly<Record<string, string>>): AidlSources {
  return {
    find: (path) => {
      const text = Object.hasOwn(files, path) ? files[path] : undefined;
      return text === undefined ? [] : [{ path, text }];
    },
  };
}

/** What is wrong with the text of `x.aidl`; any other error than AIDL's is thrown. */
export function problemsOf(text: string, options: CompileOptions = {}): readonly Diagnostic[] {
  try {
    compileAidl([{ path: 'x.aidl', text }], options);
  } catch (error) {
    if (error instanceof RecipeError) return error.diagnostics;
    throw error;
  }
  return [];
}

/** The interfaces with every type, below `test/fixtures/aidl`. */
export function everyType(): AidlProgram {
  const files = readAidlFiles(['test/fixtures/aidl/dev/microbuild/test/ITypes.aidl']);
  return compileAidl(files, { sources: aidlSources([], files), checkFileNames: true });
}

/** An interface of a program by its simple name. */
export function interfaceOf(program: AidlProgram, name: string): InterfaceDescription {
  const found = [...program.all.values()].find((each) => each.name === name);
  if (found?.kind === 'interface') return found;
  throw new TypeError(`There is no interface ${name}`);
}

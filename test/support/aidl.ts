/** AIDL files that exist only in a test. */

import { type Diagnostic, RecipeError } from '../../src/core/errors.ts';
import {
  type AidlSources,
  type CompileOptions,
  compileAidl,
} from '../../src/runner/aidl/compile.ts';

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

/** The AIDL files of a bundle: below `interfaces/`, in the folders of their packages, as `import` names them. */

import { readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { BUNDLE_FILES } from '../../bundle/layout.ts';
import { RecipeError, type Diagnostic } from '../../core/errors.ts';
import { writeFileSynced } from '../../io/atomic-output.ts';
import { makeFolder } from '../../io/make-folder.ts';
import type { RecipePath } from '../../recipe/issues.ts';
import type { Recipe } from '../../recipe/parse.ts';
import { inputPath } from '../inputs.ts';
import type { RecipePayload } from '../payloads.ts';

/** Comments, which may speak of packages, too. */
const COMMENT = /\/\*[\s\S]*?\*\/|\/\/[^\n]*/g;

/** Where a file goes, from the package that it declares. */
export function interfaceFile(path: string, text: string): string {
  const [, name] = /^\s*package\s+([A-Za-z_]\w*(?:\s*\.\s*[A-Za-z_]\w*)*)\s*;/.exec(
    text.replace(COMMENT, ' '),
  ) ?? [undefined, ''];
  const folders = (name ?? '').split('.').map((part) => part.trim());
  return [BUNDLE_FILES.interfaces, ...folders, basename(path)]
    .filter((part) => part !== '')
    .join('/');
}

/**
 * Copies the files of all payloads into the bundle's folder. Payloads may share files.
 *
 * @returns for each payload, in order, the names of its files.
 * @throws {RecipeError} at a file that would take the place of another one.
 */
export async function copyInterfaces(
  recipe: Recipe,
  payloads: readonly RecipePayload[],
  folder: string,
): Promise<readonly (readonly string[])[]> {
  const written = new Map<string, { readonly bytes: Buffer; readonly path: string }>();
  const problems: Diagnostic[] = [];
  const copy = async (path: string, at: RecipePath): Promise<string> => {
    const bytes = await readFile(inputPath(recipe, path));
    const name = interfaceFile(path, bytes.toString('utf8'));
    const known = written.get(name);
    if (known !== undefined && !known.bytes.equals(bytes)) {
      problems.push(
        recipe.diagnosticAt(
          at,
          `"${path}" has the name and package of "${known.path}", and other content`,
          'Leave one of them out, or put it in another package',
        ),
      );
    } else if (known === undefined) {
      written.set(name, { bytes, path });
      await makeFolder(join(folder, dirname(name)));
      await writeFileSynced(join(folder, name), bytes);
    }
    return name;
  };
  const names: string[][] = [];
  for (const { data, at } of payloads) {
    const own: string[] = [];
    for (const [index, path] of data.interfaces.entries()) {
      own.push(await copy(path, [...at, 'interfaces', index]));
    }
    names.push([...new Set(own)]);
  }
  if (problems.length > 0) throw new RecipeError(problems);
  return names;
}

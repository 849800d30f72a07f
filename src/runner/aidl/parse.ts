/** Reads the text of one interface that needs no other file. */

import { UsageError } from '../../core/errors.ts';
import { compileAidl } from './compile.ts';
import type { InterfaceDescription } from './types.ts';

/**
 * @param file Named in errors.
 * @throws {RecipeError} with every problem of the text.
 * @throws {UsageError} when it declares another kind of type.
 */
export function parseAidl(source: string, file = 'interface.aidl'): InterfaceDescription {
  const { types } = compileAidl([{ path: file, text: source }]);
  const [only] = types;
  if (only?.kind === 'interface') return only;
  throw new UsageError('usage', `Cannot call ${file}: it declares no interface`, {
    hint: 'Name the .aidl file of the interface',
  });
}

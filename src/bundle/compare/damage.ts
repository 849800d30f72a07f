/** Tells that a format could not be read to its end, and of which of two files. */

import { FormatError } from '../../core/errors.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import { createRecorder, type Scope } from './recorder.ts';

type Compare = (scope: Scope, a: ByteSource, b: ByteSource) => Promise<void>;

/** The same bytes, of which a comparison does not see that they are. */
const other = (source: ByteSource): ByteSource => ({
  name: source.name,
  size: source.size,
  read: (offset, length) => source.read(offset, length),
  close: () => Promise.resolve(),
});

/** What is wrong with a file by itself: it is compared with itself, as it was with another. */
async function damageOf(scope: Scope, compare: Compare, source: ByteSource): Promise<string> {
  const { full, signal } = scope;
  const silent = createRecorder({ full, maxFindings: 0, ...(signal && { signal }) }, () =>
    Promise.resolve(),
  );
  try {
    await compare(silent.scope(''), source, other(source));
    return '';
  } catch (error) {
    if (error instanceof FormatError) return error.message;
    throw error;
  }
}

/** @param error What came of comparing both. */
export async function tellDamage(
  scope: Scope,
  compare: Compare,
  { a, b }: { readonly a: ByteSource; readonly b: ByteSource },
  error: FormatError,
): Promise<void> {
  const [x, y] = [await damageOf(scope, compare, a), await damageOf(scope, compare, b)];
  scope.found({
    level: 'structure',
    field: 'damage',
    ...(x !== '' && { a: x }),
    ...(y !== '' && { b: y }),
    // Of what is only read where two differ.
    ...(x === '' && y === '' && { excerpt: [error.message] }),
  });
}

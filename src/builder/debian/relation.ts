/**
 * Relations between packages: `a (>= 1.2) | b:any, c`.
 *
 * @see Debian policy 7.1, deb-control(5)
 */

import { FormatError } from '../../core/errors.ts';
import type { VersionOperator } from './version.ts';

/** One alternative of a relation, or one thing that is provided. */
export interface PackageRelation {
  readonly name: string;
  /** `any`, or the name of an architecture; undefined for the asking package's own. */
  readonly qualifier: string | undefined;
  readonly version: { readonly operator: VersionOperator; readonly than: string } | undefined;
}

/** Alternatives, of which one must be there, in order of preference. */
export type RelationGroup = readonly PackageRelation[];

const ALTERNATIVE =
  /^([a-z0-9][a-z0-9+.-]*)(?::([a-z0-9-]+))?\s*(?:\(\s*(<<|<=|=|>=|>>|<|>)\s*([A-Za-z0-9.+:~-]+)\s*\))?$/i;

/** What `<` and `>` have meant since before they were deprecated. */
const OLD_OPERATORS: Readonly<Record<string, VersionOperator>> = { '<': '<=', '>': '>=' };

/** More than any package has; bounds the work on a hostile index. */
const MAX_FIELD_LENGTH = 1 << 20;

/**
 * Parses the value of a field such as `Depends`.
 *
 * @throws {FormatError} `deb822` when it is not a list of relations.
 */
export function parseRelations(text: string): RelationGroup[] {
  if (text.length > MAX_FIELD_LENGTH) {
    throw new FormatError('deb822', 'too-large', `Cannot read relations of ${text.length} bytes`);
  }
  return text
    .split(',')
    .map((group) => group.trim())
    .filter((group) => group !== '')
    .map((group) => group.split('|').map((each) => parseAlternative(each.trim())));
}

function parseAlternative(text: string): PackageRelation {
  const [, name, qualifier, operator, than] = ALTERNATIVE.exec(text) ?? [];
  if (name === undefined) {
    throw new FormatError(
      'deb822',
      'bad-value',
      `Cannot read the relation ${JSON.stringify(text.slice(0, 100))}`,
    );
  }
  return {
    name,
    qualifier,
    version:
      operator === undefined || than === undefined
        ? undefined
        : { operator: OLD_OPERATORS[operator] ?? (operator as VersionOperator), than },
  };
}

/** The text of a group, in one form whatever form it had. */
export const formatGroup = (group: RelationGroup): string =>
  group
    .map(({ name, qualifier, version }) => {
      const qualified = qualifier === undefined ? name : `${name}:${qualifier}`;
      return version === undefined
        ? qualified
        : `${qualified} (${version.operator} ${version.than})`;
    })
    .join(' | ');

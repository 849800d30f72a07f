/**
 * The packages that configured repositories offer, and which version of each apt would take: the one with
 * the highest priority, of those the newest.
 *
 * @see apt_preferences(5)
 */

import { FormatError } from '../../core/errors.ts';
import type { LockedDeb } from '../../recipe/lockfile.ts';
import { firstMention, parseParagraph, type PackagesFile } from './packages-file.ts';
import { parseRelations, type PackageRelation, type RelationGroup } from './relation.ts';
import { compareVersions, versionSatisfies } from './version.ts';

/** An index as apt ranks it. */
export interface RankedIndex {
  readonly packages: PackagesFile;
  readonly priority: number;
}

/** Versions that the user's preferences single out. */
export interface PackagePin {
  readonly version: string;
  readonly priority: number;
}

/** A version of a package. */
export interface BinaryPackage {
  readonly deb: LockedDeb;
  /** `required`, `important`, ... */
  readonly priority: string;
  readonly source: string;
  readonly multiArch: string;
  /** What must be there, in the order of the fields: `Pre-Depends`, then `Depends`. */
  readonly needs: readonly { readonly field: string; readonly group: RelationGroup }[];
  readonly provides: readonly PackageRelation[];
  /** What must not be there: `Conflicts` and `Breaks`. */
  readonly conflicts: readonly { readonly field: string; readonly relation: PackageRelation }[];
}

export interface Universe {
  readonly architecture: string;
  /** The version that would be taken of a package; undefined where there is none. */
  candidate(name: string): BinaryPackage | undefined;
  /** The candidates that provide something, in the order of preference. */
  providers(name: string): readonly BinaryPackage[];
}

const PRIORITIES = ['required', 'important', 'standard', 'optional', 'extra'];

/**
 * @param architecture Debian's name for it; packages for others are passed over.
 * @param indexes In the order of configuration: of equal versions the first counts.
 */
export function createUniverse(
  architecture: string,
  indexes: readonly RankedIndex[],
  pins: ReadonlyMap<string, PackagePin> = new Map(),
): Universe {
  const candidates = new Map<string, BinaryPackage | undefined>();

  const findCandidate = (name: string): BinaryPackage | undefined => {
    let best:
      | { fields: ReadonlyMap<string, string>; version: string; priority: number }
      | undefined;
    const pin = pins.get(name);
    for (const { packages, priority: ofIndex } of indexes) {
      for (const { start, end } of packages.places.get(name) ?? []) {
        const fields = parseParagraph(packages.text.slice(start, end));
        const own = fields.get('architecture');
        const version = fields.get('version');
        if (version === undefined || (own !== architecture && own !== 'all')) continue;
        const priority = pin?.version === version ? pin.priority : ofIndex;
        if (priority <= 0) continue;
        const isBetter =
          best === undefined ||
          priority > best.priority ||
          (priority === best.priority && compareVersions(version, best.version) > 0);
        if (isBetter) best = { fields, version, priority };
      }
    }
    return best && toPackage(best.fields);
  };

  const universe: Universe = {
    architecture,
    candidate(name) {
      if (!candidates.has(name)) candidates.set(name, findCandidate(name));
      return candidates.get(name);
    },
    providers(name) {
      const names = new Set<string>();
      for (const { packages } of indexes) {
        for (const { start, end } of packages.providers.get(name) ?? []) {
          const provider = parseParagraph(packages.text.slice(start, end)).get('package');
          if (provider !== undefined) names.add(provider);
        }
      }
      return [...names]
        .flatMap((each) => universe.candidate(each) ?? [])
        .filter((each) => each.provides.some((provided) => provided.name === name))
        .sort(
          (a, b) =>
            rank(a) - rank(b) ||
            mention(b.deb.package) - mention(a.deb.package) ||
            (a.deb.package < b.deb.package ? -1 : 1),
        );
    },
  };
  // Of equals apt takes the one that it got to know last: so do we, and the choice is the same.
  const mentions = new Map<string, number>();
  const mention = (name: string): number => {
    const known = mentions.get(name);
    if (known !== undefined) return known;
    let before = 0;
    let found = Infinity;
    for (const { packages } of indexes) {
      found = before + firstMention(packages, name);
      if (found < Infinity) break;
      before += packages.text.length;
    }
    const place = found < Infinity ? found : -1;
    mentions.set(name, place);
    return place;
  };
  return universe;
}

const rank = ({ priority }: BinaryPackage): number => {
  const at = PRIORITIES.indexOf(priority);
  return at < 0 ? PRIORITIES.length : at;
};

/** @throws {FormatError} `deb822` naming the field that is missing or damaged. */
function toPackage(fields: ReadonlyMap<string, string>): BinaryPackage {
  const name = fields.get('package') ?? '';
  const get = (field: string): string => {
    const value = fields.get(field);
    if (value === undefined) throw damaged(name, `it has no ${field}`);
    return value;
  };
  const size = get('size');
  const sha256 = get('sha256');
  if (!/^[1-9]\d{0,10}$/.test(size)) throw damaged(name, 'its Size is no size');
  if (!/^[0-9a-f]{64}$/.test(sha256)) throw damaged(name, 'its SHA256 is no digest');
  const groups = (field: string): RelationGroup[] => {
    try {
      return parseRelations(fields.get(field.toLowerCase()) ?? '');
    } catch (cause) {
      throw damaged(name, `its ${field}: ${cause instanceof Error ? cause.message : ''}`);
    }
  };
  const flat = (field: string): PackageRelation[] => groups(field).flat();
  return {
    deb: {
      package: name,
      version: get('version'),
      architecture: get('architecture'),
      path: get('filename').replace(/^\.\//, ''),
      size: Number(size),
      sha256,
    },
    priority: fields.get('priority') ?? '',
    source: fields.get('source')?.split(' ', 1)[0] ?? name,
    multiArch: fields.get('multi-arch') ?? 'no',
    needs: ['Pre-Depends', 'Depends'].flatMap((field) =>
      groups(field).map((group) => ({ field, group })),
    ),
    provides: flat('Provides'),
    conflicts: ['Conflicts', 'Breaks'].flatMap((field) =>
      flat(field).map((relation) => ({ field, relation })),
    ),
  };
}

const damaged = (name: string, why: string): FormatError =>
  new FormatError('deb822', 'bad-value', `Cannot read the entry of package ${name}: ${why}`);

/**
 * Whether a package is what a relation asks for: by its own name, or because it provides it. What is
 * provided without a version satisfies no relation with one.
 */
export function satisfies(
  candidate: BinaryPackage,
  { name, qualifier, version }: PackageRelation,
  architecture: string,
): boolean {
  if (qualifier !== undefined && !fitsQualifier(candidate, qualifier, architecture)) return false;
  const fits = (offered: string | undefined): boolean =>
    version === undefined ||
    (offered !== undefined && versionSatisfies(offered, version.operator, version.than));
  if (candidate.deb.package === name) return fits(candidate.deb.version);
  return candidate.provides.some(
    (provided) => provided.name === name && fits(provided.version?.than),
  );
}

/** `:any` is for packages that say so; a package for all architectures counts as one for the guest's. */
function fitsQualifier(
  { deb, multiArch }: BinaryPackage,
  qualifier: string,
  architecture: string,
): boolean {
  if (qualifier === 'any') return multiArch === 'allowed';
  const own = deb.architecture === 'all' ? architecture : deb.architecture;
  return qualifier === own || (qualifier === 'native' && own === architecture);
}

/**
 * All packages that some packages depend on, each with who asked for it first.
 *
 * What leaves no choice is taken before anything that does, so that an alternative is chosen with all
 * that is there anyhow in view. Of alternatives the first counts that can be had and conflicts with nothing
 * that is there; of several providers the one with the highest priority, then the one that the indexes
 * name last, which is the one that apt takes. `Recommends` and packages that are essential to an installed system are not dependencies.
 *
 * Equal indexes give equal closures: nothing depends on time or on the machine.
 */

import type { LockedDeb } from '../../recipe/lockfile.ts';
import { formatGroup, type PackageRelation, type RelationGroup } from './relation.ts';
import { satisfies, type BinaryPackage, type Universe } from './universe.ts';

/** Who asked for a package, and with which words: `Depends: libc6 (>= 2.36)`. */
export type AskedBy = NonNullable<LockedDeb['askedBy']>;

export interface Member {
  readonly package: BinaryPackage;
  /** Undefined for those the closure began with. */
  readonly askedBy: AskedBy | undefined;
}

export interface Closure {
  /** By name, sorted. */
  readonly members: ReadonlyMap<string, Member>;
  /** What is wrong with it, in sentences; empty when it can be installed. */
  readonly problems: readonly string[];
}

interface Need {
  readonly asker: string;
  readonly field: string;
  readonly group: RelationGroup;
}

/** More than any image of Debian's holds; bounds the work on a hostile index. */
const MAX_MEMBERS = 20_000;

/** @param roots Names of packages that the universe has. */
export function closureOf(roots: readonly BinaryPackage[], universe: Universe): Closure {
  const { architecture } = universe;
  const members = new Map<string, Member>();
  const problems: string[] = [];
  const needs: Need[] = [];
  const open: Need[] = [];

  const add = (found: BinaryPackage, askedBy: AskedBy | undefined): void => {
    const { package: name } = found.deb;
    if (members.has(name) || members.size >= MAX_MEMBERS) return;
    members.set(name, { package: found, askedBy });
    needs.push(...found.needs.map(({ field, group }) => ({ asker: name, field, group })));
  };
  const choose = (need: Need, found: BinaryPackage): void =>
    add(found, { package: need.asker, relation: `${need.field}: ${formatGroup(need.group)}` });
  const isThere = ({ group }: Need): boolean =>
    group.some((relation) => findMember(relation) !== undefined);
  const findMember = (relation: PackageRelation): BinaryPackage | undefined => {
    const own = members.get(relation.name)?.package;
    if (own !== undefined && satisfies(own, relation, architecture)) return own;
    for (const { package: each } of members.values()) {
      if (each.provides.length > 0 && satisfies(each, relation, architecture)) return each;
    }
    return undefined;
  };
  /** Everything that would do, in order of preference. */
  const choices = ({ group }: Need): BinaryPackage[] => {
    const found = new Map<string, BinaryPackage>();
    for (const relation of group) {
      const own = universe.candidate(relation.name);
      for (const each of [
        ...(own === undefined ? [] : [own]),
        ...universe.providers(relation.name),
      ]) {
        if (satisfies(each, relation, architecture)) found.set(each.deb.package, each);
      }
    }
    return [...found.values()];
  };

  for (const root of roots) add(root, undefined);
  for (;;) {
    const need = needs.shift();
    if (need !== undefined) {
      if (isThere(need)) continue;
      const [only, another] = choices(need);
      if (only === undefined) problems.push(whyAbsent(need, universe));
      else if (another === undefined) choose(need, only);
      else open.push(need);
      continue;
    }
    const undecided = open.shift();
    if (undecided === undefined) break;
    if (isThere(undecided)) continue;
    const [first, ...others] = choices(undecided);
    const fitting = [first, ...others].find(
      (each) => each !== undefined && conflictsOf(each, members, architecture).length === 0,
    );
    const chosen = fitting ?? first;
    if (chosen !== undefined) choose(undecided, chosen);
  }
  for (const { package: each } of members.values()) {
    problems.push(...conflictsOf(each, members, architecture, true));
  }
  const byName = [...members].sort(([a], [b]) => (a < b ? -1 : 1));
  return { members: new Map(byName), problems };
}

/** What a package and the members say against each other. */
function conflictsOf(
  found: BinaryPackage,
  members: ReadonlyMap<string, Member>,
  architecture: string,
  ownOnly = false,
): string[] {
  const against = (a: BinaryPackage, b: BinaryPackage): string[] =>
    a.deb.package === b.deb.package
      ? []
      : a.conflicts
          .filter(({ relation }) => satisfies(b, relation, architecture))
          .map(
            ({ field, relation }) =>
              `${a.deb.package} ${a.deb.version} and ${b.deb.package} ${b.deb.version} exclude each other (${field}: ${formatGroup([relation])})`,
          );
  return [...members.values()].flatMap(({ package: other }) => [
    ...against(found, other),
    ...(ownOnly ? [] : against(other, found)),
  ]);
}

function whyAbsent({ asker, field, group }: Need, universe: Universe): string {
  const relation = `${field}: ${formatGroup(group)}`;
  const offered = group.flatMap(({ name }) => {
    const own = universe.candidate(name);
    return own === undefined ? [] : [`${name} ${own.deb.version}`];
  });
  return `${asker} asks for what no repository has (${relation})${offered.length === 0 ? '' : `: there is ${offered.join(', ')}`}`;
}

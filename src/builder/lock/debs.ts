/** The packages of a lock: those that the recipe names, and what they depend on where it asks for that. */

import { RecipeError, UsageError } from '../../core/errors.ts';
import type { Lock, LockedDeb } from '../../recipe/lockfile.ts';
import { closureOf } from '../debian/closure.ts';
import type { BinaryPackage, Universe } from '../debian/universe.ts';
import type { Want } from './wants.ts';

type DebWant = Extract<Want, { section: 'debs' }>;

/**
 * Pins the wanted packages; the indexes are only read when one of them is stale. Closures share packages, so
 * that all of them are found anew when one is.
 *
 * @throws {RecipeError} at the line that asks for a package that cannot be had, with all such lines.
 */
export async function lockDebs(
  wants: readonly DebWant[],
  before: Lock,
  isStale: (want: DebWant) => boolean,
  openIndex: () => Promise<Universe>,
): Promise<Record<string, LockedDeb>> {
  const renewClosures = wants.some((want) => want.dependencies && isStale(want));
  const stale = wants.filter((want) => isStale(want) || (want.dependencies && renewClosures));
  const debs: Record<string, LockedDeb> = {};
  for (const want of wants) {
    if (stale.includes(want)) continue;
    const known = before.debs[want.name];
    if (known === undefined)
      throw new UsageError('lock', `microbuild.lock does not pin ${want.name}`);
    debs[want.name] = want.dependencies ? known : withoutClosure(known);
    for (const name of want.dependencies ? (known.dependencies ?? []) : []) {
      const member = before.debs[name];
      if (member !== undefined) debs[name] ??= member;
    }
  }
  if (stale.length === 0) return debs;

  const universe = await openIndex();
  const problems = stale.flatMap((want) => {
    const found = resolveDeb(want, universe);
    if (typeof found === 'string') return [want.recipe.diagnosticAt(want.at, found, HINT)];
    debs[want.name] = found.deb;
    if (!want.dependencies) return [];
    const closure = closureOf([found], universe);
    if (closure.problems.length > 0) {
      return closure.problems.map((problem) =>
        want.recipe.diagnosticAt(want.at, `Cannot lock what ${want.name} depends on: ${problem}`),
      );
    }
    const { package: root } = found.deb;
    const members = [...closure.members].filter(([name]) => name !== root);
    debs[want.name] = { ...found.deb, dependencies: members.map(([name]) => name) };
    for (const [name, { package: member, askedBy }] of members) {
      // What the recipe names stands for itself.
      if (wants.some((each) => each.name === name)) continue;
      debs[name] ??= {
        ...member.deb,
        ...(askedBy && { askedBy: named(askedBy, root, want.name) }),
      };
    }
    return [];
  });
  if (problems.length > 0) throw new RecipeError(problems);
  for (const want of wants) {
    if (debs[want.name]?.dependencies?.some((name) => debs[name] === undefined) === true) {
      throw new UsageError('lock', `microbuild.lock lost what ${want.name} depends on`);
    }
  }
  return debs;
}

const HINT = 'Check the name with apt-cache search';

const withoutClosure = ({ dependencies: _dropped, ...deb }: LockedDeb): LockedDeb => deb;

/** In the lock, what a name of the recipe led to goes by that name. */
const named = (
  askedBy: NonNullable<LockedDeb['askedBy']>,
  root: string,
  name: string,
): NonNullable<LockedDeb['askedBy']> =>
  askedBy.package === root ? { ...askedBy, package: name } : askedBy;

/** The package that a name leads to, or why there is none. */
function resolveDeb({ name, follow }: DebWant, universe: Universe): BinaryPackage | string {
  const found = universe.candidate(name);
  if (found === undefined) {
    const providers = universe.providers(name).map(({ deb }) => deb.package);
    return providers.length === 0
      ? `Cannot lock ${name}: no configured repository has it for ${universe.architecture}`
      : `Cannot lock ${name}: it is no package itself; these provide it: ${providers.join(', ')}`;
  }
  if (follow === 'exact') return found;
  // linux-image-cloud-amd64 names linux-image-6.1.0-49-cloud-amd64, which holds the kernel.
  const kernel = found.needs
    .flatMap(({ group }) => group)
    .find((relation) => /^linux-image-\d/.test(relation.name));
  if (kernel === undefined) return found;
  return (
    universe.candidate(kernel.name) ??
    `Cannot lock ${name}: it leads to ${kernel.name}, which no configured repository has`
  );
}

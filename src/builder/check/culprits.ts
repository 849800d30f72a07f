/** Which of the surroundings make a build come out otherwise. */

import { rm } from 'node:fs/promises';
import { comparePaths } from '../../bundle/compare/compare.ts';
import type { Comparison, Finding } from '../../bundle/compare/finding.ts';
import { BUNDLE_FILES } from '../../bundle/layout.ts';
import { bisect } from './bisect.ts';
import {
  buildOnce,
  isFailed,
  type BuildSite,
  type BuiltBundle,
  type FailedBuild,
} from './build-once.ts';
import { decode, planTrials } from './decode.ts';
import type { Culprit, CulpritName } from './report.ts';
import type { VariationName } from './variation.ts';

export interface CulpritSearch {
  readonly site: BuildSite;
  /** Those that are really there. */
  readonly variations: readonly VariationName[];
  /** A cache that a build without variations has left. */
  readonly cache: string;
  /** How the first build and the varied one differ. */
  readonly comparison: Comparison;
  /** Around each build, to tell of it. */
  readonly step: <T>(title: string, work: () => Promise<T>) => Promise<T>;
}

/** Names that one culprit is told with. */
const MOST_PATHS = 20;

/** Noon of tomorrow: files that exist are older, which programs such as make expect. */
const frozenTime = (): number => (Math.floor(Date.now() / 86_400_000) + 1) * 86_400 + 43_200 + 754;

/** What is the same difference in two comparisons. */
const keyOf = ({ member, path, field }: Finding): string => JSON.stringify([member, path, field]);

const pathOf = ({ member, path }: Finding): string =>
  [member, path].filter((each) => each !== '').join('!');

const DESCRIPTIONS: ReadonlySet<string> = new Set([
  BUNDLE_FILES.manifest,
  BUNDLE_FILES.manifestSignature,
  BUNDLE_FILES.buildRecord,
]);

/** Findings that nothing else explains, those that say why first; all where there is none such. */
export function ownFindings({ findings }: Pick<Comparison, 'findings'>): readonly Finding[] {
  const own = findings.filter(({ nature }) => nature === 'origin');
  // Places and padding follow from what is in them; what the bundle says of itself, from what it is.
  const contents = own.filter(
    ({ level, member }) => level !== 'structure' && !DESCRIPTIONS.has(member),
  );
  const others = own.filter(({ member }) => member === BUNDLE_FILES.buildRecord);
  const found = [contents, others, own].find((some) => some.length > 0) ?? findings;
  const rank = ({ cause }: Finding): number => (cause === undefined ? 1 : 0);
  return found.toSorted((a, b) => rank(a) - rank(b));
}

/**
 * Builds again with some of the variations at a time, the clock standing still, and tells which differences come with
 * which of them.
 */
export async function findCulprits(search: CulpritSearch): Promise<Culprit[]> {
  const { site, variations, cache, comparison, step } = search;
  const frozenAt = site.faketime === undefined ? undefined : frozenTime();
  let count = 0;
  const build = (on: readonly VariationName[]): Promise<BuiltBundle | FailedBuild> => {
    count += 1;
    const name = `trial-${count}`;
    return step(`Trial ${count}: ${on.join(', ') || 'nothing varied'}`, () =>
      buildOnce(site, { name, on: new Set(on), frozenAt, cache }),
    );
  };
  const reference = await build([]);
  // It has been built before: what fails now fails by chance.
  if (isFailed(reference)) return [failureCulprit(['nothing'], reference)];
  const failures: { on: readonly VariationName[]; failed: FailedBuild }[] = [];
  const differences = async (
    on: readonly VariationName[],
  ): Promise<ReadonlyMap<string, Finding>> => {
    const built = await build(on);
    if (isFailed(built)) {
      failures.push({ on, failed: built });
      return new Map();
    }
    const found = await compareTo(reference, built);
    await rm(built.path, { recursive: true, force: true });
    return found;
  };

  const chance = await differences([]);
  const plan = planTrials(variations.length);
  const trials: ReadonlyMap<string, Finding>[] = [];
  for (let trial = 0; trial < plan.trials; trial += 1) {
    const on = variations.filter((_, index) => plan.codes[index]?.includes(trial) === true);
    trials.push(await differences(on));
  }
  const culprits = new Map<string, { names: readonly CulpritName[]; found: Finding[] }>();
  const blame = (names: readonly CulpritName[], finding: Finding): void => {
    const entry = culprits.get(names.join()) ?? { names, found: [] };
    entry.found.push(finding);
    culprits.set(names.join(), entry);
  };
  for (const finding of chance.values()) blame([chanceName(finding)], finding);

  const unclear: {
    finding: Finding;
    seen: ReadonlySet<number>;
    candidates: readonly VariationName[];
  }[] = [];
  const keys = new Set(
    trials.flatMap((found) => [...found.keys()]).filter((key) => !chance.has(key)),
  );
  for (const key of keys) {
    const seen = new Set(trials.flatMap((found, trial) => (found.has(key) ? [trial] : [])));
    const finding = trials.find((found) => found.has(key))?.get(key) as Finding;
    const decoded = decode(plan, seen);
    if (decoded.kind === 'none') blame(['nothing'], finding);
    else if (decoded.kind === 'one') blame([variations[decoded.thing] as VariationName], finding);
    else {
      const candidates = decoded.candidates.map((thing) => variations[thing] as VariationName);
      unclear.push({ finding, seen, candidates });
    }
  }
  // Where several change one thing, each is tried alone, once for all that it may explain.
  const alone = new Map<VariationName, ReadonlyMap<string, Finding>>();
  for (const { finding, seen, candidates } of unclear) {
    const known = candidates.filter((name) => culprits.has(name));
    const covered = new Set(known.flatMap((name) => plan.codes[variations.indexOf(name)] ?? []));
    if (covered.size === seen.size) continue;
    const found: VariationName[] = [];
    for (const name of candidates) {
      const changes = alone.get(name) ?? (await differences([name]));
      alone.set(name, changes);
      if (changes.has(keyOf(finding))) found.push(name);
    }
    for (const name of found) blame([name], finding);
    if (found.length === 0) blame(candidates, finding);
  }
  if (failures.length > 0) culprits.delete('nothing');
  const explained = [...culprits.values()].flatMap(({ found }) =>
    found.map((finding) => keyOf(finding)),
  );
  const rest = ownFindings(comparison).filter((finding) => !explained.includes(keyOf(finding)));
  // Only where the clock went on: such as how long something took.
  if (culprits.size === 0 && failures.length === 0)
    for (const finding of rest) blame(['time'], finding);
  return [
    ...[...culprits.values()].map(({ names, found }) => culpritOf(names, found)),
    ...failures.slice(0, 1).map(({ on, failed }) => failureCulprit(on, failed)),
  ];
}

/** Which variations make a build fail. */
export async function findFailures(search: Omit<CulpritSearch, 'comparison'>): Promise<Culprit[]> {
  const { site, variations, cache, step } = search;
  let count = 0;
  const failures = new Map<string, FailedBuild>();
  const groups = await bisect(variations, async (group) => {
    count += 1;
    const name = `trial-${count}`;
    const built = await step(`Trial ${count}: ${group.join(', ')}`, () =>
      buildOnce(site, { name, on: new Set(group), cache }),
    );
    if (isFailed(built)) failures.set(group.join(), built);
    else await rm(built.path, { recursive: true, force: true });
    return isFailed(built);
  });
  return groups.flatMap((group) => {
    const failed = failures.get(group.join());
    return failed === undefined ? [] : [failureCulprit(group, failed)];
  });
}

async function compareTo(
  reference: BuiltBundle,
  built: BuiltBundle,
): Promise<ReadonlyMap<string, Finding>> {
  if (JSON.stringify(reference.files) === JSON.stringify(built.files)) return new Map();
  const comparison = await comparePaths(reference.path, built.path);
  return new Map(ownFindings(comparison).map((finding) => [keyOf(finding), finding]));
}

/** Nothing was varied, but some time went by. */
const chanceName = ({ cause }: Finding): CulpritName =>
  cause?.name === 'mtime' || cause?.name === 'timestamp' ? 'time' : 'nothing';

function culpritOf(variations: readonly CulpritName[], found: readonly Finding[]): Culprit {
  const paths = [...new Set(found.map((finding) => pathOf(finding)))].slice(0, MOST_PATHS);
  const [first] = found;
  return { variations, ...(first && { first }), paths };
}

const failureCulprit = (variations: readonly CulpritName[], failed: FailedBuild): Culprit => ({
  variations,
  failure: failed.message,
  paths: [],
});

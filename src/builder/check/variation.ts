/** What `check` varies between builds: surroundings that must not show in a bundle. */

export const VARIATIONS = [
  {
    name: 'build-path',
    what: 'folders of recipe, build, cache and output, with names of another length',
  },
  { name: 'clock', what: 'date, weekday and time of day: 370 days and some hours later' },
  { name: 'time-zone', what: 'TZ, from the present one to UTC+14' },
  { name: 'locale', what: 'LC_ALL and LANG: Turkish' },
  { name: 'umask', what: 'umask 077, and the modes of files that were checked out under it' },
  { name: 'user', what: 'number of user and group, and their names in the environment' },
  { name: 'home', what: 'the home folder' },
  { name: 'host-name', what: 'name of the machine' },
  { name: 'cores', what: 'number of processor cores and threads' },
  { name: 'file-order', what: 'order in which folders list their files' },
  { name: 'environment', what: 'other variables of the environment, their number and order' },
  { name: 'open-files', what: 'how many files a process may open' },
] as const satisfies readonly { name: string; what: string }[];

export type VariationName = (typeof VARIATIONS)[number]['name'];

export const variationNames: readonly VariationName[] = VARIATIONS.map(({ name }) => name);

/** A variation, and whether it was really there. */
export interface AppliedVariation {
  readonly name: VariationName;
  readonly on: boolean;
  /** Why it is off. */
  readonly why?: string;
  /** What a process saw in the first build, and in the other ones. */
  readonly a?: string;
  readonly b?: string;
}

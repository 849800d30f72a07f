/** Collects what a comparison finds, as much as is asked for, and counts the rest. */

import type { ByteSource } from '../../io/byte-source.ts';
import type { FileKind } from '../file-kind.ts';
import type {
  Cause,
  CauseName,
  CompareOptions,
  Comparison,
  Explained,
  Finding,
  InputPlace,
  Level,
  Nature,
  PackageChange,
  PrivilegeChange,
  SizeChange,
} from './finding.ts';

/** Compares two files of which nothing but the bytes is known. */
export type CompareContent = (
  scope: Scope,
  a: ByteSource,
  b: ByteSource,
  options?: ContentOptions,
) => Promise<void>;

export interface ContentOptions {
  /** Both are taken as this, whatever they begin with. */
  readonly as?: FileKind;
  /** Of what no format explains. Default `origin`. */
  readonly nature?: Nature;
}

/** What a finding says beyond its place, which the scope knows. */
export type Found = Omit<Finding, 'member' | 'path' | 'nature' | 'change'> & {
  readonly nature?: Finding['nature'];
  readonly change?: Finding['change'];
};

/** Where the comparison is: findings are told to it. */
export interface Scope {
  readonly member: string;
  readonly path: string;
  /** How many formats have been opened inside each other. */
  readonly depth: number;
  readonly full: boolean;
  readonly signal: AbortSignal | undefined;
  /** Where what is compared here comes from. */
  readonly input: InputPlace | undefined;
  found(found: Found): void;
  /** Compares what is here by its format. */
  content(a: ByteSource, b: ByteSource, options?: ContentOptions): Promise<void>;
  /** How many findings there are so far, everywhere. */
  total(): number;
  privilege(change: Omit<PrivilegeChange, 'member' | 'path'>): void;
  /** A file or folder of what is compared here. */
  at(path: string, input?: InputPlace): Scope;
  /** What is inside of what is compared here. */
  inside(part: string): Scope;
}

export interface Recorder {
  readonly findings: readonly Finding[];
  scope(member: string, path?: string): Scope;
  size(change: SizeChange): void;
  package(change: PackageChange): void;
  /** Another version stands at a place of the recipe. */
  version(input: InputPlace, versions: { readonly a: string; readonly b: string }): void;
  finish(what: Pick<Comparison, 'a' | 'b' | 'kind' | 'measurements' | 'why'>): Comparison;
}

const MAX_FINDINGS = 5000;
/** More names say no more of why they differ. */
const MAX_PATHS = 20;
const MAX_LISTED = 1000;

/**
 * @param locate Where a part comes from, of what has no origin of its own.
 */
export function createRecorder(
  options: CompareOptions,
  compare: CompareContent,
  locate: (member: string, path: string) => InputPlace | undefined = () => undefined,
): Recorder {
  const { maxFindings = MAX_FINDINGS, full = false, signal } = options;
  const findings: Finding[] = [];
  const counts: Record<Level, number> = {
    bundle: 0,
    member: 0,
    content: 0,
    structure: 0,
    bytes: 0,
  };
  const causes = new Map<CauseName, number>();
  const explained = new Map<string, { entry: Explained; paths: string[]; findings: number }>();
  const versions = new Map<string, { readonly a: string; readonly b: string }>();
  const sizes: SizeChange[] = [];
  const packages: PackageChange[] = [];
  const privileges: PrivilegeChange[] = [];
  let total = 0;
  let origins = 0;

  const explain = (input: InputPlace, path: string): void => {
    const key = input.at;
    const known = explained.get(key) ?? {
      entry: { input, findings: 0, paths: [] },
      paths: [],
      findings: 0,
    };
    explained.set(key, known);
    known.findings += 1;
    if (known.paths.length < MAX_PATHS && known.paths.at(-1) !== path) known.paths.push(path);
  };
  const blame = (cause: Cause): void => {
    causes.set(cause.name, (causes.get(cause.name) ?? 0) + 1);
  };

  const scopeOf = (
    member: string,
    path: string,
    depth: number,
    input: InputPlace | undefined,
  ): Scope => {
    const scope: Scope = {
      content: (a, b, how) => compare(scope, a, b, how),
      member,
      path,
      depth,
      full,
      signal,
      input,
      total: () => total,
      found({ nature = 'origin', change = 'changed', ...rest }) {
        const place = rest.input ?? input ?? locate(member, path);
        const finding: Finding = {
          nature,
          change,
          member,
          path,
          ...rest,
          ...(place !== undefined && { input: place }),
        };
        total += 1;
        counts[finding.level] += 1;
        if (nature === 'origin') origins += 1;
        if (finding.cause !== undefined) blame(finding.cause);
        if (finding.input !== undefined && nature === 'origin') explain(finding.input, path);
        if (findings.length < maxFindings) findings.push(finding);
      },
      privilege(change) {
        if (privileges.length < MAX_LISTED) privileges.push({ member, path, ...change });
      },
      at: (name, place) =>
        scopeOf(member, path === '' ? name : `${path}!${name}`, depth, place ?? input),
      inside: (part) => scopeOf(member, [path, part].filter(Boolean).join('!'), depth + 1, input),
    };
    return scope;
  };

  return {
    findings,
    scope: (member, path = '') => scopeOf(member, path, 0, undefined),
    size: (change) => void sizes.push(change),
    package: (change) => {
      if (packages.length < MAX_LISTED) packages.push(change);
    },
    version: (input, both) => void versions.set(input.at, both),
    finish: (what) => ({
      schemaVersion: 1,
      a: what.a,
      b: what.b,
      kind: what.kind,
      same: total === 0,
      sameUnsigned: origins === 0,
      measurements: what.measurements,
      why: what.why,
      explained: [...explained.values()]
        .map(({ entry, paths, findings: count }) => {
          const both = versions.get(entry.input.at);
          return {
            input: entry.input,
            ...(both !== undefined && { versions: both }),
            findings: count,
            paths,
          };
        })
        .sort((x, y) => y.findings - x.findings || (x.input.at < y.input.at ? -1 : 1)),
      packages,
      sizes,
      privileges,
      causes: [...causes]
        .map(([name, count]) => ({ name, findings: count }))
        .sort((x, y) => y.findings - x.findings || (x.name < y.name ? -1 : 1)),
      findings,
      counts,
    }),
  };
}

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
  Reason,
  SizeChange,
} from './finding.ts';

/**
 * Whether what is told as a consequence is one: that digests are those of what they are said to be of.
 *
 * @returns why it is none, of each side; undefined when all of it holds.
 */
export type Proof = () => Promise<{ readonly a?: string; readonly b?: string } | undefined>;

/** How much was told so far, everywhere. */
export interface Told {
  readonly total: number;
  /** But consequences. */
  readonly explained: number;
  /** But consequences and signatures. */
  readonly origins: number;
}

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
  /** Of what differs by itself. Default `origin`. */
  readonly nature?: Nature;
  /** Of a consequence. */
  readonly proof?: Proof | undefined;
}

/** What a finding says beyond its place, which the scope knows. */
export type Found = Omit<Finding, 'member' | 'path' | 'nature' | 'change'> & {
  readonly nature?: Finding['nature'];
  readonly change?: Finding['change'];
  /** Of a consequence. Without one it must follow from an origin. */
  readonly proof?: Proof | undefined;
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
  told(): Told;
  privilege(change: Omit<PrivilegeChange, 'member' | 'path'>): void;
  /** A file or folder of what is compared here. */
  at(path: string, input?: InputPlace): Scope;
  /** What is inside of what is compared here. */
  inside(part: string): Scope;
  /** The same place, where an origin is no more than this. */
  as(nature: Nature, proof?: Proof): Scope;
  /** Of two bundles: that in both of them each link of the chain of trust holds, and the manifest says so. */
  readonly chain: Proof | undefined;
}

export interface Recorder {
  scope(member: string, path?: string): Scope;
  size(change: SizeChange): void;
  package(change: PackageChange): void;
  /** Another version stands at a place of the recipe. */
  version(input: InputPlace, versions: { readonly a: string; readonly b: string }): void;
  /**
   * @param what `why` is asked once all findings are there.
   */
  finish(
    what: Pick<Comparison, 'a' | 'b' | 'kind' | 'measurements'> & {
      readonly why?: (findings: readonly Finding[]) => readonly Reason[];
    },
  ): Promise<Comparison>;
}

/** What makes a comparison of wholes other than one of parts. */
interface Whole {
  /** Where a part comes from, of what has no origin of its own. */
  readonly locate?: (member: string, path: string) => InputPlace | undefined;
  /** Must hold when nothing differs but signatures and what follows. */
  readonly chain?: Proof;
}

interface Here {
  readonly member: string;
  readonly path: string;
  readonly depth: number;
  readonly input: InputPlace | undefined;
  readonly nature: Nature;
  readonly proof: Proof | undefined;
}

const MAX_FINDINGS = 5000;
/** More names say no more of why they differ. */
const MAX_PATHS = 20;
const MAX_LISTED = 1000;
const MAX_UNPROVEN = 100_000;

/** A recorder of one comparison. */
export function createRecorder(
  options: CompareOptions,
  compare: CompareContent,
  { locate = () => undefined, chain }: Whole = {},
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
  /** Consequences, as long as there is nothing that they could follow from. */
  let unproven: { readonly finding: Finding; readonly proof: Proof | undefined }[] = [];
  let total = 0;
  let explanations = 0;
  let asOrigins = 0;
  /** Findings whose nature is `origin` in the end. */
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

  const count = (finding: Finding, proof: Proof | undefined): void => {
    const { nature, input, path } = finding;
    if (nature === 'origin') {
      origins += 1;
      unproven = [];
      if (input !== undefined) explain(input, path);
    } else if (nature === 'consequence' && origins === 0) {
      // So many, and nothing that they follow from.
      if (unproven.length >= MAX_UNPROVEN) origins += 1;
      else unproven.push({ finding, proof });
    }
  };
  const add = (finding: Finding, proof?: Proof): void => {
    total += 1;
    counts[finding.level] += 1;
    if (finding.cause !== undefined) blame(finding.cause);
    count(finding, proof);
    if (findings.length < maxFindings) findings.push(finding);
  };

  const scopeOf = (here: Here): Scope => {
    const { member, path, depth, input } = here;
    const scope: Scope = {
      content: (a, b, how) => compare(scope, a, b, how),
      member,
      path,
      depth,
      full,
      signal,
      input,
      told: () => ({ total, explained: explanations, origins: asOrigins }),
      found({ nature = 'origin', change = 'changed', proof, ...rest }) {
        if (nature === 'origin') asOrigins += 1;
        if (nature !== 'consequence') explanations += 1;
        const place = rest.input ?? input ?? locate(member, path);
        const said = {
          nature: nature === 'origin' ? here.nature : nature,
          change,
          member,
          path,
          ...rest,
        };
        add({ ...said, ...(place !== undefined && { input: place }) }, proof ?? here.proof);
      },
      privilege(change) {
        if (privileges.length < MAX_LISTED) privileges.push({ member, path, ...change });
      },
      at: (name, place) =>
        scopeOf({
          ...here,
          path: path === '' ? name : `${path}!${name}`,
          input: place ?? input,
        }),
      inside: (part) =>
        scopeOf({ ...here, path: [path, part].filter(Boolean).join('!'), depth: depth + 1 }),
      as: (nature, proof) => scopeOf({ ...here, nature, proof }),
      chain,
    };
    return scope;
  };

  const findingOf = ({ finding }: { readonly finding: Finding }): Finding => finding;
  /** Nothing differs by itself: then what follows must be proven to follow, from keys and signatures. */
  const settle = async (): Promise<void> => {
    if (origins > 0 || total === 0) return;
    const alone = new Set(unproven.filter(({ proof }) => proof === undefined).map(findingOf));
    const proofs = new Set([chain, ...unproven.map(({ proof }) => proof)]);
    for (const finding of alone) count({ ...finding, nature: 'origin' }, undefined);
    for (const [index, finding] of findings.entries()) {
      if (alone.has(finding)) findings[index] = { ...finding, nature: 'origin' };
    }
    if (alone.size > 0) return;
    for (const proof of proofs) {
      const why = await proof?.();
      if (why === undefined) continue;
      add({
        level: 'bundle',
        nature: 'origin',
        change: 'changed',
        member: '',
        path: '',
        field: 'chain of trust',
        ...why,
      });
    }
  };

  return {
    scope: (member, path = '') =>
      scopeOf({
        member,
        path,
        depth: 0,
        input: undefined,
        nature: 'origin',
        proof: undefined,
      }),
    size: (change) => void sizes.push(change),
    package: (change) => {
      if (packages.length < MAX_LISTED) packages.push(change);
    },
    version: (input, both) => void versions.set(input.at, both),
    async finish({ a, b, kind, measurements, why }) {
      await settle();
      return {
        schemaVersion: 1,
        a,
        b,
        kind,
        same: total === 0,
        sameUnsigned: origins === 0,
        measurements,
        why: why?.(findings) ?? [],
        explained: [...explained.values()]
          .map(({ entry, paths, findings: number }) => {
            const both = versions.get(entry.input.at);
            return {
              input: entry.input,
              ...(both !== undefined && { versions: both }),
              findings: number,
              paths,
            };
          })
          .sort((x, y) => y.findings - x.findings || (x.input.at < y.input.at ? -1 : 1)),
        packages,
        sizes,
        privileges,
        causes: [...causes]
          .map(([name, number]) => ({ name, findings: number }))
          .sort((x, y) => y.findings - x.findings || (x.name < y.name ? -1 : 1)),
        findings,
        counts,
      };
    },
  };
}

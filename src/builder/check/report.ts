/** What `check` has to say: a stable form, schema version 1. */

import type { Comparison, Finding, Level } from '../../bundle/compare/finding.ts';
import type { AppliedVariation, VariationName } from './variation.ts';

/**
 * - `nothing`: builds in the same surroundings differ: chance, or how many threads came first
 * - `time`: the time that goes by between builds
 */
export type CulpritName = VariationName | 'nothing' | 'time';

/** A variation, or several that it takes together, and what it changes. */
export interface Culprit {
  readonly variations: readonly CulpritName[];
  /** The first of its differences. */
  readonly first?: Finding;
  /** What the build said, when it fails. */
  readonly failure?: string;
  /** Structural paths of what differs by itself, at most twenty. */
  readonly paths: readonly string[];
}

export interface CheckReport {
  readonly schemaVersion: 1;
  /** Of the recipe. */
  readonly name: string;
  readonly reproducible: boolean;
  /** Differences by level; all zero when there are none. */
  readonly levels: Readonly<Record<Level, number>>;
  readonly variations: readonly AppliedVariation[];
  /** The first difference. */
  readonly first?: Finding;
  /** When a varied build fails and the first one does not. */
  readonly failure?: string;
  /** By variation, when they were looked for. */
  readonly culprits?: readonly Culprit[];
  /** SHA-256 of what was built, by file; of the first build. */
  readonly files: Readonly<Record<string, string>>;
  readonly inputs: {
    /** SHA-256 of each file of the recipe. */
    readonly recipe: readonly { readonly path: string; readonly sha256: string }[];
    /** Of the lock file; null without one. */
    readonly lock: string | null;
    /** What the recipe names, as `build.json` has it. */
    readonly named: readonly {
      readonly at: string;
      readonly name: string;
      readonly digest?: string;
    }[];
  };
  readonly toolchain: {
    readonly microbuild: string;
    readonly node: string;
    readonly platform: string;
    /** SHA-256 of the guest's files. */
    readonly guest: string;
  };
  /** How many were made, those that looked for culprits included. */
  readonly builds: number;
  readonly milliseconds: number;
  /** Where the outputs are, when they are kept: the first one, then the one that differs, or the last. */
  readonly kept?: readonly string[];
  readonly comparison?: Comparison;
}

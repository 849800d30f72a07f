/** What a comparison finds, and how it is said: the types that `diff`, `check` and others share. */

/** From far to near: where a difference shows. */
export const levels = ['bundle', 'member', 'content', 'structure', 'bytes'] as const;

/**
 * - `bundle`: a file of the bundle is there or not, or what the bundle says of itself
 * - `member`: a file, disk, partition or entry as a whole
 * - `content`: what is signed, without the signatures: files, their owners, modes and times, descriptors
 * - `structure`: how it is laid out: places, padding, order, compression, identifiers
 * - `bytes`: bytes that no format explains
 */
export type Level = (typeof levels)[number];

/**
 * - `origin`: nothing else that differs explains it
 * - `consequence`: it is a digest, size or place of something else that differs
 * - `signature`: a key, a certificate or a signature; gone when both are signed by the same
 */
export type Nature = 'origin' | 'consequence' | 'signature';

/** Likely causes of outputs that are not reproducible. */
export const causeNames = [
  'mtime',
  'order',
  'compression-level',
  'line-endings',
  'build-path',
  'random-uuid',
  'random-salt',
  'build-id',
  'timestamp',
  'hostname',
  'user',
  'locale',
  'time-zone',
  'umask',
  'owner',
  'core-count',
  'toolchain',
  'kernel-version',
  'version',
  'alignment',
  'key',
] as const;
export type CauseName = (typeof causeNames)[number];

export interface Cause {
  readonly name: CauseName;
  /** What was seen that speaks for it, in one line. */
  readonly evidence: string;
}

/** Where in a recipe something comes from. Lines count from 1. */
export interface InputPlace {
  /** Of the resolved recipe: `partitions.system.contents[3]`. */
  readonly at: string;
  readonly file: string;
  readonly line: number;
  /** What stands there: `deb busybox-static 1.35`. */
  readonly name: string;
}

export interface Finding {
  readonly level: Level;
  readonly nature: Nature;
  readonly change: 'added' | 'removed' | 'changed';
  /** The file of the bundle; of two single files, the empty text. */
  readonly member: string;
  /** From the member inwards, parts separated by `!`: `system_a!/etc/motd`. */
  readonly path: string;
  /** What of it: `content`, `mode`, `root_digest`. Empty for the whole. */
  readonly field: string;
  /** Values as people read them. Absent on the side that has none. */
  readonly a?: string;
  readonly b?: string;
  /** The first byte that differs, in the thing that `path` names. */
  readonly offset?: number;
  /** A few lines that show the difference; those of the first side begin with `-`, of the other with `+`. */
  readonly excerpt?: readonly string[];
  readonly cause?: Cause;
  readonly input?: InputPlace;
}

/** A number that both sides have: a digest or a size. */
export interface Measurement {
  readonly name: string;
  readonly a: string | undefined;
  readonly b: string | undefined;
}

/** One link of an answer to "why is this digest another?": what it is, and what it comes from. */
export interface Reason {
  readonly title: string;
  readonly a?: string;
  readonly b?: string;
  readonly input?: InputPlace;
  readonly cause?: Cause;
  readonly because: readonly Reason[];
}

/** How much of what differs comes from one place of the recipe. */
export interface Explained {
  readonly input: InputPlace;
  /** When what stands there has another version now. */
  readonly versions?: { readonly a: string; readonly b: string };
  readonly findings: number;
  /** Names of some files, in order. */
  readonly paths: readonly string[];
}

/** A package or another pinned input. */
export interface PackageChange {
  readonly change: 'added' | 'removed' | 'changed';
  readonly kind: string;
  readonly name: string;
  readonly a?: string;
  readonly b?: string;
}

/** A size in bytes that differs or could. */
export interface SizeChange {
  /** The bundle's file; empty for all together. */
  readonly member: string;
  readonly a: number;
  readonly b: number;
}

/** A file that can do more than its caller: set-id bits or file capabilities. */
export interface PrivilegeChange {
  readonly change: 'added' | 'removed' | 'changed';
  readonly member: string;
  readonly path: string;
  readonly a?: string;
  readonly b?: string;
}

export interface Comparison {
  readonly schemaVersion: 1;
  /** Names of what was compared, as they were given. */
  readonly a: string;
  readonly b: string;
  /** `bundle`, or the format of the two files. */
  readonly kind: string;
  readonly same: boolean;
  /** Whether they are the same but for keys, signatures and what follows from these. */
  readonly sameUnsigned: boolean;
  readonly measurements: readonly Measurement[];
  readonly why: readonly Reason[];
  readonly explained: readonly Explained[];
  readonly packages: readonly PackageChange[];
  readonly sizes: readonly SizeChange[];
  readonly privileges: readonly PrivilegeChange[];
  /** Causes with how many findings speak for each, most first. */
  readonly causes: readonly { readonly name: CauseName; readonly findings: number }[];
  readonly findings: readonly Finding[];
  /** All that were found, by level: `findings` may hold fewer. */
  readonly counts: Readonly<Record<Level, number>>;
}

export interface CompareOptions {
  /** Reads all bytes instead of relying on digests that the bundles state. Default false. */
  readonly full?: boolean;
  /** At most this many findings are kept; all are counted. Default 5000. */
  readonly maxFindings?: number;
  readonly signal?: AbortSignal;
}

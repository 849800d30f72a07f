/** What a check of an image finds. */

import type { FormatError } from '../../core/errors.ts';

/** Something that is wrong with an image. */
export interface ErofsProblem {
  /** A `warning` is unusual and harmless: no reader of an image comes to harm or to other files by it. */
  readonly severity: 'error' | 'warning';
  readonly code: FormatError['code'];
  /** The first name of the inode, or undefined for what has none. */
  readonly path: string | undefined;
  /** In the image, in bytes. */
  readonly offset: number | undefined;
  readonly field: string | undefined;
  readonly message: string;
}

export interface ErofsReport {
  /** In the order in which they were found. */
  readonly problems: readonly ErofsProblem[];
  /** Problems beyond those that are kept. */
  readonly more: number;
  readonly inodes: number;
  readonly names: number;
  /** Bytes of files, decompressed. */
  readonly dataSize: number;
}

export interface ProblemList {
  readonly problems: readonly ErofsProblem[];
  readonly more: number;
  add(problem: Omit<ErofsProblem, 'severity'>, severity?: ErofsProblem['severity']): void;
  addError(path: string | undefined, error: FormatError, offset?: number): void;
}

/** A list of bounded length. */
const LIMIT = 1000;

export function createProblemList(): ProblemList {
  const problems: ErofsProblem[] = [];
  let more = 0;
  const add: ProblemList['add'] = (problem, severity = 'error') => {
    if (problems.length < LIMIT) problems.push({ severity, ...problem });
    else more += 1;
  };
  return {
    problems,
    get more() {
      return more;
    },
    add,
    addError(path, { code, offset, field, message }, fallback) {
      // The list has offsets of its own, and all of it is about an image.
      const bare = message.replace(/^Cannot read EROFS: /, '').replace(/ \(at offset \d+\)$/, '');
      add({ code, path, offset: offset ?? fallback, field, message: bare });
    },
  };
}

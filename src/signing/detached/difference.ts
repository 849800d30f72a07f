/** What is told of two things that should be the same but for their signatures. */

/** One difference, named by what differs. */
export interface ContentDifference {
  /** An entry, a descriptor, a field. */
  readonly path: string;
  /** Without the path: `its content differs`. */
  readonly what: string;
}

export interface Comparison {
  /** In content, signatures aside; empty when both are the same. */
  readonly differences: readonly ContentDifference[];
  /** Parts of the signatures that differ; empty when both carry the same. */
  readonly signatureDifferences: readonly ContentDifference[];
}

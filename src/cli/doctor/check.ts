/** What `microbuild doctor` looks at, one answer each. */

export interface Check {
  readonly name: string;
  /** What needs it. */
  readonly for: string;
  /**
   * `ok`, `missing` when a recipe cannot be built or run without it, `limited` when all works, but slower or without
   * something that few need.
   */
  readonly status: 'ok' | 'limited' | 'missing';
  /** What was found, in a few words. */
  readonly found: string;
  /** What to do about it: a command or a sentence. Always there unless `ok`. */
  readonly fix?: string;
}

/** What checks are made in. */
export interface DoctorContext {
  readonly packageRoot: string;
  readonly env: NodeJS.ProcessEnv;
}

export type Checker = (context: DoctorContext) => Promise<Check>;

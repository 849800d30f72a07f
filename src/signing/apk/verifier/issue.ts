/** Findings of APK verification, collected all at once and by signer. */

import { issueMessages } from './issue-messages.ts';

export type IssueName = keyof typeof issueMessages;

/** What a finding must be told: nothing, or one object. */
export type IssueParameters<N extends IssueName> = Parameters<(typeof issueMessages)[N]>;

/** Errors refuse; warnings and information do not. */
export type IssueSeverity = 'error' | 'warning' | 'info';

/** The schemes in the order of their age. A source stamp says where an APK comes from, not whose it is. */
export type SchemeName = 'v1' | 'v2' | 'v3' | 'v3.1' | 'v4' | 'stamp';

/** Whose signature a finding is about. */
export interface IssueSigner {
  readonly scheme: SchemeName;
  /** Place among the signers of the scheme, counted from 0. */
  readonly index: number;
  /** Of JAR signers: the name of the signature file, such as `CERT`. */
  readonly name?: string;
}

export interface Issue {
  readonly severity: IssueSeverity;
  /** Stable. */
  readonly name: IssueName;
  /** For people. */
  readonly message: string;
  /** For programs. */
  readonly parameters: Readonly<Record<string, string | number>>;
  /** Absent when the finding is about the APK. */
  readonly signer?: IssueSigner;
}

export interface IssueLog {
  /** In the order in which they were found; of a signer's log: that signer's only. */
  readonly issues: readonly Issue[];
  has(severity: IssueSeverity): boolean;
  error<N extends IssueName>(name: N, ...parameters: IssueParameters<N>): void;
  warning<N extends IssueName>(name: N, ...parameters: IssueParameters<N>): void;
  info<N extends IssueName>(name: N, ...parameters: IssueParameters<N>): void;
  /** A log of one signer, whose findings are also in this one. */
  of(signer: IssueSigner): IssueLog;
  /** A log of one step, whose findings are also in this one. */
  step(): IssueLog;
}

/** @param parent Receives every finding as well. */
export function createIssueLog(signer?: IssueSigner, parent?: (issue: Issue) => void): IssueLog {
  const issues: Issue[] = [];
  const counts = { error: 0, warning: 0, info: 0 };
  const collect = (issue: Issue): void => {
    issues.push(issue);
    counts[issue.severity] += 1;
    parent?.(issue);
  };
  const add =
    (severity: IssueSeverity) =>
    <N extends IssueName>(name: N, ...parameters: IssueParameters<N>): void => {
      // Each name's text takes exactly its parameters; the compiler cannot follow the union.
      const text = issueMessages[name] as (parameters?: object) => string;
      const [given] = parameters as readonly [object?];
      collect({
        severity,
        name,
        message: text(given),
        parameters: { ...given },
        ...(signer !== undefined && { signer }),
      });
    };
  return {
    issues,
    has: (severity) => counts[severity] > 0,
    error: add('error'),
    warning: add('warning'),
    info: add('info'),
    of: (child) => createIssueLog(child, collect),
    step: () => createIssueLog(undefined, collect),
  };
}

/** What `inspect` shows of any format: named fields with their place in the file, and parts. */

export interface DumpField {
  readonly name: string;
  readonly value: string | number | boolean | bigint;
  /** Offset from the start of the file, in bytes, when the field stands at one place. */
  readonly offset?: number;
}

export interface DumpNode {
  /** What this part is, such as `vbmeta header` or `hashtree descriptor "system"`. */
  readonly name: string;
  readonly fields: readonly DumpField[];
  readonly children: readonly DumpNode[];
}

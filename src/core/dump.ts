/** What `inspect` shows of any format: named fields with their place in the file, and parts. */

export interface DumpField {
  readonly name: string;
  readonly value: string | number | boolean | bigint;
  /** Offset from the start of the file, in bytes, when the field stands at one place. */
  readonly offset?: number;
  /** How many bytes it takes there. */
  readonly size?: number;
}

export interface DumpNode {
  /** What this part is, such as `vbmeta header` or `hashtree descriptor "system"`. */
  readonly name: string;
  /** Where the part stands, and how long it is, in bytes, when that is one run. */
  readonly offset?: number;
  readonly size?: number;
  /** Why the rest of this part cannot be shown. */
  readonly error?: { readonly code: string; readonly message: string; readonly offset?: number };
  readonly fields: readonly DumpField[];
  readonly children: readonly DumpNode[];
}

/**
 * The errors of microbuild. A class answers *who must act*, its `code` answers *what happened*;
 * tests and scripts match the code, people read the message.
 *
 * Messages start upper case, have no final period and name the action:
 * `Cannot read EROFS superblock: magic is 0x0, expected 0xe0f5e1e2`.
 */

import type { verificationPages } from './verification-pages.ts';

/** What every error of ours carries. Never thrown itself. */
export abstract class MicrobuildError extends Error {
  abstract readonly code: string;
  /** What the reader can do about it: one sentence or a command. */
  readonly hint: string | undefined;

  constructor(message: string, options: { cause?: unknown; hint?: string | undefined } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.hint = options.hint;
  }
}

/** One problem of a recipe, where it stands and what to write instead. Lines and columns count from 1. */
export interface Diagnostic {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly message: string;
  readonly hint?: string;
  /** The line of the file that holds the problem, for the excerpt. */
  readonly source?: string;
  /** How many columns the caret underlines. */
  readonly length?: number;
}

/** The user edits the recipe (or a file it names). Exit code 2. */
export class RecipeError extends MicrobuildError {
  readonly code = 'recipe';
  readonly diagnostics: readonly Diagnostic[];

  constructor(diagnostics: readonly Diagnostic[], options: { cause?: unknown } = {}) {
    const first = diagnostics[0];
    if (first === undefined) throw new TypeError('A RecipeError needs at least one diagnostic');
    super(`${first.file}:${first.line}:${first.column}: ${first.message}`, {
      ...options,
      hint: first.hint,
    });
    this.diagnostics = diagnostics;
  }
}

export type UsageErrorCode = 'usage' | 'key' | 'input' | 'output' | 'lock';

/** The command line, a key file, an input or the lock is not usable as given. Exit code 2. */
export class UsageError extends MicrobuildError {
  readonly code: UsageErrorCode;

  constructor(
    code: UsageErrorCode,
    message: string,
    options: { cause?: unknown; hint?: string } = {},
  ) {
    super(message, options);
    this.code = code;
  }
}

export type FormatErrorCode =
  | 'truncated'
  | 'bad-magic'
  | 'bad-version'
  | 'bad-value'
  | 'bad-checksum'
  | 'out-of-range'
  | 'too-large'
  | 'trailing-data'
  | 'duplicate'
  | 'unsupported';

/** The bytes are not what they claim to be. Exit code 3 when verifying, 1 elsewhere. */
export class FormatError extends MicrobuildError {
  readonly code: FormatErrorCode;
  /** The format, in lower case, as our folder is named: `erofs`, `avb`, `apk`. */
  readonly format: string;
  /** Where in the input, in bytes, when known. */
  readonly offset: number | undefined;
  readonly field: string | undefined;

  constructor(
    format: string,
    code: FormatErrorCode,
    message: string,
    where: { offset?: number; field?: string; cause?: unknown; hint?: string } = {},
  ) {
    const at = where.offset === undefined ? '' : ` (at offset ${where.offset})`;
    super(`${message}${at}`, where);
    this.format = format;
    this.code = code;
    this.offset = where.offset;
    this.field = where.field;
  }
}

/** Its own codes, and those of the format errors that it wraps. */
export type VerificationCode = FormatErrorCode | keyof typeof verificationPages;

/**
 * The bytes are well formed, the trust is not. Exit code 3.
 *
 * `link` names the broken link of the chain of trust (ARCHITECTURE.md): `kernel`, `initrd`, `vbmeta`,
 * `system`, `payload-signature`, `payload-certificate`, `idsig`, `manifest`, ...
 */
export class VerificationError extends MicrobuildError {
  readonly code: VerificationCode;
  readonly link: string;
  readonly expected: string | undefined;
  readonly actual: string | undefined;

  constructor(
    link: string,
    code: VerificationCode,
    message: string,
    detail: { expected?: string; actual?: string; cause?: unknown; hint?: string } = {},
  ) {
    super(message, detail);
    this.link = link;
    this.code = code;
    this.expected = detail.expected;
    this.actual = detail.actual;
  }
}

/** An external program failed. Exit code 1. */
export class ToolError extends MicrobuildError {
  readonly code = 'tool';
  readonly argv: readonly string[];
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly stderrTail: string;

  constructor(
    message: string,
    detail: {
      argv: readonly string[];
      exitCode: number | null;
      signal: string | null;
      stderrTail: string;
      cause?: unknown;
      hint?: string;
    },
  ) {
    super(message, detail);
    this.argv = detail.argv;
    this.exitCode = detail.exitCode;
    this.signal = detail.signal;
    this.stderrTail = detail.stderrTail;
  }
}

/** Something this machine lacks: `missing` says what, the hint how to get it. Exit code 4. */
export class EnvironmentError extends MicrobuildError {
  readonly code = 'environment';
  readonly missing: string;

  constructor(missing: string, message: string, options: { cause?: unknown; hint?: string } = {}) {
    super(message, options);
    this.missing = missing;
  }
}

/** Errors as people and as programs read them. */

import {
  EnvironmentError,
  FormatError,
  MicrobuildError,
  RecipeError,
  ToolError,
  VerificationError,
  type Diagnostic,
} from '../../core/errors.ts';
import { isSystemError } from '../exit-code.ts';
import { printable, type Terminal } from '../terminal.ts';

/** The text of an error, with the excerpt of the recipe, what a tool said, and what to do. */
export function renderError(error: unknown, terminal: Terminal, verbose: boolean): string {
  const lines: string[] = [];
  const label = terminal.style(['red', 'bold'], 'error:');
  if (error instanceof RecipeError) {
    lines.push(...error.diagnostics.map((each) => renderDiagnostic(each, label, terminal)));
  } else if (error instanceof MicrobuildError || isSystemError(error)) {
    lines.push(`${label} ${printable(error.message)}`);
    if (error instanceof VerificationError) {
      if (error.expected !== undefined) lines.push(`  expected ${printable(error.expected)}`);
      if (error.actual !== undefined) lines.push(`  found    ${printable(error.actual)}`);
    }
    if (error instanceof ToolError && error.stderrTail.trim() !== '') {
      lines.push(
        ...error.stderrTail
          .trim()
          .split('\n')
          .slice(-12)
          .map((line) => `  | ${printable(line)}`),
      );
    }
    if (error instanceof MicrobuildError && error.hint !== undefined) {
      lines.push(`  ${terminal.style('cyan', 'help:')} ${error.hint}`);
    }
  } else {
    lines.push(`${label} This is a bug in microbuild; please report it with these lines`);
    lines.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
  }
  if (verbose && error instanceof Error) {
    for (let cause = error.cause; cause instanceof Error; cause = cause.cause) {
      lines.push(`  caused by ${printable(cause.message)}`);
    }
    if (error instanceof MicrobuildError) lines.push(error.stack ?? '');
  }
  return lines.join('\n');
}

function renderDiagnostic(diagnostic: Diagnostic, label: string, terminal: Terminal): string {
  const { file, line, column, message, hint, source } = diagnostic;
  const lines = [`${file}:${line}:${column}: ${label} ${printable(message)}`];
  if (source !== undefined && source !== '') {
    const shown = printable(source.slice(0, 160));
    const room = Math.max(1, shown.length - column + 1);
    const caret = '^'.repeat(Math.min(diagnostic.length ?? 1, room));
    const gutter = ' '.repeat(String(line).length);
    lines.push(`  ${line} | ${shown}`);
    lines.push(`  ${gutter} | ${' '.repeat(column - 1)}${terminal.style('red', caret)}`);
  }
  if (hint !== undefined) lines.push(`  ${terminal.style('cyan', 'help:')} ${printable(hint)}`);
  return lines.join('\n');
}

/** The fields of an error, for `--json`. */
export function errorToJson(error: unknown, exitCode: number): Record<string, unknown> {
  const base = {
    exitCode,
    type: error instanceof MicrobuildError ? error.name : 'InternalError',
    message: error instanceof Error ? error.message : String(error),
  };
  if (!(error instanceof MicrobuildError)) return base;
  return {
    ...base,
    code: error.code,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    ...(error instanceof RecipeError ? { diagnostics: error.diagnostics } : {}),
    ...(error instanceof VerificationError
      ? { link: error.link, expected: error.expected, actual: error.actual }
      : {}),
    ...(error instanceof FormatError
      ? { format: error.format, offset: error.offset, field: error.field }
      : {}),
    ...(error instanceof EnvironmentError ? { missing: error.missing } : {}),
    ...(error instanceof ToolError
      ? { argv: error.argv, toolExitCode: error.exitCode, stderr: error.stderrTail }
      : {}),
  };
}

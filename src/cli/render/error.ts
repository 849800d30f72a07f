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
import { freeBytes } from '../../io/room.ts';
import { describeErrno } from '../../io/system-error.ts';
import { isSystemError } from '../exit-code.ts';
import { Interruption } from '../interruption.ts';
import { formatSize, printable, type Terminal } from '../terminal.ts';

/** The text of an error, with the excerpt of the recipe, what a tool said, and what to do. */
export function renderError(error: unknown, terminal: Terminal, verbose: boolean): string {
  const lines: string[] = [];
  const label = terminal.style(['red', 'bold'], 'error:');
  if (error instanceof RecipeError) {
    lines.push(...error.diagnostics.map((each) => renderDiagnostic(each, label, terminal)));
  } else if (error instanceof MicrobuildError || isSystemError(error)) {
    const message = error instanceof MicrobuildError ? error.message : systemMessage(error);
    lines.push(`${label} ${printable(message)}`);
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
    const hint = error instanceof MicrobuildError ? error.hint : systemHint(error);
    if (hint !== undefined) lines.push(helpLine(hint, terminal));
    const name = nameOf(error);
    if (name !== undefined) {
      lines.push(terminal.style('dim', `  microbuild explain ${printable(name)}`));
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

/** What `microbuild explain` takes for an error, where it can say more than the message does. */
function nameOf(error: MicrobuildError | NodeJS.ErrnoException): string | undefined {
  if (error instanceof FormatError) return `${error.format}/${error.code}`;
  if (error instanceof VerificationError) return `${error.link}/${error.code}`;
  const code = error instanceof MicrobuildError ? error.code : systemCode(error);
  // The message says all of it.
  if (code === 'usage') return undefined;
  return /^[A-Za-z][A-Za-z-]*$/.test(code) ? code : undefined;
}

/** What can be done about errors of the system; each has a page in core/error-pages.ts. */
export const SYSTEM_HINTS: Readonly<Record<string, string>> = {
  ENOENT: 'Check the name; folders of outputs must exist',
  ENOTDIR: 'Check the path: what stands in front of a slash must be a folder',
  EISDIR: 'Name a file, not a folder',
  ELOOP: 'Check the links on the way to it: they lead in a circle',
  EACCES: 'Change its permissions, or those of a folder above it',
  EPERM: 'Do it as its owner, or as root',
  EROFS: 'Choose a place that can be written',
  ENOSPC: 'Make room, or choose a place on another file system',
  EDQUOT: 'Make room, ask for a larger quota, or choose a place on another file system',
  EFBIG: 'Check sizes and offsets: no file can be that long here',
  ENAMETOOLONG:
    'Choose a shorter name, or a place nearer to the root: a name has at most 255 bytes, a path 4095',
  EMFILE: 'Raise the limit of open files: ulimit -n 4096',
  ENFILE: 'End other programs: the whole system has too many files open',
  ENOMEM: 'End other programs, or use a machine with more memory',
  EIO: 'The device failed: look at dmesg, and copy what you need to another one',
  EUCLEAN: 'The file system is damaged: unmount it and run fsck',
  ESTALE: 'The file server forgot this file: mount it again, then run this again',
  EBUSY: 'End what uses it, then run this again',
  ETXTBSY: 'End the program that runs from it, then run this again',
};

function systemHint(error: NodeJS.ErrnoException & { dest?: string }): string | undefined {
  const { path, dest } = error;
  const code = systemCode(error);
  const hint = SYSTEM_HINTS[code];
  const place = dest ?? path;
  const free = code === 'ENOSPC' && place !== undefined ? freeBytes(place) : undefined;
  // By now what was half-written is gone: so much there is to begin with.
  return free === undefined ? hint : `${hint}; ${formatSize(free)} are free there now`;
}

/** A file in the making is called by the name that it would have got. */
const UNFINISHED =
  /(^|\/)\.([^/]+)\.(?:new|old|undo)-(?:[0-9a-f]{12}\.\d+\.\d+-)?[0-9a-f]{12}(?:\.files)?(?=$|\/)/;

/** Its name, such as `ENOSPC`: also of those that Node has no name for. */
const systemCode = ({ code = '', errno }: NodeJS.ErrnoException): string =>
  errno !== undefined && !/^E[A-Z0-9]+$/.test(code) ? describeErrno(errno)[0] : code;

/** An error of the system in the order of ours: what, why. Node has them the other way round. */
function systemMessage(error: NodeJS.ErrnoException & { dest?: string }): string {
  const { code: given = '', syscall = '', path, dest, message, errno } = error;
  const name = (dest ?? path)?.replace(UNFINISHED, '$1$2');
  const code = systemCode(error);
  const start = `${given}: `;
  const end = message.indexOf(`, ${syscall}`);
  const isUsual = message.startsWith(start) && end >= 0;
  if (!isUsual && errno === undefined) return message;
  const isNamed = isUsual && given === code;
  const why = isNamed ? message.slice(start.length, end) : describeErrno(errno ?? 0)[1];
  // That of a program names it, and the path as well.
  if (syscall.startsWith('spawn')) return `Cannot run ${path ?? 'a program'}: ${why} (${code})`;
  return `Cannot ${syscall}${name === undefined ? '' : ` ${name}`}: ${why} (${code})`;
}

/** What to do, which may be several lines: what a program printed stands below. */
const helpLine = (hint: string, terminal: Terminal): string =>
  `  ${terminal.style('cyan', 'help:')} ${hint.split('\n').map(printable).join('\n')}`;

/** A problem of a recipe, with the line that holds it. */
export function renderDiagnostic(
  diagnostic: Diagnostic,
  label: string,
  terminal: Terminal,
): string {
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
  if (hint !== undefined) lines.push(helpLine(hint, terminal));
  return lines.join('\n');
}

/** The fields of an error, for `--json`. */
export function errorToJson(error: unknown, exitCode: number): Record<string, unknown> {
  if (isSystemError(error) && !(error instanceof MicrobuildError)) {
    const { path } = error;
    const hint = systemHint(error);
    return {
      exitCode,
      type: 'SystemError',
      message: systemMessage(error),
      code: systemCode(error),
      ...(hint === undefined ? {} : { hint }),
      ...(path === undefined ? {} : { path }),
    };
  }
  if (error instanceof Interruption) {
    return { exitCode, type: 'Interruption', code: 'interrupted', message: error.message };
  }
  const base = {
    exitCode,
    type: error instanceof MicrobuildError ? error.name : 'InternalError',
    message: error instanceof Error ? error.message : String(error),
  };
  if (!(error instanceof MicrobuildError)) return { ...base, code: 'bug' };
  const name = nameOf(error);
  return {
    ...base,
    code: error.code,
    ...(name !== undefined && { explain: name }),
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    ...(error instanceof RecipeError ? { ...placeOf(error), diagnostics: error.diagnostics } : {}),
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

/** Where the first problem of a recipe is. */
const placeOf = ({ diagnostics: [first] }: RecipeError): object =>
  first === undefined ? {} : { file: first.file, line: first.line, column: first.column };

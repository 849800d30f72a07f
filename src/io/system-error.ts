/** Errors of the operating system that did not come through Node, in the form that Node gives them. */

import { getSystemErrorMap } from 'node:util';

/** Errors of Linux that Node has no names for: it calls them "Unknown system error". */
const UNNAMED: ReadonlyMap<number, readonly [code: string, message: string]> = new Map([
  [74, ['EBADMSG', 'bad message']],
  [116, ['ESTALE', 'stale file handle']],
  [117, ['EUCLEAN', 'structure needs cleaning']],
  [122, ['EDQUOT', 'disk quota exceeded']],
  [123, ['ENOMEDIUM', 'no medium found']],
]);

/** The name of an error, such as `ENOSPC`, and what it says, also where Node knows neither. */
export function describeErrno(errno: number): readonly [code: string, message: string] {
  const positive = Math.abs(errno);
  return (
    UNNAMED.get(positive) ??
    getSystemErrorMap().get(-positive) ?? [`E${positive}`, `error ${positive} of the system`]
  );
}

/** Why something failed, for a message that says what: `no such file or directory (ENOENT)`. */
export function reasonOf(error: unknown): string {
  const { errno, message } = error as NodeJS.ErrnoException;
  if (errno === undefined) return message;
  const [code, meaning] = describeErrno(errno);
  return `${meaning} (${code})`;
}

/** Whether there is no room for what is to be written: on the disk, or for this user. */
export function isFull(error: unknown): boolean {
  const { errno } = error as NodeJS.ErrnoException;
  return errno !== undefined && ['ENOSPC', 'EDQUOT'].includes(describeErrno(errno)[0]);
}

/** @param errno As C has it: positive. @param more What else is known of it. */
export function systemError(
  errno: number,
  syscall: string,
  path?: string,
  more?: string,
): NodeJS.ErrnoException {
  const [code, message] = describeErrno(errno);
  const at = path === undefined ? '' : ` '${path}'`;
  const error: NodeJS.ErrnoException = new Error(
    `${code}: ${message}${more === undefined ? '' : `: ${more}`}, ${syscall}${at}`,
  );
  error.code = code;
  error.errno = -errno;
  error.syscall = syscall;
  if (path !== undefined) error.path = path;
  return error;
}

/** For what costs only time when it cannot be done, as where a disk is full. @throws what is no error of the system. */
export function passSystemErrors(error: unknown): void {
  if ((error as NodeJS.ErrnoException).syscall === undefined) throw error;
}

/**
 * Says where it was, when an error of the system does not: those of an open file name none.
 *
 * @returns the same error; others as they are.
 */
export function placed(error: unknown, path: string): unknown {
  const { syscall, path: known, dest } = error as NodeJS.ErrnoException & { dest?: string };
  if (
    error instanceof Error &&
    syscall !== undefined &&
    known === undefined &&
    dest === undefined
  ) {
    (error as NodeJS.ErrnoException).path = path;
  }
  return error;
}

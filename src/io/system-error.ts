/** Errors of the operating system that did not come through Node, in the form that Node gives them. */

import { getSystemErrorMap } from 'node:util';

/** @param errno As C has it: positive. @param more What else is known of it. */
export function systemError(
  errno: number,
  syscall: string,
  path?: string,
  more?: string,
): NodeJS.ErrnoException {
  const [code, message] = getSystemErrorMap().get(-errno) ?? [`E${errno}`, 'unknown error'];
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

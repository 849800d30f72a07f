/** Errors of the operating system that did not come through Node, in the form that Node gives them. */

import { getSystemErrorMap } from 'node:util';

/** @param errno As C has it: positive. */
export function systemError(errno: number, syscall: string, path?: string): NodeJS.ErrnoException {
  const [code, message] = getSystemErrorMap().get(-errno) ?? [`E${errno}`, 'unknown error'];
  const at = path === undefined ? '' : ` '${path}'`;
  const error: NodeJS.ErrnoException = new Error(`${code}: ${message}, ${syscall}${at}`);
  error.code = code;
  error.errno = -errno;
  error.syscall = syscall;
  if (path !== undefined) error.path = path;
  return error;
}

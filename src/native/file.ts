/** Files that the native library reads itself: what may be asked of it, and what its failures mean. */

import { getSystemErrorMap } from 'node:util';
import { FormatError } from '../core/errors.ts';
import type { FileRange } from '../verity/block-hasher.ts';

const ERROR_TRUNCATED = -3;
/** The system's `errno` is this less the result. */
const ERROR_SYSTEM = -1000;

/** @throws {RangeError} when no file can have such a range. */
export function checkFileRange({ fd, offset, length }: FileRange): void {
  const isSize = (value: number): boolean => Number.isSafeInteger(value) && value >= 0;
  if (!isSize(fd) || fd > 0x7fff_ffff || !isSize(offset) || !isSize(length)) {
    throw new RangeError(`Cannot read ${length} bytes at ${offset} of file descriptor ${fd}`);
  }
}

/**
 * @param result What a function that reads files returned.
 * @throws an error like those of node:fs when the system failed, {FormatError} `truncated` when a file
 *   was too short.
 */
export function checkRead(result: unknown, { offset, length }: Omit<FileRange, 'fd'>): void {
  if (result === 0) return;
  if (result === ERROR_TRUNCATED) {
    const message = `Cannot read ${length} bytes: the file ends before`;
    throw new FormatError('file', 'truncated', message, { offset });
  }
  if (typeof result === 'number' && result < ERROR_SYSTEM) {
    const errno = result - ERROR_SYSTEM;
    const [code, message] = getSystemErrorMap().get(errno) ?? [`E${-errno}`, 'unknown error'];
    throw Object.assign(new Error(`${code}: ${message}, read`), { errno, code, syscall: 'read' });
  }
  throw new RangeError(`The native library refused to read: ${String(result)}`);
}

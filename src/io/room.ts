/** Whether there is room on a file system for what is about to be written there. */

import { statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import { systemError } from './system-error.ts';

const ENOSPC = 28;

/** Bytes that this user may still write where a path is, or will be; undefined where nobody can say. */
export function freeBytes(path: string): number | undefined {
  for (let at = path; ; at = dirname(at)) {
    try {
      const { bavail, bsize } = statfsSync(at);
      return bavail * bsize;
    } catch {
      if (dirname(at) === at) return undefined;
    }
  }
}

/** @throws the system's error for a full disk, as writing so much would, but before hours of work. */
export function expectRoom(path: string, size: number): void {
  const free = freeBytes(path);
  if (free === undefined || free >= size) return;
  throw systemError(ENOSPC, 'write', path, `${size} bytes are needed, ${free} are free`);
}

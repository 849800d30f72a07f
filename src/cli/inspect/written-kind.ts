/** Which text is a recipe or a lock: apart from what reads them, whose parsers most inspections do without. */

import { basename } from 'node:path';
import { LOCK_FILE } from '../../recipe/names.ts';
import { MAX_SOURCE_BYTES } from '../../recipe/source-text.ts';

export const writtenKinds = ['recipe', 'lock'] as const;
export type WrittenKind = (typeof writtenKinds)[number];

/** A lock is known by its name, a recipe by its version. */
export function writtenKind(path: string, bytes: Uint8Array): WrittenKind | undefined {
  if (basename(path) === LOCK_FILE) return 'lock';
  if (!/\.ya?ml$/.test(path) || bytes.length > MAX_SOURCE_BYTES) return undefined;
  return /^apiVersion\s*:|^(?:extends|include|profiles|partitions|payload)\s*:/m.test(
    Buffer.from(bytes).toString('latin1'),
  )
    ? 'recipe'
    : undefined;
}

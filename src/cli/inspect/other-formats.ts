/** What `inspect` knows beside the formats of bundles: recipes, locks, and entries of the cache. */

import type { DumpNode } from '../../core/dump.ts';
import { UsageError } from '../../core/errors.ts';
import { openFileSource } from '../../io/byte-source.ts';
import { dumpMessage, MAX_MESSAGE_SIZE, messageKind, messageKinds } from './cache-message.ts';
import { writtenKind, writtenKinds, type WrittenKind } from './written-kind.ts';

export const otherKinds = [...writtenKinds, ...messageKinds] as const;
export type OtherKind = (typeof otherKinds)[number];

const isWritten = (kind: OtherKind): kind is WrittenKind =>
  (writtenKinds as readonly string[]).includes(kind);

/**
 * @param as Takes the bytes as this, whatever they are; undefined to look at path and bytes.
 * @returns undefined when the file is none of these.
 * @throws {UsageError} `input` when it is too large to be what it is to be.
 */
export async function inspectOther(
  path: string,
  as: OtherKind | undefined,
): Promise<{ readonly kind: OtherKind; readonly node: DumpNode } | undefined> {
  const source = await openFileSource(path);
  try {
    if (source.size > MAX_MESSAGE_SIZE) {
      if (as === undefined) return undefined;
      throw new UsageError('input', `Cannot read ${path} as ${as}: it has ${source.size} bytes`);
    }
    const bytes = await source.read(0, source.size);
    const kind = as ?? writtenKind(path, bytes) ?? messageKind(path, bytes);
    if (kind === undefined) return undefined;
    const node = isWritten(kind)
      ? (await import('./written-text.ts')).dumpWritten(kind, path, bytes)
      : dumpMessage(kind, bytes);
    return { kind, node };
  } finally {
    await source.close();
  }
}

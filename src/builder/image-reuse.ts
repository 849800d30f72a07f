/** Opens the image that a new one takes the place of, and makes the record of the new one. */

import { sha256, toHex } from '../core/digest.ts';
import type { PlannedInode } from '../formats/erofs/plan.ts';
import type { Reuse, StoredFile } from '../formats/erofs/reuse.ts';
import { openFileSource, sliceSource, type ByteSource } from '../io/byte-source.ts';
import type { RegularFile } from '../io/file-tree.ts';
import { hashTreeLevels } from '../verity/hash-tree-layout.ts';
import type { ImageRecord } from './image-record.ts';

/** An image that was written before: what it and a new one both have is taken from it. */
export interface PreviousImage {
  /** The file that the image is in. It must not have changed since the record was made. */
  readonly path: string;
  /** Where in that file stands the one that the record speaks of, in bytes. Default 0. */
  readonly start?: number | undefined;
  readonly record: ImageRecord;
}

/**
 * Says which content a file has: 32 bytes that no other content has, a character for each; undefined where it is not known.
 * Text, as there is one for each of tens of thousands of files, looked for in tables.
 */
export type ContentDigest = (file: RegularFile) => string | undefined;

/** What decides about the bytes of an image besides its tree. */
export interface ImageParameters {
  readonly blockSize: number;
  readonly hash: 'sha256' | 'sha512';
  readonly salt: Uint8Array;
  readonly filesystem: unknown;
}

export const parametersDigest = ({ blockSize, hash, salt, filesystem }: ImageParameters): string =>
  toHex(
    sha256(
      Buffer.from(JSON.stringify({ version: 1, blockSize, hash, salt: toHex(salt), filesystem })),
    ),
  );

/**
 * Opens the previous image.
 *
 * @returns undefined when the new image takes nothing of it: it was made in another way, is not there or
 *   is shorter than it was.
 */
export async function openPrevious(
  { path, start = 0, record }: PreviousImage,
  parameters: ImageParameters,
  contentDigest: ContentDigest,
): Promise<(Reuse & { close(): Promise<void> }) | undefined> {
  const { blockSize, hash: algorithm } = parameters;
  if (record.parameters !== parametersDigest(parameters)) return undefined;
  const levels = hashTreeLevels(record.size / blockSize, { algorithm, blockSize });
  const [leaves] = levels.levels;
  if (leaves === undefined || levels.treeSize !== record.treeSize) return undefined;
  let file: ByteSource;
  try {
    file = await openFileSource(path);
  } catch {
    return undefined;
  }
  const offset = start + record.offset;
  if (file.size < offset + record.treeOffset + record.treeSize) {
    await file.close();
    return undefined;
  }
  return {
    path,
    offset,
    source: sliceSource(file, offset, record.size),
    digests: algorithm === 'sha256' ? offset + record.treeOffset + leaves.offset : undefined,
    find({ inode, size }) {
      const digest = inode.kind === 'file' ? contentDigest(inode) : undefined;
      const stored = digest === undefined ? undefined : record.files.get(digest);
      return stored?.size === size ? stored : undefined;
    },
    close: () => file.close(),
  };
}

/** Collects the files of a record. */
export interface Recorder {
  readonly files: ReadonlyMap<string, StoredFile>;
  add(planned: PlannedInode, stored: StoredFile): void;
}

export function createRecorder(contentDigest: ContentDigest | undefined): Recorder {
  const files = new Map<string, StoredFile>();
  return {
    files,
    add({ inode }, stored) {
      const digest = inode.kind === 'file' ? contentDigest?.(inode) : undefined;
      if (digest !== undefined) files.set(digest, stored);
    },
  };
}

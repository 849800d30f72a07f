/** Files of an image that was written before, of which the next one takes what it has, too. */

import { streamOf } from '../../io/byte-source.ts';
import type { FileContent } from '../../io/file-tree.ts';
import type { ImagePiece, PreviousBlocks } from '../../io/image-pieces.ts';
import { alignUp } from '../../core/math.ts';
import { inodeSize, recordSize, type PlannedInode } from './plan.ts';

/** How an image stores a file: its place in bytes, from the start of the image. */
export interface StoredFile {
  /** Of the content. */
  readonly size: number;
  /** Where its blocks start; they hold so many bytes of the content if it is not compressed. */
  readonly bodyOffset: number;
  readonly bodySize: number;
  /** Where what stands behind the inode starts: the rest of the content, or the last compressed data. */
  readonly tailOffset: number;
  /** Bytes of the inode and its xattrs, by which it was decided what goes behind them. */
  readonly recordSize: number;
  /** Of a compressed file. */
  readonly clusters?: StoredClusters | undefined;
}

export interface StoredClusters {
  /** Two numbers of each extent: its length times two and one if it is plain, and its blocks. */
  readonly extents: Uint32Array;
  /** Bytes behind the inode: those of the last extent; 0 when it has blocks. */
  readonly tailSize: number;
}

export interface Reuse extends PreviousBlocks {
  /** The file on disk that holds the image, and where in it the image starts. */
  readonly path: string;
  readonly offset: number;
  /** How the previous image stores the content of a file, if it has it. */
  find(planned: PlannedInode): StoredFile | undefined;
}

/** Part of the previous image as a content. */
function oldContent({ path, offset, source }: Reuse, from: number, size: number): FileContent {
  return {
    size,
    slice: { path, offset: offset + from },
    stream: () => streamOf(source, from, size),
  };
}

/** A body that is taken as it is, or what of it is. */
interface Place {
  readonly from: number;
  readonly size: number;
  /** Offset in the new image. */
  readonly to: number;
}

/**
 * The pieces of a file that the previous image has: its blocks, and its tail.
 *
 * @param body Where the content's first bytes go; its rest goes to `tail`, behind the inode.
 */
export function* reusedPieces(
  reuse: Reuse,
  stored: StoredFile,
  { path }: PlannedInode,
  blockSize: number,
  { body, tail }: { readonly body: Place; readonly tail: Place },
): Generator<ImagePiece> {
  // What was a tail may have blocks now, or the other way round, as what stands before it is larger.
  const copied = Math.min(body.size, stored.bodySize);
  if (copied > 0) {
    const size = alignUp(copied, blockSize);
    yield { kind: 'copy', from: stored.bodyOffset, to: body.to, size };
  }
  const oldOffset = (from: number): number =>
    from < stored.bodySize ? stored.bodyOffset + from : stored.tailOffset + from - stored.bodySize;
  for (const [shared, from, size, to] of [
    [false, copied, body.size - copied, body.to + copied],
    [true, tail.from, tail.size, tail.to],
  ] as const) {
    if (size === 0) continue;
    const content = oldContent(reuse, oldOffset(from), size);
    yield { kind: 'content', path, content, extents: [{ from: 0, size, to, shared }] };
  }
}

/** Puts copies that follow one another together. */
export function* joinCopies(pieces: Iterable<ImagePiece>): Generator<ImagePiece> {
  let open: Extract<ImagePiece, { kind: 'copy' }> | undefined;
  for (const piece of pieces) {
    if (piece.kind !== 'copy') {
      yield piece;
    } else if (
      open !== undefined &&
      open.from + open.size === piece.from &&
      open.to + open.size === piece.to &&
      open.size + piece.size <= MAX_COPY
    ) {
      open = { ...open, size: open.size + piece.size };
    } else {
      if (open !== undefined) yield open;
      open = piece;
    }
  }
  if (open !== undefined) yield open;
}

/** Copies are put together up to this size, so that those who make them can begin. */
const MAX_COPY = 1 << 24;

/** How a planned image stores a file that is in one piece; undefined of all others. */
export function storedFlat(planned: PlannedInode, blockSize: number): StoredFile | undefined {
  const { inode, size, tailSize, dataExtents, bodyBlocks, blockAddress } = planned;
  if (inode.kind !== 'file' || size === 0 || dataExtents !== undefined) return undefined;
  return {
    size,
    bodyOffset: bodyBlocks > 0 ? blockAddress * blockSize : 0,
    bodySize: size - tailSize,
    tailOffset: tailSize > 0 ? planned.offset + inodeSize(planned) : 0,
    recordSize: recordSize(planned),
  };
}

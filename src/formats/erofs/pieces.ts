/** A planned image as the pieces that it is put together from. */

import type { ContentExtent, ImagePiece, ImagePieces } from '../../io/image-pieces.ts';
import { encodeDirectoryBlock, encodeInodeAt, encodeSuperblock } from './encode.ts';
import { inodeSize, type ErofsPlan, type PlannedInode } from './plan.ts';
import { joinCopies, reusedPieces, type Reuse } from './reuse.ts';

/** The small pieces are made many to a buffer of this size. */
const SLAB_SIZE = 1 << 16;

/**
 * The pieces of an image, in the order of its inodes.
 *
 * @param reuse An image of which files are taken. Those in chunks are not.
 */
export function erofsPieces(plan: ErofsPlan, reuse?: Reuse): ImagePieces {
  const { blockSize, inodes, sharedXattrs } = plan;
  return {
    previous: reuse,
    size: plan.size,
    blockSize,
    sharedSize: plan.metadataBlocks * blockSize,
    pieceSize: inodes.reduce(
      (sum, planned) => sum + inodeSize(planned) + storedSize(planned),
      sharedXattrs.bytes.length,
    ),
    *sharedRanges() {
      yield { offset: sharedXattrs.offset, size: sharedXattrs.bytes.length };
      for (const planned of inodes) {
        yield { offset: planned.offset, size: inodeSize(planned) + planned.tailSize };
      }
    },
    pieces: () => (reuse === undefined ? all() : joinCopies(all())),
    seal: (firstBlock) => encodeSuperblock(plan, firstBlock),
  };
  function* all(): Generator<ImagePiece> {
    let slab = createSlab(SLAB_SIZE);
    yield { kind: 'bytes', to: sharedXattrs.offset, shared: true, bytes: sharedXattrs.bytes };
    for (const planned of inodes) {
      slab = slabFor(slab, inodeSize(planned) + planned.tailSize);
      yield* inodePieces(planned, blockSize, slab, reuse);
    }
  }
}

/** Bytes of data that an inode stores itself. */
const storedSize = ({ size, dataExtents }: PlannedInode): number =>
  dataExtents?.reduce((sum, extent) => sum + extent.size, 0) ?? size;

/** Zeros in any amount, without a buffer for each. */
interface Slab {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  used: number;
}

const createSlab = (size: number): Slab => {
  const bytes = new Uint8Array(size);
  return { bytes, view: new DataView(bytes.buffer), used: 0 };
};

/** The slab to take so many bytes of: the given one while it has room. */
const slabFor = (slab: Slab, size: number): Slab =>
  slab.used + size <= slab.bytes.length ? slab : createSlab(Math.max(size, SLAB_SIZE));

function take(slab: Slab, size: number): Uint8Array {
  slab.used += size;
  return slab.bytes.subarray(slab.used - size, slab.used);
}

function* inodePieces(
  planned: PlannedInode,
  blockSize: number,
  slab: Slab,
  reuse: Reuse | undefined,
): Generator<ImagePiece> {
  const { inode, offset, tailSize } = planned;
  const head = inodeSize(planned);
  const isFile = inode.kind === 'file';
  // The tail of what is not a file is at hand.
  encodeInodeAt(planned, slab.bytes, slab.view, slab.used);
  const record = take(slab, head + (isFile ? 0 : tailSize));
  switch (inode.kind) {
    case 'directory':
      for (let index = 0; index < planned.bodyBlocks; index += 1) {
        const bytes = new Uint8Array(blockSize);
        encodeDirectoryBlock(planned, index, bytes);
        yield {
          kind: 'bytes',
          to: (planned.blockAddress + index) * blockSize,
          shared: false,
          bytes,
        };
      }
      if (tailSize > 0) encodeDirectoryBlock(planned, planned.bodyBlocks, record.subarray(head));
      break;
    case 'symlink': {
      const target = new Uint8Array(Buffer.from(inode.target));
      const bodySize = planned.size - tailSize;
      if (bodySize > 0) {
        const bytes = target.subarray(0, bodySize);
        yield { kind: 'bytes', to: planned.blockAddress * blockSize, shared: false, bytes };
      }
      record.set(target.subarray(bodySize), head);
      break;
    }
    case 'file':
    case 'char-device':
    case 'block-device':
    case 'fifo':
    case 'socket':
      break;
  }
  yield { kind: 'bytes', to: offset, shared: true, bytes: record };
  if (!isFile || planned.size === 0) return;
  const stored = planned.dataExtents === undefined ? reuse?.find(planned) : undefined;
  if (reuse !== undefined && stored !== undefined) {
    yield* reusedPieces(reuse, stored, planned, blockSize, placesOf(planned, blockSize));
  } else {
    yield {
      kind: 'content',
      path: planned.path,
      content: inode.content,
      extents: contentExtents(planned, blockSize),
    };
  }
}

/** Where the content of a flat file goes: first to its blocks, then behind the inode. */
function placesOf(planned: PlannedInode, blockSize: number) {
  const bodySize = planned.size - planned.tailSize;
  return {
    body: { from: 0, size: bodySize, to: planned.blockAddress * blockSize },
    tail: { from: bodySize, size: planned.tailSize, to: planned.offset + inodeSize(planned) },
  };
}

function contentExtents(planned: PlannedInode, blockSize: number): ContentExtent[] {
  const { dataExtents } = planned;
  if (dataExtents !== undefined) {
    return dataExtents.map((extent) => ({
      from: extent.offset,
      size: extent.size,
      to: extent.blockAddress * blockSize,
      shared: false,
    }));
  }
  const { body, tail } = placesOf(planned, blockSize);
  // Written out: spreading objects takes ten times as long.
  const extents: ContentExtent[] = [];
  if (body.size > 0) extents.push({ from: 0, size: body.size, to: body.to, shared: false });
  if (tail.size > 0) {
    extents.push({ from: tail.from, size: tail.size, to: tail.to, shared: true });
  }
  return extents;
}

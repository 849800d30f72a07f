/** A planned image as the pieces that it is put together from. */

import type { ContentExtent, ImagePiece, ImagePieces } from '../../io/image-pieces.ts';
import { encodeDirectoryBlock, encodeInodeAt, encodeSuperblock } from './encode.ts';
import { inodeSize, type ErofsPlan, type PlannedInode } from './plan.ts';

/** The small pieces are made many to a buffer of this size. */
const SLAB_SIZE = 1 << 16;

/** The pieces of an image, in the order of its inodes. */
export function erofsPieces(plan: ErofsPlan): ImagePieces {
  const { blockSize, inodes, sharedXattrs } = plan;
  return {
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
    *pieces() {
      let slab = createSlab(SLAB_SIZE);
      yield { kind: 'bytes', to: sharedXattrs.offset, shared: true, bytes: sharedXattrs.bytes };
      for (const planned of inodes) {
        slab = slabFor(slab, inodeSize(planned) + planned.tailSize);
        yield* inodePieces(planned, blockSize, slab);
      }
    },
    seal: (firstBlock) => encodeSuperblock(plan, firstBlock),
  };
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

function* inodePieces(planned: PlannedInode, blockSize: number, slab: Slab): Generator<ImagePiece> {
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
  if (isFile && planned.size > 0) {
    yield {
      kind: 'content',
      path: planned.path,
      content: inode.content,
      extents: contentExtents(planned, blockSize),
    };
  }
}

function contentExtents(planned: PlannedInode, blockSize: number): ContentExtent[] {
  const { size, tailSize, blockAddress, dataExtents } = planned;
  if (dataExtents !== undefined) {
    return dataExtents.map((extent) => ({
      from: extent.offset,
      size: extent.size,
      to: extent.blockAddress * blockSize,
      shared: false,
    }));
  }
  const bodySize = size - tailSize;
  const extents: ContentExtent[] = [];
  if (bodySize > 0) {
    extents.push({ from: 0, size: bodySize, to: blockAddress * blockSize, shared: false });
  }
  if (tailSize > 0) {
    const to = planned.offset + inodeSize(planned);
    extents.push({ from: bodySize, size: tailSize, to, shared: true });
  }
  return extents;
}

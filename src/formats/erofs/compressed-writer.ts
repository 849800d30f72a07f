/**
 * Writes an image whose files are compressed, in one pass over them: what goes where is known only
 * when it was compressed.
 *
 *   first blocks       1024 bytes of zeros, superblock, compression settings, shared xattrs, the root
 *   data blocks        of files and long symbolic links, in the order of the inodes; when much metadata
 *                      of them has come together, it stands between them
 *   metadata area      the inodes of all other files, then those of directories
 *   directory blocks   the other data of directories
 *
 * So memory holds a bounded part of the image: data on its way, and one group of metadata.
 */

import type { ClusterCompressor } from '../../compression/cluster-compressor.ts';
import type { Directory } from '../../io/file-tree.ts';
import type { ImageSink } from '../../io/image-sink.ts';
import { compressAhead, SEGMENT_SIZE, type CompressedSegment } from './compress-ahead.ts';
import {
  createFileWriter,
  planPacked,
  roomBehindIndex,
  type WrittenFile,
} from './compressed-file.ts';
import { algorithmNumber, compressionFacts, RECORD_ROOM } from './compression-record.ts';
import { encodeDirectoryBlock, encodeInodeAt, encodeSuperblock } from './encode.ts';
import { createImageAppender } from './image-appender.ts';
import { EROFS_FEATURE_INCOMPAT_FRAGMENTS, EROFS_SUPER_OFFSET, SuperBlock } from './layout.ts';
import { createMetadataAllocator } from './metadata-allocator.ts';
import { createMetadataGroups } from './metadata-groups.ts';
import { createPackedFile } from './packed-file.ts';
import type { Reuse, StoredFile } from './reuse.ts';
import {
  checkBlocks,
  checkedOptions,
  endsWithInode,
  inodeSize,
  planInodes,
  recordSize,
  type ErofsOptions,
  type PlannedInode,
} from './plan.ts';

export interface CompressedErofsOptions extends Omit<ErofsOptions, 'chunks'> {
  readonly compressor: ClusterCompressor;
  /** The most that data compressed together takes, in bytes: whole blocks. Default one block. */
  readonly clusterSize?: number;
  /**
   * Where the data of a file is that does not fill a cluster: behind its inode (default), with that of
   * all other files in one packed inode, small files as a whole, or in blocks of its own.
   */
  readonly tails?: 'inline' | 'fragments' | 'blocks';
  /** How many batches are compressed at the same time. It does not show in the image. Default 4. */
  readonly parallel?: number;
  readonly signal?: AbortSignal | undefined;
  /** Called now and then with how many bytes of contents are compressed and written. */
  readonly onProgress?: ((done: number) => void) | undefined;
  /** An image of which files are taken; the bytes are the same as without. */
  readonly reuse?: Reuse | undefined;
  /** Told how files are stored that have no part in the packed inode. */
  readonly onStored?: ((planned: PlannedInode, stored: StoredFile) => void) | undefined;
}

export interface CompressedErofs {
  /** Of the image, in bytes. */
  readonly size: number;
  readonly inodes: number;
  /** Files that are compressed; all others are stored as they are. */
  readonly compressedFiles: number;
}

const SUPER_END = EROFS_SUPER_OFFSET + SuperBlock.size;
const SHARED_OFFSET = SUPER_END + RECORD_ROOM;
const MAX_CLUSTER_SIZE = 1 << 20;

/** What an image will hold. It can be written once, as writing fills in what goes where. */
export interface CompressedErofsPlan {
  /** In the order of the image; the first is the root. */
  readonly inodes: readonly PlannedInode[];
  /** The xattrs that inodes share. */
  readonly shared: Uint8Array;
}

/**
 * Plans the image of a tree.
 *
 * @throws {UsageError} `input` when something of the tree cannot be stored; the message has its path.
 * @throws {RangeError} on options that are out of range.
 */
export function planCompressedErofs(root: Directory, options: ErofsOptions): CompressedErofsPlan {
  checkedOptions(options);
  return planInodes(root, options, SHARED_OFFSET);
}

/**
 * Plans and writes the image of a tree.
 *
 * @throws as `planCompressedErofs` and `writePlannedErofs` do.
 */
export async function writeCompressedErofs(
  root: Directory,
  options: CompressedErofsOptions,
  sink: ImageSink,
): Promise<CompressedErofs> {
  return writePlannedErofs(planCompressedErofs(root, options), options, sink);
}

/**
 * Writes an image, in whole blocks: one after the other, the first ones last.
 *
 * @param options Those it was planned with.
 * @throws {UsageError} `input` when a content has not the size it said; the message has its path.
 * @throws {RangeError} on options that are out of range.
 * @throws the signal's reason when it is aborted; what was written is not an image then.
 */
export async function writePlannedErofs(
  { inodes, shared }: CompressedErofsPlan,
  options: CompressedErofsOptions,
  sink: ImageSink,
): Promise<CompressedErofs> {
  const { blockSize, ...names } = checkedOptions(options);
  const { compressor, signal } = options;
  const clusterSize = checkedClusterSize(options, blockSize);
  const first = inodes[0] as PlannedInode;
  const allocator = createMetadataAllocator(blockSize, SHARED_OFFSET + shared.length);
  first.offset = allocator.place(inodeSize(first), first.tailSize);
  const start = new Uint8Array(allocator.blocks() * blockSize);

  const image = createImageAppender(sink, blockSize, allocator.blocks());
  const groups = createMetadataGroups(image, blockSize);
  const { algorithm } = compressor;
  const format = {
    blockSize,
    bigPclusters: clusterSize > blockSize,
    algorithm: algorithmNumber(algorithm),
  };
  const reused = filesToReuse(inodes, options.reuse);
  const anew = inodes.filter((planned) => !reused.has(planned));
  const segments = compressFiles(anew, options, blockSize, clusterSize);
  const told: { readonly planned: PlannedInode; readonly stored: StoredFile }[] = [];
  const packed =
    options.tails === 'fragments'
      ? createPackedFile(image, { compressor, blockSize, clusterSize })
      : undefined;
  const files = createFileWriter(image, format, packed);
  let batch: readonly CompressedSegment[] = [];
  let next = 0;
  let compressedFiles = 0;
  let hasTails = false;
  let done = 0;
  for (const planned of inodes) {
    const { inode, size } = planned;
    if (inode.kind === 'directory') continue;
    let tail = NO_BYTES;
    if (inode.kind === 'file' && size > 0) {
      const stored = reused.get(planned);
      let written: WrittenFile | undefined;
      if (stored !== undefined && options.reuse !== undefined) {
        signal?.throwIfAborted();
        written = await files.addStored(planned, stored, options.reuse.source);
      }
      while (written === undefined) {
        if (next === batch.length) {
          signal?.throwIfAborted();
          batch = (await segments.next()).value ?? [];
          next = 0;
        }
        const segment = batch[next];
        next += 1;
        if (segment?.planned !== planned) throw new TypeError('Files come in order');
        written = files.add(segment);
        if (packed?.isBehind === true) await packed.settle();
        if (image.isBehind) await image.settle();
      }
      tail = written.tail;
      if (options.onStored !== undefined && written.hasFragment !== true) {
        told.push({ planned, stored: files.describe(planned, written) });
      }
      if (written.isCompressed) {
        compressedFiles += 1;
        hasTails ||= tail.length > 0;
      }
      done += size;
      options.onProgress?.(done);
    } else if (inode.kind === 'symlink') {
      const target = new Uint8Array(Buffer.from(inode.target));
      const body = target.subarray(0, size - planned.tailSize);
      if (body.length > 0) planned.blockAddress = image.appendBlocks(body);
      tail = target.subarray(body.length);
    }
    groups.add(planned, tail);
    if (groups.isFull) await groups.write();
  }

  await packed?.finish();
  let packedInode: PlannedInode | undefined;
  if (packed !== undefined && packed.size > 0) {
    packedInode = planPacked(packed, inodes.length + 1, names.buildTime, format);
    groups.add(packedInode, NO_BYTES);
  }
  const directories = inodes.filter(({ inode }) => inode.kind === 'directory');
  const placeDirectories = (nextBlock: number): void => {
    let block = nextBlock;
    for (const planned of directories) {
      if (planned.bodyBlocks === 0) continue;
      planned.blockAddress = block;
      block += planned.bodyBlocks;
    }
    checkBlocks(block);
  };
  await groups.finish(directories.slice(1), placeDirectories, directoryTail);
  for (const planned of directories) {
    for (let index = 0; index < planned.bodyBlocks; index += 1) {
      const block = new Uint8Array(blockSize);
      encodeDirectoryBlock(planned, index, block);
      image.appendBlocks(block);
      if (image.isBehind) await image.settle();
    }
  }
  if (endsWithInode(inodes, image.nextBlock * blockSize)) {
    image.appendBlocks(new Uint8Array(blockSize));
  }
  await image.flush();

  for (const { planned, stored } of told) {
    const tailOffset = planned.tailSize > 0 ? planned.offset + stored.tailOffset : 0;
    options.onStored?.(planned, { ...stored, tailOffset });
  }
  const { record, ...facts } = compressionFacts(algorithm, {
    clusterBlocks: clusterSize / blockSize,
    isCompressed: compressedFiles > 0,
    hasTails,
  });
  if (record !== undefined) start.set(record, SUPER_END);
  start.set(shared, SHARED_OFFSET);
  const view = new DataView(start.buffer);
  start.set(directoryTail(first), first.offset + encodeInodeAt(first, start, view, first.offset));
  encodeSuperblock(
    {
      ...names,
      blockSize,
      inodes,
      blocks: image.nextBlock,
      ...facts,
      featureIncompat:
        facts.featureIncompat | (packedInode === undefined ? 0 : EROFS_FEATURE_INCOMPAT_FRAGMENTS),
      packed: packedInode,
    },
    start.subarray(0, blockSize),
  );
  await sink.write(0, start);
  const size = image.nextBlock * blockSize;
  await sink.truncate(size);
  return { size, inodes: inodes.length, compressedFiles };
}

function checkedClusterSize(options: CompressedErofsOptions, blockSize: number): number {
  const { clusterSize = blockSize, parallel = 1 } = options;
  const isWhole = clusterSize % blockSize === 0 && clusterSize >= blockSize;
  if (!isWhole || clusterSize > MAX_CLUSTER_SIZE) {
    throw new RangeError(`Cannot compress EROFS into clusters of ${clusterSize} bytes`);
  }
  if (!Number.isInteger(parallel) || parallel < 1) {
    throw new RangeError(`Cannot compress ${parallel} batches at the same time`);
  }
  return clusterSize;
}

/** How a previous image stores files that this one stores in the same way. */
function filesToReuse(
  inodes: readonly PlannedInode[],
  reuse: Reuse | undefined,
): ReadonlyMap<PlannedInode, StoredFile> {
  const found = new Map<PlannedInode, StoredFile>();
  if (reuse === undefined) return found;
  for (const planned of inodes) {
    if (planned.inode.kind !== 'file' || planned.size === 0) continue;
    const stored = reuse.find(planned);
    // What goes behind an inode depends on its size.
    if (stored?.recordSize === recordSize(planned)) found.set(planned, stored);
  }
  return found;
}

function compressFiles(
  inodes: readonly PlannedInode[],
  { compressor, tails = 'inline', parallel = 4, signal }: CompressedErofsOptions,
  blockSize: number,
  clusterSize: number,
): AsyncGenerator<readonly CompressedSegment[], undefined> {
  return compressAhead(
    inodes.filter(({ inode, size }) => inode.kind === 'file' && size > 0),
    {
      compressor,
      blockSize,
      clusterSize,
      parallel,
      signal,
      tails:
        tails === 'inline'
          ? {
              kind: tails,
              room: (planned) => ({
                behindIndex: roomBehindIndex(planned, blockSize),
                isWhole: planned.size <= SEGMENT_SIZE,
              }),
            }
          : { kind: tails },
    },
  );
}

const NO_BYTES: Uint8Array = new Uint8Array(0);

/** What stands behind the inode of a directory. */
function directoryTail(planned: PlannedInode): Uint8Array {
  const tail = new Uint8Array(planned.tailSize);
  if (tail.length > 0) encodeDirectoryBlock(planned, planned.bodyBlocks, tail);
  return tail;
}

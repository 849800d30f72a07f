/**
 * Writes a planned image: one pass over the files, each block of the image once, memory for a few
 * pieces of metadata only.
 */

import type { ImageSink } from '../../io/image-sink.ts';
import { createRunWriter, createSegmentWriter, type RunWriter } from './block-writers.ts';
import { createContentReader } from './content.ts';
import { encodeDirectoryBlock, encodeInode, encodeSuperblock } from './encode.ts';
import { inodeSize, type ErofsPlan, type PlannedInode } from './plan.ts';

/**
 * Writes the image, all of its `plan.size` bytes, in whole blocks. Contents are read while it is
 * written.
 *
 * @throws {UsageError} `input` when a file's content has not the planned size.
 * @throws the signal's reason when it is aborted; what was written is not an image then.
 */
export async function writeErofs(
  plan: ErofsPlan,
  sink: ImageSink,
  { signal }: { readonly signal?: AbortSignal | undefined } = {},
): Promise<void> {
  const { blockSize, inodes } = plan;
  await sink.truncate(plan.size);
  const metadata = createSegmentWriter(
    sink,
    { size: plan.metadataBlocks * blockSize, blockSize },
    pieces(inodes),
    (start) => encodeSuperblock(plan, start),
  );
  const directories = createRunWriter(sink, plan.directoryBlockAddress * blockSize);
  const data = createRunWriter(sink, plan.dataBlockAddress * blockSize);
  const readContent = createContentReader(inodes);
  const largestHead = inodes.reduce((size, planned) => Math.max(size, inodeSize(planned)), 0);
  const scratch = new Uint8Array(largestHead + blockSize);

  for (const planned of inodes) {
    signal?.throwIfAborted();
    const head = encodeInode(planned, scratch);
    const record = scratch.subarray(0, head + planned.tailSize);
    const tail = record.subarray(head);
    switch (planned.inode.kind) {
      case 'directory':
        await writeDirectory(planned, blockSize, directories, tail);
        break;
      case 'file':
        await writeBody(planned, blockSize, abortable(readContent(planned), signal), data, tail);
        break;
      case 'symlink':
        await writeBody(planned, blockSize, [Buffer.from(planned.inode.target)], data, tail);
        break;
      case 'char-device':
      case 'block-device':
      case 'fifo':
      case 'socket':
        break;
    }
    await metadata.put(planned.offset, record);
  }
  await directories.flush();
  await data.flush();
}

function* pieces(
  inodes: readonly PlannedInode[],
): Generator<{ readonly offset: number; readonly size: number }> {
  for (const planned of inodes) {
    yield { offset: planned.offset, size: inodeSize(planned) + planned.tailSize };
  }
}

async function writeDirectory(
  planned: PlannedInode,
  blockSize: number,
  body: RunWriter,
  tail: Uint8Array,
): Promise<void> {
  const block = new Uint8Array(planned.bodyBlocks > 0 ? blockSize : 0);
  for (let index = 0; index < planned.bodyBlocks; index += 1) {
    block.fill(0);
    encodeDirectoryBlock(planned, index, block);
    await body.append(block);
  }
  if (tail.length > 0) {
    tail.fill(0);
    encodeDirectoryBlock(planned, planned.bodyBlocks, tail);
  }
}

/** Splits the data into whole blocks for the body and the rest for the tail. */
async function writeBody(
  planned: PlannedInode,
  blockSize: number,
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  body: RunWriter,
  tail: Uint8Array,
): Promise<void> {
  const bodySize = planned.size - planned.tailSize;
  let at = 0;
  for await (const chunk of chunks) {
    const split = Math.min(Math.max(bodySize - at, 0), chunk.length);
    await body.append(chunk.subarray(0, split));
    tail.set(chunk.subarray(split), Math.max(at - bodySize, 0));
    at += chunk.length;
  }
  await body.pad(blockSize);
}

async function* abortable(
  chunks: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    signal?.throwIfAborted();
    yield chunk;
  }
}

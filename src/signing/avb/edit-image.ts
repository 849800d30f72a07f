/**
 * Changing the end of a partition image in place: plain files and Android's sparse images alike.
 *
 * All of avbtool's verbs that change an image cut it and add to it; so that is all there is here.
 */

import { alignUp } from '../../core/math.ts';
import { AVB_IMAGE_BLOCK_SIZE } from '../../formats/avb/layout.ts';
import { editSparse } from '../../formats/sparse/edit.ts';
import { isSparse, readSparse, sparseSource } from '../../formats/sparse/reader.ts';
import { openFileSource, sliceSource, type ByteSource } from '../../io/byte-source.ts';
import { MemorySink, type ImageSink } from '../../io/image-sink.ts';
import { openUndoableFile, type UndoableFile } from './undoable-file.ts';

/** Opens an image for reading; of a sparse image, what it stands for. */
export async function openImage(
  path: string,
): Promise<{ readonly source: ByteSource; readonly isSparse: boolean }> {
  const file = await openFileSource(path);
  try {
    if (!(await isSparse(file))) return { source: file, isSparse: false };
    return { source: sparseSource(file, await readSparse(file)), isSparse: true };
  } catch (error) {
    await file.close();
    throw error;
  }
}

export interface EditableImage {
  /** The image as it was when it was opened; what is cut off afterwards is gone from it. */
  readonly source: ByteSource;
  readonly isSparse: boolean;
  /** Sizes are multiples of this, in bytes, where a method says so. */
  readonly blockSize: number;
  /** Of the image as it is now, in bytes. */
  size(): number;
  /** Cuts the image to `size` bytes; of a sparse image to whole blocks. */
  truncate(size: number): Promise<void>;
  /** The first `size` bytes of the image as it is now: of `source`, then what was added. */
  data(size: number): ByteSource;
  /** Adds whole blocks. */
  append(bytes: Uint8Array): Promise<void>;
  /** Adds `size` bytes, whole blocks, that `fill` writes; offsets there count from their start. */
  appendWith<T>(size: number, fill: (target: Pick<ImageSink, 'write'>) => Promise<T>): Promise<T>;
  /** Adds whole blocks of zeros. */
  appendZeros(size: number): Promise<void>;
  /** Adds whole blocks that nobody reads; they take no room. */
  appendHole(size: number): Promise<void>;
  /** Adds zeros up to a multiple of `alignment`, itself a multiple of the block size. */
  pad(alignment: number): Promise<void>;
}

function editPlain(file: UndoableFile, source: ByteSource): EditableImage {
  let size = file.originalSize;
  const grow = async (to: number): Promise<void> => {
    size = to;
    await file.truncate(size);
  };
  return {
    source,
    isSparse: false,
    blockSize: AVB_IMAGE_BLOCK_SIZE,
    size: () => size,
    truncate: grow,
    data: (length) => ({ ...source, size: length }),
    async append(bytes) {
      await file.write(size, bytes);
      size += bytes.length;
    },
    async appendWith(length, fill) {
      const start = size;
      await grow(start + length);
      return fill({ write: (offset, chunk) => file.write(start + offset, chunk) });
    },
    appendZeros: (length) => grow(size + length),
    appendHole: (length) => grow(size + length),
    pad: (alignment) => grow(alignUp(size, alignment)),
  };
}

/** Bytes added behind a source, at an offset of the image. */
interface Added {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** The first `size` bytes of a source and of what was added behind it; what neither has is zeros. */
function withAdded(source: ByteSource, added: readonly Added[], size: number): ByteSource {
  return {
    name: source.name,
    size,
    async read(offset, length) {
      const there = Math.max(0, Math.min(length, source.size - offset));
      const data = new Uint8Array(length);
      if (there > 0) data.set(await source.read(offset, there));
      for (const { offset: start, bytes } of added) {
        const from = Math.max(offset, start);
        const to = Math.min(offset + length, start + bytes.length);
        if (from < to) data.set(bytes.subarray(from - start, to - start), from - offset);
      }
      return data;
    },
    close: () => Promise.resolve(),
  };
}

/**
 * Changes an image in place. A failure, or an abort, leaves it as it was.
 *
 * @param work Reads `source` before it changes anything; what it throws is thrown.
 * @throws {FormatError} when it is a sparse image that is damaged.
 */
export async function editImage<T>(
  path: string,
  work: (image: EditableImage) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const file = await openUndoableFile(path);
  const raw: ByteSource = {
    name: path,
    size: file.originalSize,
    file: { fd: file.fd, offset: 0 },
    read: (offset, length) => file.read(offset, length),
    close: () => Promise.resolve(),
  };
  try {
    let result: T;
    if (await isSparse(raw)) {
      const sparse = await readSparse(raw);
      const editor = editSparse(sparse, file);
      const { blockSize } = sparse;
      const source = sparseSource(raw, sparse);
      const added: Added[] = [];
      let kept = source.size;
      result = await work({
        source,
        isSparse: true,
        blockSize,
        size: () => editor.size(),
        truncate(size) {
          kept = Math.min(kept, size);
          return Promise.resolve(editor.truncate(size));
        },
        data: (size) => withAdded(sliceSource(source, 0, kept), added, size),
        append: (bytes) => editor.appendRaw(bytes),
        async appendWith(size, fill) {
          // One chunk, whose size its header tells: it is gathered first.
          const gathered = new MemorySink();
          await gathered.truncate(size);
          const filled = await fill(gathered);
          const bytes = gathered.bytes();
          added.push({ offset: editor.size(), bytes });
          await editor.appendRaw(bytes);
          return filled;
        },
        appendZeros: (size) => editor.appendFill(new Uint8Array(4), size),
        appendHole: (size) => editor.appendHole(size),
        async pad(alignment) {
          const missing = alignUp(editor.size(), alignment) - editor.size();
          if (missing > 0) await editor.appendRaw(new Uint8Array(missing));
        },
      });
      await editor.finish();
    } else {
      result = await work(editPlain(file, raw));
    }
    signal?.throwIfAborted();
    await file.commit();
    return result;
  } catch (error) {
    await file.rollback();
    throw error;
  }
}

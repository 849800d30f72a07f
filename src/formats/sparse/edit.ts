/** Changing the end of a sparse image in place, as footers need it. */

import type { ImageSink } from '../../io/image-sink.ts';
import { ChunkHeader, SparseHeader, type SparseChunk } from './layout.ts';
import { encodeChunkHeader, encodeSparseHeader } from './writer.ts';
import type { SparseImage } from './reader.ts';

export interface SparseEditor {
  /** Of the image as it is now, in bytes. */
  size(): number;
  /** Cuts the image to `size` bytes: whole blocks. */
  truncate(size: number): void;
  /** Adds whole blocks, as a chunk of their own. */
  appendRaw(bytes: Uint8Array): Promise<void>;
  /** Adds whole blocks that repeat 4 bytes, as a chunk of their own. */
  appendFill(pattern: Uint8Array, size: number): Promise<void>;
  /** Adds whole blocks that nobody reads, as a chunk of their own. */
  appendHole(size: number): Promise<void>;
  /** Writes the new header, then cuts the file. Until then the old header counts. */
  finish(): Promise<void>;
}

/**
 * @param image As `readSparse` found it; its headers must be of the usual size.
 * @param file The file that holds it.
 * @throws {RangeError} when its headers are larger than version 1.0 has them, or a size is no whole number of blocks.
 */
export function editSparse(image: SparseImage, file: ImageSink): SparseEditor {
  const { blockSize } = image;
  const chunks: SparseChunk[] = [...image.chunks];
  if (chunks.some((chunk) => chunk.dataOffset - chunk.headerOffset !== ChunkHeader.size)) {
    throw new RangeError('Cannot change a sparse image whose chunks have headers of another size');
  }
  // Chunks that hold a checksum of what came before are left where they are and counted.
  let checksums = image.chunkCount - chunks.length;
  let { size, end } = image;
  let changed: SparseChunk | undefined;

  const wholeBlocks = (bytes: number): number => {
    if (bytes >= 0 && bytes % blockSize === 0) return bytes;
    throw new RangeError(`${bytes} bytes are not whole blocks of ${blockSize}`);
  };
  const append = async (kind: SparseChunk['kind'], content: number, data?: Uint8Array) => {
    if (wholeBlocks(content) === 0) return;
    const dataOffset = end + ChunkHeader.size;
    await file.write(end, encodeChunkHeader(kind, content, blockSize));
    if (data !== undefined) await file.write(dataOffset, data);
    chunks.push({ kind, offset: size, size: content, headerOffset: end, dataOffset });
    end = dataOffset + (data?.length ?? 0);
    size += content;
  };
  const dataSize = (chunk: SparseChunk): number =>
    chunk.kind === 'raw' ? chunk.size : chunk.kind === 'fill' ? 4 : 0;

  return {
    size: () => size,
    truncate(to) {
      if (wholeBlocks(to) > size) throw new RangeError(`Cannot cut ${size} bytes to ${to}`);
      if (to === size) return;
      while (chunks.length > 0 && (chunks.at(-1)?.offset ?? 0) >= to) chunks.pop();
      const last = chunks.pop();
      if (last !== undefined) {
        const cut = { ...last, size: to - last.offset };
        if (cut.size !== last.size) changed = cut;
        chunks.push(cut);
      }
      size = to;
      end =
        last === undefined ? SparseHeader.size : last.dataOffset + dataSize(chunks.at(-1) ?? last);
      // A checksum that stood behind what was cut is gone too; those before it are in the gaps.
      checksums = countChecksums(chunks);
    },
    appendRaw: (bytes) => append('raw', bytes.length, bytes),
    appendFill: (pattern, bytes) => append('fill', bytes, pattern),
    appendHole: (bytes) => append('hole', bytes),
    async finish() {
      if (changed !== undefined) {
        await file.write(
          changed.headerOffset,
          encodeChunkHeader(changed.kind, changed.size, blockSize),
        );
      }
      const chunkCount = chunks.length + checksums;
      await file.write(0, encodeSparseHeader({ blockSize, size, chunkCount }));
      await file.truncate(end);
    },
  };

  /** Checksum chunks take the gaps between the others: 4 bytes and a header each. */
  function countChecksums(kept: readonly SparseChunk[]): number {
    let at = SparseHeader.size;
    let gaps = 0;
    for (const chunk of kept) {
      gaps += chunk.headerOffset - at;
      at = chunk.dataOffset + dataSize(chunk);
    }
    return gaps / (ChunkHeader.size + 4);
  }
}

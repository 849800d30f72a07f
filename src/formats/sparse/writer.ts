/** Writing sparse images: from any source, and at the end of one that exists. */

import { STREAM_CHUNK, type ByteSource } from '../../io/byte-source.ts';
import type { ImageSink } from '../../io/image-sink.ts';
import {
  ChunkHeader,
  CHUNK_TYPE_DONT_CARE,
  CHUNK_TYPE_FILL,
  CHUNK_TYPE_RAW,
  SPARSE_HEADER_MAGIC,
  SPARSE_MAJOR_VERSION,
  SparseHeader,
} from './layout.ts';
import type { SparseImage } from './reader.ts';

const MAX_U32 = 0xffff_ffff;

/** The header of an image of so many bytes in so many chunks. */
export function encodeSparseHeader({
  blockSize,
  size,
  chunkCount,
}: Pick<SparseImage, 'blockSize' | 'size' | 'chunkCount'>): Uint8Array {
  return SparseHeader.encode({
    magic: SPARSE_HEADER_MAGIC,
    major_version: SPARSE_MAJOR_VERSION,
    minor_version: 0,
    file_hdr_sz: SparseHeader.size,
    chunk_hdr_sz: ChunkHeader.size,
    blk_sz: blockSize,
    total_blks: size / blockSize,
    total_chunks: chunkCount,
    image_checksum: 0,
  });
}

/**
 * The header of a chunk.
 *
 * @param size Bytes of the image it stands for: whole blocks.
 */
export function encodeChunkHeader(
  kind: 'raw' | 'fill' | 'hole',
  size: number,
  blockSize: number,
): Uint8Array {
  const [type, dataSize] = {
    raw: [CHUNK_TYPE_RAW, size] as const,
    fill: [CHUNK_TYPE_FILL, 4] as const,
    hole: [CHUNK_TYPE_DONT_CARE, 0] as const,
  }[kind];
  return ChunkHeader.encode({
    chunk_type: type,
    reserved1: 0,
    chunk_sz: size / blockSize,
    total_sz: ChunkHeader.size + dataSize,
  });
}

/** A run of blocks that become one chunk: those of a fill all repeat the same 4 bytes. */
interface Run {
  kind: 'raw' | 'fill';
  pattern: number;
  offset: number;
  size: number;
}

/** The 4 bytes that a block repeats, as a little-endian number; undefined when it does not. */
function repeated(block: Uint8Array): number | undefined {
  const view = new DataView(block.buffer, block.byteOffset, block.length);
  const pattern = view.getUint32(0, true);
  for (let at = 4; at < block.length; at += 4) {
    if (view.getUint32(at, true) !== pattern) return undefined;
  }
  return pattern;
}

/**
 * Writes a source as a sparse image. Blocks that repeat 4 bytes become fills, zeros among them: a
 * reader then gets the same bytes on any device, which a hole does not promise.
 *
 * @param source Whole blocks.
 * @throws {RangeError} when it is not, or has more blocks than the format can count.
 */
export async function writeSparse(
  source: ByteSource,
  sink: ImageSink,
  { blockSize = 4096 }: { readonly blockSize?: number } = {},
): Promise<void> {
  if (source.size % blockSize !== 0 || source.size / blockSize > MAX_U32) {
    throw new RangeError(`Cannot write ${source.size} bytes as blocks of ${blockSize}`);
  }
  // Large enough to be worth its header, small enough that its size fits 32 bits.
  const maxRaw = Math.max(blockSize, (1 << 30) - ((1 << 30) % blockSize));
  let at = SparseHeader.size;
  let chunkCount = 0;
  let run: Run | undefined;
  const put = async (bytes: Uint8Array): Promise<void> => {
    await sink.write(at, bytes);
    at += bytes.length;
  };
  const flush = async (): Promise<void> => {
    if (run === undefined) return;
    const { kind, pattern, offset, size } = run;
    run = undefined;
    chunkCount += 1;
    await put(encodeChunkHeader(kind, size, blockSize));
    if (kind === 'fill') {
      const value = new Uint8Array(4);
      new DataView(value.buffer).setUint32(0, pattern, true);
      await put(value);
      return;
    }
    // Read a second time: a chunk's size comes before its bytes, which may be many.
    for (let done = 0; done < size; done += STREAM_CHUNK) {
      await put(await source.read(offset + done, Math.min(STREAM_CHUNK, size - done)));
    }
  };
  const step = Math.max(blockSize, STREAM_CHUNK - (STREAM_CHUNK % blockSize));
  for (let offset = 0; offset < source.size; offset += step) {
    const blocks = await source.read(offset, Math.min(step, source.size - offset));
    for (let from = 0; from < blocks.length; from += blockSize) {
      const pattern = repeated(blocks.subarray(from, from + blockSize));
      const kind = pattern === undefined ? 'raw' : 'fill';
      const goesOn: boolean =
        run?.kind === kind &&
        (kind === 'fill' ? run.pattern === pattern : run.size + blockSize <= maxRaw);
      if (!goesOn) {
        await flush();
        run = { kind, pattern: pattern ?? 0, offset: offset + from, size: 0 };
      }
      (run as Run).size += blockSize;
    }
  }
  await flush();
  await sink.write(0, encodeSparseHeader({ blockSize, size: source.size, chunkCount }));
  await sink.truncate(at);
}

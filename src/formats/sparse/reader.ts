/** Reading sparse images: the list of chunks, and the image they stand for as a source. */

import type { ByteSource } from '../../io/byte-source.ts';
import {
  bad,
  ChunkHeader,
  CHUNK_TYPE_CRC32,
  CHUNK_TYPE_DONT_CARE,
  CHUNK_TYPE_FILL,
  CHUNK_TYPE_RAW,
  SPARSE_HEADER_MAGIC,
  SPARSE_MAJOR_VERSION,
  SparseHeader,
  type SparseChunk,
} from './layout.ts';

export interface SparseImage {
  /** Bytes a block; chunks are whole blocks. */
  readonly blockSize: number;
  /** Of the image that the chunks stand for, in bytes. */
  readonly size: number;
  readonly chunks: readonly SparseChunk[];
  /** The header's count: with chunks that hold only a checksum. */
  readonly chunkCount: number;
  /** Where the last chunk ends in the file. */
  readonly end: number;
}

/** A block is read into memory at a time; the tools that write these images use 4096. */
const MAX_BLOCK_SIZE = 1 << 24;

/** Whether a source begins as a sparse image. */
export async function isSparse(source: ByteSource): Promise<boolean> {
  if (source.size < 4) return false;
  const head = await source.read(0, 4);
  return new DataView(head.buffer, head.byteOffset, 4).getUint32(0, true) === SPARSE_HEADER_MAGIC;
}

/**
 * Reads the chunks of a sparse image, without their content.
 *
 * Checksums are passed over: what the image holds is proved by signatures, not by a CRC.
 *
 * @throws {FormatError} when it is not one, is cut off, or its counts do not agree.
 */
export async function readSparse(source: ByteSource): Promise<SparseImage> {
  if (source.size < SparseHeader.size) throw bad('truncated', `it has ${source.size} bytes`);
  const header = SparseHeader.decode(await source.read(0, SparseHeader.size));
  if (header.magic !== SPARSE_HEADER_MAGIC) {
    throw bad('bad-magic', `it begins with 0x${header.magic.toString(16)}`, { offset: 0 });
  }
  if (header.major_version !== SPARSE_MAJOR_VERSION) {
    throw bad('bad-version', `its version is ${header.major_version}`, {
      offset: 4,
      field: 'major_version',
    });
  }
  const { file_hdr_sz: headerSize, chunk_hdr_sz: chunkHeaderSize, blk_sz: blockSize } = header;
  if (headerSize < SparseHeader.size || chunkHeaderSize < ChunkHeader.size) {
    throw bad('bad-value', `its headers have ${headerSize} and ${chunkHeaderSize} bytes`, {
      offset: 8,
      field: 'file_hdr_sz',
    });
  }
  if (blockSize === 0 || blockSize % 4 !== 0 || blockSize > MAX_BLOCK_SIZE) {
    throw bad('bad-value', `its blocks have ${blockSize} bytes`, { offset: 12, field: 'blk_sz' });
  }
  const size = header.total_blks * blockSize;
  if (!Number.isSafeInteger(size)) {
    throw bad('out-of-range', 'it is larger than any file', { offset: 16, field: 'total_blks' });
  }
  if (header.total_chunks > (source.size - headerSize) / chunkHeaderSize) {
    throw bad(
      'out-of-range',
      `it has no room for ${header.total_chunks} chunks in ${source.size} bytes`,
      { offset: 20, field: 'total_chunks' },
    );
  }
  const chunks: SparseChunk[] = [];
  let offset = 0;
  let at = headerSize;
  for (let index = 0; index < header.total_chunks; index += 1) {
    if (at + chunkHeaderSize > source.size) {
      throw bad('truncated', `chunk ${index} is behind its end`, { offset: at });
    }
    const chunk = ChunkHeader.decode(await source.read(at, ChunkHeader.size));
    const chunkSize = chunk.chunk_sz * blockSize;
    const dataOffset = at + chunkHeaderSize;
    const dataSize = chunk.total_sz - chunkHeaderSize;
    const where = { headerOffset: at, dataOffset, offset, size: chunkSize };
    const expect = (expected: number): void => {
      if (dataSize === expected && dataOffset + dataSize <= source.size) return;
      throw bad(
        dataSize === expected ? 'truncated' : 'bad-value',
        `chunk ${index} has ${dataSize} bytes, expected ${expected} of ${source.size - dataOffset} left`,
        { offset: at + 8, field: 'total_sz' },
      );
    };
    switch (chunk.chunk_type) {
      case CHUNK_TYPE_RAW:
        expect(chunkSize);
        chunks.push({ kind: 'raw', ...where });
        break;
      case CHUNK_TYPE_FILL:
        expect(4);
        chunks.push({ kind: 'fill', ...where, fill: await source.read(dataOffset, 4) });
        break;
      case CHUNK_TYPE_DONT_CARE:
        expect(0);
        chunks.push({ kind: 'hole', ...where });
        break;
      case CHUNK_TYPE_CRC32:
        expect(4);
        if (chunk.chunk_sz !== 0) {
          throw bad('bad-value', `chunk ${index} is a checksum of ${chunk.chunk_sz} blocks`, {
            offset: at + 4,
            field: 'chunk_sz',
          });
        }
        break;
      default:
        throw bad('bad-value', `chunk ${index} has type 0x${chunk.chunk_type.toString(16)}`, {
          offset: at,
          field: 'chunk_type',
        });
    }
    if (chunk.chunk_type !== CHUNK_TYPE_CRC32) offset += chunkSize;
    if (offset > size) {
      throw bad('out-of-range', `chunk ${index} ends at ${offset}, the image at ${size}`, {
        offset: at + 4,
        field: 'chunk_sz',
      });
    }
    at = dataOffset + dataSize;
  }
  if (offset !== size) {
    throw bad('bad-value', `its chunks have ${offset} bytes, its header says ${size}`, {
      offset: 16,
      field: 'total_blks',
    });
  }
  return { blockSize, size, chunks, chunkCount: header.total_chunks, end: at };
}

/** The image that a sparse image stands for; what nobody cares about is zeros. Closing closes `file`. */
export function sparseSource(file: ByteSource, { size, chunks }: SparseImage): ByteSource {
  // Chunks of no size answer for no byte and would confuse the search.
  const parts = chunks.filter((chunk) => chunk.size > 0);
  const indexAt = (offset: number): number => {
    let low = 0;
    for (let high = parts.length; high - low > 1;) {
      const middle = (low + high) >>> 1;
      if ((parts[middle]?.offset ?? size) <= offset) low = middle;
      else high = middle;
    }
    return low;
  };
  return {
    name: file.name,
    size,
    async read(offset, length) {
      if (offset < 0 || length < 0 || offset + length > size) {
        throw bad('truncated', `${length} bytes at ${offset} are outside of its ${size} bytes`);
      }
      const out = new Uint8Array(length);
      let index = indexAt(offset);
      for (let done = 0; done < length;) {
        const part = parts[index] as SparseChunk;
        const from = offset + done - part.offset;
        const count = Math.min(part.size - from, length - done);
        const target = out.subarray(done, done + count);
        if (part.kind === 'raw') target.set(await file.read(part.dataOffset + from, count));
        else if (part.fill !== undefined) fillWith(target, part.fill, from);
        done += count;
        index += 1;
      }
      return out;
    },
    close: () => file.close(),
  };
}

function fillWith(target: Uint8Array, pattern: Uint8Array, phase: number): void {
  if (pattern.every((byte) => byte === pattern[0])) {
    target.fill(pattern[0] ?? 0);
    return;
  }
  for (let at = 0; at < target.length; at += 1) target[at] = pattern[(phase + at) % 4] ?? 0;
}

/** A sparse image for people: how large it is, and what its chunks are. */

import type { DumpField, DumpNode } from '../../core/dump.ts';
import type { SparseChunk } from './layout.ts';
import type { SparseImage } from './reader.ts';

/** The sum of all chunks of each kind: an image has thousands of them. */
export function dumpSparse(name: string, image: SparseImage): DumpNode {
  const { blockSize, size, chunks, chunkCount, end } = image;
  const field = (key: string, value: DumpField['value']): DumpField => ({ name: key, value });
  const sumOf = (kind: SparseChunk['kind']): string => {
    const own = chunks.filter((chunk) => chunk.kind === kind);
    return `${own.reduce((sum, chunk) => sum + chunk.size, 0)} bytes in ${own.length} chunks`;
  };
  return {
    name: `sparse image ${name}`,
    fields: [
      { ...field('blk_sz', blockSize), offset: 12 },
      field('image size', size),
      { ...field('total_chunks', chunkCount), offset: 20 },
      field('raw', sumOf('raw')),
      field('fill', sumOf('fill')),
      field("don't care", sumOf('hole')),
      field('file ends at', end),
    ],
    children: [],
  };
}

/** Compares what stands between the parts of two files: nothing reads it, so anything may be hidden there. */

import { streamOf, sliceSource, type ByteSource } from '../../io/byte-source.ts';
import { firstDifference } from './bytes.ts';
import type { Scope } from './recorder.ts';

/** Bytes `[offset, offset + size)`. */
export interface Part {
  readonly offset: number;
  readonly size: number;
}

/** A file, and the parts of it that are compared elsewhere, in any order. */
export interface PartedFile {
  readonly source: ByteSource;
  readonly parts: readonly Part[];
}

/** What no part claims, in order. */
export function gapsOf({ source, parts }: PartedFile): Part[] {
  const gaps: Part[] = [];
  let at = 0;
  const inOrder = parts.filter(({ size }) => size > 0).sort((x, y) => x.offset - y.offset);
  for (const { offset, size } of [...inOrder, { offset: source.size, size: 0 }]) {
    const end = Math.min(offset, source.size);
    if (end > at) gaps.push({ offset: at, size: end - at });
    at = Math.max(at, offset + size);
  }
  return gaps;
}

export async function isZero(
  source: ByteSource,
  gap: Part,
  signal?: AbortSignal,
): Promise<boolean> {
  for await (const chunk of streamOf(source, gap.offset, gap.size)) {
    signal?.throwIfAborted();
    if (!Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length).every((byte) => byte === 0)) {
      return false;
    }
  }
  return true;
}

/** What files and partitions are filled up to. */
const BLOCK = 4096;

/** Whether one file is as much larger as its parts are, or fills up another number of blocks for them. */
function isFilled(a: PartedFile, b: PartedFile): boolean {
  const held = ({ parts }: PartedFile): number => parts.reduce((sum, { size }) => sum + size, 0);
  const [larger, more] = [b.source.size - a.source.size, held(b) - held(a)];
  return larger === more || (larger % BLOCK === 0 && Math.abs(larger - more) < BLOCK);
}

/**
 * Tells the first gap that differs. Zeros are as good as nothing where their number follows from the parts.
 */
export async function compareGaps(
  scope: Scope,
  a: PartedFile,
  b: PartedFile,
  field: string,
): Promise<void> {
  const [gapsA, gapsB] = [gapsOf(a), gapsOf(b)];
  const isParallel =
    gapsA.length === gapsB.length && gapsA.every(({ size }, at) => size === gapsB[at]?.size);
  const filled = async (file: PartedFile, gaps: readonly Part[]): Promise<Part[]> => {
    const found: Part[] = [];
    for (const gap of gaps) if (!(await isZero(file.source, gap, scope.signal))) found.push(gap);
    return found;
  };
  const [x, y] = isParallel ? [gapsA, gapsB] : [await filled(a, gapsA), await filled(b, gapsB)];
  for (let at = 0; at < Math.max(x.length, y.length); at += 1) {
    const [p, q] = [x[at], y[at]];
    const slice = ({ source }: PartedFile, gap: Part | undefined): ByteSource =>
      sliceSource(source, gap?.offset ?? 0, gap?.size ?? 0);
    const found = await firstDifference(slice(a, p), slice(b, q), scope.signal);
    if (found === undefined) continue;
    const show = (gap: Part | undefined): string =>
      gap === undefined ? 'zeros' : `${gap.size} bytes at ${gap.offset}`;
    scope.found({
      level: 'bytes',
      field,
      a: show(p),
      b: show(q),
      offset: (q ?? p ?? { offset: 0 }).offset + found,
    });
    return;
  }
  if (!isFilled(a, b)) {
    const show = ({ source }: PartedFile): string => `${source.size} bytes in all`;
    scope.found({ level: 'structure', field, a: show(a), b: show(b) });
  }
}

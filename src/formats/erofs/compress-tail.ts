/**
 * The last compressed data of a file stands behind its index when it fits there, which saves its
 * block and its seek.
 */

import { EXTENT_WORDS, extentTable, type StoredData } from '../../compression/cluster-batch.ts';
import type {
  ClusterCompressor,
  ClusterExtent,
  CompressedData,
} from '../../compression/cluster-compressor.ts';
import { divCeil } from '../../core/math.ts';
import { checkClusters } from './check-clusters.ts';

/** The last extent of a table. */
export function lastExtent(extents: Uint32Array): ClusterExtent | undefined {
  const at = extents.length - EXTENT_WORDS;
  if (at < 0) return undefined;
  return {
    length: extents[at] ?? 0,
    storedLength: extents[at + 1] ?? 0,
    isPlain: extents[at + 2] === 1,
  };
}

/** Everything but the last extent. */
export function withoutLast({ extents, bytes }: StoredData): StoredData {
  const at = Math.max(0, extents.length - EXTENT_WORDS);
  return {
    extents: extents.subarray(0, at),
    bytes: bytes.subarray(0, bytes.length - (extents[at + 1] ?? 0)),
  };
}

/** Bytes that a tail of a file can have. */
export interface TailRoom {
  /** Behind inode, xattrs, header and index. */
  readonly behindIndex: number;
  /** Whether the segment is the whole file. */
  readonly isWhole: boolean;
}

/** What stands behind the inode in place of the last extent. */
export interface Tail {
  readonly isPlain: boolean;
  readonly length: number;
  readonly bytes: Uint8Array;
}

export interface TailInput {
  /** The segment, and what it became. */
  readonly bytes: Uint8Array;
  readonly data: StoredData;
  /** Undefined when it has no tail: another segment follows. */
  readonly room: TailRoom | undefined;
}
interface TailOutput {
  /** The extents before the tail. */
  readonly data: StoredData;
  readonly tail: Tail;
}

/** What a tail must at least save by being compressed: the smallest block that compressors know. */
const SMALL_BLOCK = 512;

/**
 * Finds what can stand behind inodes, a segment each; undefined where the last extent has to stay
 * where it is.
 */
export async function packTails(
  inputs: readonly TailInput[],
  options: { readonly compressor: ClusterCompressor; readonly blockSize: number },
): Promise<(TailOutput | undefined)[]> {
  const shortened = await shortenLast(inputs, options);
  const small = await compressSmall(shortened, options);
  return shortened.map(({ room, bytes, data }, index) => {
    const last = room && lastExtent(data.extents);
    if (room === undefined || last === undefined) return undefined;
    const { length, storedLength } = last;
    const compressed = last.isPlain
      ? small.get(index)
      : data.bytes.subarray(data.bytes.length - storedLength);
    const tail = compressed ?? bytes.subarray(bytes.length - length);
    if (tail.length > room.behindIndex) return undefined;
    return {
      data: withoutLast(data),
      tail: { isPlain: compressed === undefined, length, bytes: tail },
    };
  });
}

/**
 * A last cluster of some blocks and a bit is cut in whole blocks and a tail, where that tail fits
 * behind the index.
 */
async function shortenLast(
  inputs: readonly TailInput[],
  { compressor, blockSize }: { compressor: ClusterCompressor; blockSize: number },
): Promise<TailInput[]> {
  const result = [...inputs];
  const bySize = new Map<number, number[]>();
  for (const [index, { data, room }] of inputs.entries()) {
    const last = room && lastExtent(data.extents);
    if (last === undefined || last.isPlain) continue;
    const whole = Math.floor(last.storedLength / blockSize);
    if (whole === 0 || last.storedLength % blockSize === 0) continue;
    bySize.set(whole, [...(bySize.get(whole) ?? []), index]);
  }
  for (const [whole, indexes] of bySize) {
    const rests = indexes.map((index) => lastInput(inputs[index] as TailInput));
    const results = await compressor.compress(rests, { blockSize, clusterSize: whole * blockSize });
    for (const [i, index] of indexes.entries()) {
      const input = inputs[index] as TailInput;
      const again = tableOf(results[i]);
      checkClusters(again, rests[i]?.length ?? 0, blockSize);
      const end = lastExtent(again.extents);
      if (end === undefined || end.storedLength > (input.room?.behindIndex ?? 0)) continue;
      if (storedBlocks(withoutLast(again).extents, blockSize) > whole) continue;
      const kept = withoutLast(input.data);
      const extents = new Uint32Array(kept.extents.length + again.extents.length);
      extents.set(kept.extents);
      extents.set(again.extents, kept.extents.length);
      const data = { extents, bytes: Buffer.concat([kept.bytes, again.bytes]) };
      result[index] = { ...input, data };
    }
  }
  return result;
}

/** Blocks that extents take. */
export function storedBlocks(extents: Uint32Array, blockSize: number): number {
  let blocks = 0;
  for (let at = 1; at < extents.length; at += EXTENT_WORDS) {
    blocks += divCeil(extents[at] ?? 0, blockSize);
  }
  return blocks;
}

/** Whether no extent is compressed. */
export function isPlainTable(extents: Uint32Array): boolean {
  for (let at = 2; at < extents.length; at += EXTENT_WORDS) if (extents[at] !== 1) return false;
  return true;
}

function tableOf(data: CompressedData | undefined): StoredData {
  if (data === undefined) throw new TypeError('A compressor lost data');
  return { extents: extentTable(data.extents), bytes: data.bytes };
}

const lastInput = ({ bytes, data }: TailInput): Uint8Array =>
  bytes.subarray(bytes.length - (lastExtent(data.extents)?.length ?? 0));

/** Plain tails, compressed, where that saves enough: what saves no block may still save some bytes. */
async function compressSmall(
  inputs: readonly TailInput[],
  { compressor, blockSize }: { compressor: ClusterCompressor; blockSize: number },
): Promise<Map<number, Uint8Array>> {
  const candidates = [...inputs.entries()].filter(([, { data, room }]) => {
    const last = room && lastExtent(data.extents);
    if (room === undefined || last === undefined) return false;
    if (!last.isPlain || last.length <= SMALL_BLOCK) return false;
    // Of a file that is otherwise flat an index would cost what the tail saves.
    const hasMore = data.extents.length > EXTENT_WORDS;
    return !(hasMore && room.isWhole && isPlainTable(data.extents));
  });
  const found = new Map<number, Uint8Array>();
  if (candidates.length === 0) return found;
  const tails = candidates.map(([, input]) => lastInput(input));
  const results = await compressor.compress(tails, {
    blockSize: SMALL_BLOCK,
    clusterSize: blockSize,
  });
  for (const [i, [index, { room }]] of candidates.entries()) {
    const { extents, bytes } = tableOf(results[i]);
    checkClusters({ extents, bytes }, tails[i]?.length ?? 0, SMALL_BLOCK);
    if (extents.length !== EXTENT_WORDS || isPlainTable(extents)) continue;
    if (bytes.length <= (room?.behindIndex ?? 0)) found.set(index, bytes);
  }
  return found;
}

/**
 * The last compressed data of a file stands behind its index when it fits there, which saves its
 * block and its seek.
 */

import type {
  ClusterCompressor,
  ClusterExtent,
  CompressedData,
} from '../../compression/cluster-compressor.ts';
import { divCeil } from '../../core/math.ts';
import { checkClusters } from './check-clusters.ts';

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

interface TailInput {
  /** The segment, its extents and what they have stored. */
  readonly bytes: Uint8Array;
  readonly extents: readonly ClusterExtent[];
  readonly stored: Uint8Array;
  /** Undefined when it has no tail: another segment follows. */
  readonly room: TailRoom | undefined;
}
interface TailOutput {
  /** The extents before the tail. */
  readonly data: CompressedData;
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
  return shortened.map(({ room, bytes, extents, stored }, index) => {
    const last = extents.at(-1);
    if (room === undefined || last === undefined) return undefined;
    const { length } = last;
    const kept = extents.slice(0, -1);
    const data = {
      extents: kept,
      bytes: stored.subarray(0, stored.length - last.storedLength),
    };
    const end = stored.subarray(stored.length - last.storedLength);
    const compressed = last.isPlain ? small.get(index) : end;
    const tail = compressed ?? bytes.subarray(bytes.length - length);
    if (tail.length > room.behindIndex) return undefined;
    return { data, tail: { isPlain: compressed === undefined, length, bytes: tail } };
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
  for (const [index, { extents, room }] of inputs.entries()) {
    const last = extents.at(-1);
    if (room === undefined || last === undefined || last.isPlain) continue;
    const whole = Math.floor(last.storedLength / blockSize);
    if (whole === 0 || last.storedLength % blockSize === 0) continue;
    bySize.set(whole, [...(bySize.get(whole) ?? []), index]);
  }
  for (const [whole, indexes] of bySize) {
    const rests = indexes.map((index) => lastInput(inputs[index] as TailInput));
    const results = await compressor.compress(rests, { blockSize, clusterSize: whole * blockSize });
    for (const [i, index] of indexes.entries()) {
      const input = inputs[index] as TailInput;
      const again = results[i] as CompressedData;
      checkClusters(again, rests[i]?.length ?? 0, blockSize);
      const end = again.extents.at(-1) as ClusterExtent;
      const before = again.extents.slice(0, -1);
      const blocks = before.reduce((sum, each) => sum + divCeil(each.storedLength, blockSize), 0);
      if (blocks > whole || end.storedLength > (input.room?.behindIndex ?? 0)) continue;
      const last = input.extents.at(-1) as ClusterExtent;
      const kept = input.stored.subarray(0, input.stored.length - last.storedLength);
      result[index] = {
        ...input,
        extents: [...input.extents.slice(0, -1), ...again.extents],
        stored: Buffer.concat([kept, again.bytes]),
      };
    }
  }
  return result;
}

const lastInput = ({ bytes, extents }: TailInput): Uint8Array =>
  bytes.subarray(bytes.length - (extents.at(-1)?.length ?? 0));

/** Plain tails, compressed, where that saves enough: what saves no block may still save some bytes. */
async function compressSmall(
  inputs: readonly TailInput[],
  { compressor, blockSize }: { compressor: ClusterCompressor; blockSize: number },
): Promise<Map<number, Uint8Array>> {
  const candidates = [...inputs.entries()].filter(([, { extents, room }]) => {
    const last = extents.at(-1);
    if (room === undefined || last === undefined || !last.isPlain) return false;
    // Of a file that is otherwise flat an index would cost what the tail saves.
    const staysFlat = extents.length > 1 && room.isWhole && extents.every(({ isPlain }) => isPlain);
    return !staysFlat && last.length > SMALL_BLOCK;
  });
  const found = new Map<number, Uint8Array>();
  if (candidates.length === 0) return found;
  const tails = candidates.map(([, input]) => lastInput(input));
  const results = await compressor.compress(tails, {
    blockSize: SMALL_BLOCK,
    clusterSize: blockSize,
  });
  for (const [i, [index, { room }]] of candidates.entries()) {
    const result = results[i] as CompressedData;
    checkClusters(result, tails[i]?.length ?? 0, SMALL_BLOCK);
    const { extents, bytes } = result;
    const [only] = extents;
    if (extents.length !== 1 || only === undefined || only.isPlain) continue;
    if (bytes.length <= (room?.behindIndex ?? 0)) found.set(index, bytes);
  }
  return found;
}

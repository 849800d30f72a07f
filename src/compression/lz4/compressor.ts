/**
 * LZ4 into clusters of a fixed size: of each cluster the most input that fits, as one block. The twin
 * of `native/src/lz4`: it gives the same bytes.
 *
 * @see lz4_Block_format.md of LZ4
 */

import type { ClusterCompressor } from '../cluster-compressor.ts';
import { cutIntoClusters, type ClusterEncoder } from '../clusters.ts';
import { BlockWriter } from './block.ts';
import { Chains, type Effort } from './chains.ts';
import { fillFastBlock, Latest } from './fast.ts';
import { fillHighBlock } from './high.ts';

/**
 * What one block may decode to: 255 times what an encoded block of 4096 bytes takes fits, and nothing
 * reads a part of a block by decoding much more than this.
 */
const MAX_BLOCK_LENGTH = 254 * 4096;

/** Candidates that are looked at for each match, by level from 1 on. */
const DEPTHS = [2, 3, 5, 9, 12, 20, 32, 40, 48, 128, 256, 1024];
/** A match of this length is good enough, and what stands within it is not searched. */
const ENOUGH = 256;
const ENOUGH_AT_LAST = 4096;

export interface Lz4Options {
  /** 1 to 12, of LZ4 HC: how hard repeated bytes are searched. Without, plain LZ4. */
  readonly level?: number | undefined;
}

/** @throws {RangeError} when there is no such level. */
export function createLz4Compressor({ level }: Lz4Options = {}): ClusterCompressor {
  const effort = level === undefined ? undefined : effortAt(level);
  const encoderOf = effort === undefined ? fastEncoder() : highEncoder(effort);
  return {
    algorithm: effort === undefined ? 'lz4' : 'lz4hc',
    compress: (inputs, options) =>
      inputs.map((input) => cutIntoClusters(input, options, encoderOf(input))),
  };
}

function effortAt(level: number): Effort {
  const depth = DEPTHS[level - 1];
  if (depth === undefined) throw new RangeError(`Cannot compress at level ${level}: use 1 to 12`);
  return { depth, enough: level < 10 ? ENOUGH : ENOUGH_AT_LAST };
}

/** Its tables serve one input after the other: most inputs are smaller than they are. */
function fastEncoder(): (input: Uint8Array) => ClusterEncoder {
  const latest = new Latest();
  return (input) => {
    latest.begin(input);
    return blockEncoder(input, (start, end, writer) => {
      fillFastBlock(latest, input, start, end, writer);
    });
  };
}

function highEncoder(effort: Effort): (input: Uint8Array) => ClusterEncoder {
  const chains = new Chains();
  return (input) => {
    chains.begin(input);
    return blockEncoder(input, (start, end, writer) => {
      fillHighBlock(chains, start, end, effort, writer);
    });
  };
}

function blockEncoder(
  input: Uint8Array,
  fill: (start: number, end: number, writer: BlockWriter) => void,
): ClusterEncoder {
  return {
    encode(start, end, capacity) {
      const stop = Math.min(end, start + MAX_BLOCK_LENGTH);
      const writer = new BlockWriter(input, start, capacity);
      fill(start, stop, writer);
      const block = writer.finish(stop);
      return { consumed: block.end - start, bytes: block.bytes };
    },
  };
}

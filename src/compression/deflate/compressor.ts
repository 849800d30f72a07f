/**
 * DEFLATE into clusters of a fixed size: of each cluster the most input that fits, as one block.
 *
 * zlib will not do: its output varies between builds of Node, and it cannot be told how large the
 * output may be.
 */

import type { ClusterCompressor } from '../cluster-compressor.ts';
import { cutIntoClusters, type ClusterEncoder } from '../clusters.ts';
import { chooseCodes, encodeBlock, Statistics, type BlockCodes } from './block.ts';
import { longestMatch, previousPositions, searchEffort, type SearchEffort } from './matches.ts';

/** @param level 1 to 9, as zlib's: how hard repeated bytes are searched. */
export function createDeflateCompressor(level = 6): ClusterCompressor {
  const effort = searchEffort(level);
  return {
    algorithm: 'deflate',
    compress: (inputs, options) =>
      inputs.map((input) => cutIntoClusters(input, options, deflateEncoder(input, effort))),
  };
}

/** Tokens of a cluster: more are made as long as they may fit. */
interface Tokens {
  readonly values: number[];
  /** Bytes of input that they stand for. */
  length: number;
}

function deflateEncoder(input: Uint8Array, effort: SearchEffort): ClusterEncoder {
  const previous = previousPositions(input);
  /** How many tokens the last cluster took: the next one is first tried with as many. */
  let usual = 1024;

  return {
    encode(start, end, capacity) {
      const match = (at: number): number => longestMatch(input, previous, at, start, end, effort);
      const tokens: Tokens = { values: [], length: 0 };
      let pending = match(start);
      const next = (): void => {
        const at = start + tokens.length;
        const length = pending & 0x1ff;
        if (length > 0 && length < effort.lazy) {
          const later = match(at + 1);
          if ((later & 0x1ff) > length) {
            tokens.values.push(input[at] as number);
            tokens.length += 1;
            pending = later;
            return;
          }
        }
        tokens.values.push(length > 0 ? pending : (input[at] as number));
        tokens.length += Math.max(length, 1);
        pending = match(start + tokens.length);
      };

      // More and more tokens, until they do not fit or the input ends.
      let fitting = {
        count: 0,
        statistics: new Statistics(),
        codes: undefined as BlockCodes | undefined,
      };
      let overflow: number | undefined;
      for (let want = usual; overflow === undefined; want += Math.max(32, want >> 4)) {
        while (tokens.values.length < want && start + tokens.length < end) next();
        const count = tokens.values.length;
        if (count === fitting.count) break;
        const tried = extend(fitting, tokens.values, count);
        if (tried.codes.bits <= capacity * 8) fitting = tried;
        else overflow = count;
      }
      // The most that fits is somewhere between.
      while (overflow !== undefined && overflow - fitting.count > 1) {
        const count = (fitting.count + overflow) >> 1;
        const tried = extend(fitting, tokens.values, count);
        if (tried.codes.bits <= capacity * 8) fitting = tried;
        else overflow = count;
      }
      const { count, codes } = fitting;
      if (codes === undefined) return { consumed: 0, bytes: new Uint8Array(0) };
      usual = count;
      const chosen = Uint32Array.from(tokens.values.slice(0, count));
      let consumed = 0;
      for (const token of chosen) consumed += token < 512 ? 1 : token & 0x1ff;
      return { consumed, bytes: encodeBlock(chosen, codes) };
    },
  };
}

/** The statistics and codes of the first `count` tokens, from those of fewer. */
function extend(
  from: { readonly count: number; readonly statistics: Statistics },
  tokens: readonly number[],
  count: number,
): { count: number; statistics: Statistics; codes: BlockCodes } {
  const statistics = from.statistics.copy();
  for (let at = from.count; at < count; at += 1) statistics.add(tokens[at] as number);
  return { count, statistics, codes: chooseCodes(statistics) };
}

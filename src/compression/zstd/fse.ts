/**
 * Finite State Entropy, the encoder: a symbol takes as many bits as its share of the states says, also
 * fractions of one.
 *
 * @see RFC 8878, section 4.1
 */

import { BitWriter } from '../bit-writer.ts';

/** How symbols share the states of a table; -1 is one state that starts anew. */
export interface Distribution {
  readonly tableLog: number;
  readonly counts: Int16Array;
}

/** A table to encode with. A state is kept with the table's size added, as the formulas want it. */
export interface FseTable {
  readonly tableLog: number;
  /** By symbol: what added to a state gives its number of bits, 16 bits up. */
  readonly deltaBits: Int32Array;
  /** By symbol: what added to a shifted state gives the place of the next one. */
  readonly deltaState: Int32Array;
  readonly nextStates: Uint16Array;
}

export function buildTable({ tableLog, counts }: Distribution): FseTable {
  const size = 1 << tableLog;
  const symbols = new Uint8Array(size);
  let high = size - 1;
  for (let symbol = 0; symbol < counts.length; symbol += 1) {
    if (counts[symbol] === -1) symbols[high--] = symbol;
  }
  // The states of a symbol are spread over the table.
  const step = (size >> 1) + (size >> 3) + 3;
  let at = 0;
  for (let symbol = 0; symbol < counts.length; symbol += 1) {
    for (let left = counts[symbol] as number; left > 0; left -= 1) {
      symbols[at] = symbol;
      do at = (at + step) & (size - 1);
      while (at > high);
    }
  }
  const first = new Int32Array(counts.length);
  const deltaBits = new Int32Array(counts.length);
  const deltaState = new Int32Array(counts.length);
  let total = 0;
  for (let symbol = 0; symbol < counts.length; symbol += 1) {
    const count = Math.abs(counts[symbol] as number);
    first[symbol] = total;
    if (count === 0) continue;
    const bits = count === 1 ? tableLog : tableLog - (31 - Math.clz32(count - 1));
    deltaBits[symbol] = (bits << 16) - (count << bits);
    deltaState[symbol] = total - count;
    total += count;
  }
  const nextStates = new Uint16Array(size);
  for (let state = 0; state < size; state += 1) {
    const symbol = symbols[state] as number;
    nextStates[first[symbol] as number] = size + state;
    first[symbol] = (first[symbol] as number) + 1;
  }
  return { tableLog, deltaBits, deltaState, nextStates };
}

/** The state to begin with so that the decoder ends with this symbol; it costs no bits. */
export function initialState(table: FseTable, symbol: number): number {
  const delta = table.deltaBits[symbol] as number;
  const bits = (delta + (1 << 15)) >> 16;
  const value = (bits << 16) - delta;
  return table.nextStates[(value >> bits) + (table.deltaState[symbol] as number)] as number;
}

/** Bits that the next symbol takes in a state. */
export const bitsOf = (table: FseTable, state: number, symbol: number): number =>
  (state + (table.deltaBits[symbol] as number)) >> 16;

/** The state after a symbol that took so many bits. */
export const nextState = (table: FseTable, state: number, symbol: number, bits: number): number =>
  table.nextStates[(state >> bits) + (table.deltaState[symbol] as number)] as number;

/** Writes a symbol and returns the next state. */
export function putSymbol(out: BitWriter, table: FseTable, state: number, symbol: number): number {
  const bits = bitsOf(table, state, symbol);
  out.put(state & ((1 << bits) - 1), bits);
  return nextState(table, state, symbol, bits);
}

/** What symbols take with a table, from the last to the first, with the state at the end; in bits. */
export function costOf(table: FseTable, symbols: Uint8Array): number {
  let total = table.tableLog;
  let state = initialState(table, symbols[symbols.length - 1] as number);
  for (let at = symbols.length - 2; at >= 0; at -= 1) {
    const symbol = symbols[at] as number;
    const bits = bitsOf(table, state, symbol);
    total += bits;
    state = nextState(table, state, symbol, bits);
  }
  return total;
}

/**
 * Shares the states of a table by frequency: each symbol that occurs gets at least one, what is left
 * over after rounding down goes to the most frequent.
 *
 * @param frequencies At least two are not 0.
 * @param maxLog The largest table; the number of symbols must fit it.
 */
export function distribute(frequencies: Uint32Array, maxLog: number): Distribution {
  let total = 0;
  let last = 0;
  let distinct = 0;
  for (let symbol = 0; symbol < frequencies.length; symbol += 1) {
    const frequency = frequencies[symbol] as number;
    if (frequency === 0) continue;
    total += frequency;
    last = symbol;
    distinct += 1;
  }
  // A table larger than what it encodes only costs; a smaller one than its symbols cannot be.
  const useful = Math.max(31 - Math.clz32(total - 1) - 1, 33 - Math.clz32(distinct), 5);
  const tableLog = Math.min(maxLog, useful);
  const size = 1 << tableLog;
  const counts = new Int16Array(last + 1);
  let left = size;
  let largest = 0;
  for (let symbol = 0; symbol <= last; symbol += 1) {
    const frequency = frequencies[symbol] as number;
    if (frequency === 0) continue;
    counts[symbol] = Math.max(1, Math.floor((frequency * size) / total));
    left -= counts[symbol] as number;
    if (frequency > (frequencies[largest] as number)) largest = symbol;
  }
  if (left >= 0) {
    counts[largest] = (counts[largest] as number) + left;
    return { tableLog, counts };
  }
  // Rare symbols got more than their share: the largest counts give it back.
  for (; left < 0; left += 1) {
    let most = 0;
    for (let symbol = 1; symbol <= last; symbol += 1) {
      if ((counts[symbol] as number) > (counts[most] as number)) most = symbol;
    }
    counts[most] = (counts[most] as number) - 1;
  }
  return { tableLog, counts };
}

/** How a distribution is sent (RFC 8878, section 4.1.1). It must have no -1. */
export function encodeDistribution({ tableLog, counts }: Distribution): Uint8Array {
  const out = new BitWriter(64);
  out.put(tableLog - 5, 4);
  let left = (1 << tableLog) + 1;
  let bits = tableLog + 1;
  let threshold = 1 << tableLog;
  for (let symbol = 0; symbol < counts.length && left > 1; symbol += 1) {
    const count = counts[symbol] as number;
    // Values below `shorter` take a bit less: fewer are possible than the bits could tell apart.
    const shorter = 2 * threshold - 1 - left;
    let value = count + 1;
    left -= count;
    if (value >= threshold) value += shorter;
    out.put(value, value < shorter ? bits - 1 : bits);
    while (left < threshold) {
      bits -= 1;
      threshold >>= 1;
    }
    if (count !== 0) continue;
    // Behind a zero stands how many more there are, 3 at a time.
    let zeros = 0;
    while (counts[symbol + 1 + zeros] === 0) zeros += 1;
    symbol += zeros;
    for (; zeros >= 3; zeros -= 3) out.put(3, 2);
    out.put(zeros, 2);
  }
  return out.finish();
}

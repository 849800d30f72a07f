/**
 * The sequences section of a Zstandard block: how many literals, then how long a match from how far
 * back, again and again.
 *
 * @see RFC 8878, sections 3.1.1.3.2 and 3.1.1.5
 */

import { BitWriter } from '../bit-writer.ts';
import {
  buildTable,
  costOf,
  distribute,
  encodeDistribution,
  initialState,
  putSymbol,
  type FseTable,
} from './fse.ts';
import { concat } from './literals.ts';

export interface Sequence {
  readonly literals: number;
  /** 1 to 3 repeat an earlier offset, others are the offset and 3. */
  readonly offsetValue: number;
  readonly match: number;
}

const PREDEFINED = 0;
const SINGLE = 1;
const DESCRIBED = 2;

/** Where the values of a code begin, and how many bits tell them apart. */
interface Codes {
  readonly base: Uint32Array;
  readonly extra: Uint8Array;
}

/** Codes that each stand for one value, then codes with these numbers of extra bits. */
function codesFrom(start: number, singles: number, extras: readonly number[]): Codes {
  const extra = Uint8Array.from([...new Uint8Array(singles), ...extras]);
  const base = new Uint32Array(extra.length);
  let value = start;
  for (const [code, bits] of extra.entries()) {
    base[code] = value;
    value += 2 ** bits;
  }
  return { base, extra };
}

const LITERAL_CODES = codesFrom(
  0,
  16,
  [1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
);
const MATCH_CODES = codesFrom(
  3,
  32,
  [1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
);

/** The code whose values hold this one: at most a few steps from where its size says. */
function codeOf({ base }: Codes, value: number): number {
  let low = 0;
  for (let high = base.length; high - low > 1;) {
    const middle = (low + high) >> 1;
    if ((base[middle] as number) <= value) low = middle;
    else high = middle;
  }
  return low;
}

const log2 = (value: number): number => 31 - Math.clz32(value);

/** The tables of RFC 8878, section 3.1.1.3.2.2. */
const predefined = (tableLog: number, counts: readonly number[]): FseTable =>
  buildTable({ tableLog, counts: Int16Array.from(counts) });
const repeated = (value: number, count: number): number[] =>
  Array.from({ length: count }, () => value);
const LITERAL_TABLE = predefined(
  6,
  [4, 3, ...repeated(2, 11), 1, 1, 1, ...repeated(2, 9), 3, 2].concat(
    repeated(1, 5),
    repeated(-1, 4),
  ),
);
const MATCH_TABLE = predefined(
  6,
  [1, 4, 3].concat(repeated(2, 6), repeated(1, 37), repeated(-1, 7)),
);
const OFFSET_TABLE = predefined(
  5,
  repeated(1, 6).concat([2, 2, 2], repeated(1, 15), repeated(-1, 5)),
);
/** The last code that the predefined table of offsets has. */
const MAX_PREDEFINED_OFFSET = 28;

/** How the codes of one kind are coded: the mode, what describes it, and the table. */
interface Coding {
  readonly mode: number;
  readonly description: Uint8Array;
  /** Undefined when there is one code only, which takes no bits. */
  readonly table: FseTable | undefined;
}

/** The cheapest of the ways to code these codes. */
function chooseCoding(codes: Uint8Array, standard: FseTable | undefined, maxLog: number): Coding {
  const frequencies = new Uint32Array(64);
  for (const code of codes) frequencies[code] = (frequencies[code] as number) + 1;
  if (frequencies[codes[0] as number] === codes.length) {
    return { mode: SINGLE, description: codes.slice(0, 1), table: undefined };
  }
  const distribution = distribute(frequencies, maxLog);
  const table = buildTable(distribution);
  const description = encodeDistribution(distribution);
  const cost = costOf(table, codes) + 8 * description.length;
  if (standard !== undefined && costOf(standard, codes) <= cost) {
    return { mode: PREDEFINED, description: new Uint8Array(0), table: standard };
  }
  return { mode: DESCRIBED, description, table };
}

/** @param sequences At most 65536 of them. */
export function encodeSequences(sequences: readonly Sequence[]): Uint8Array {
  const count = sequences.length;
  if (count === 0) return Uint8Array.of(0);
  const literalCodes = new Uint8Array(count);
  const matchCodes = new Uint8Array(count);
  const offsetCodes = new Uint8Array(count);
  let farthest = 0;
  for (const [index, { literals, match, offsetValue }] of sequences.entries()) {
    literalCodes[index] = codeOf(LITERAL_CODES, literals);
    matchCodes[index] = codeOf(MATCH_CODES, match);
    const far = log2(offsetValue);
    offsetCodes[index] = far;
    farthest = Math.max(farthest, far);
  }
  const literal = chooseCoding(literalCodes, LITERAL_TABLE, 9);
  const standard = farthest <= MAX_PREDEFINED_OFFSET ? OFFSET_TABLE : undefined;
  const offset = chooseCoding(offsetCodes, standard, 8);
  const match = chooseCoding(matchCodes, MATCH_TABLE, 9);

  const out = new BitWriter(count * 8);
  const coder = (
    { table }: Coding,
    codes: Uint8Array,
  ): { step(index: number): void; end(): void } => {
    let state = 0;
    return {
      step(index) {
        if (table === undefined) return;
        const code = codes[index] as number;
        state =
          index === count - 1 ? initialState(table, code) : putSymbol(out, table, state, code);
      },
      end() {
        if (table !== undefined) out.put(state & ((1 << table.tableLog) - 1), table.tableLog);
      },
    };
  };
  const literalCoder = coder(literal, literalCodes);
  const offsetCoder = coder(offset, offsetCodes);
  const matchCoder = coder(match, matchCodes);
  // From the last to the first: it is read from its end.
  for (let index = count - 1; index >= 0; index -= 1) {
    const sequence = sequences[index] as Sequence;
    offsetCoder.step(index);
    matchCoder.step(index);
    literalCoder.step(index);
    const run = literalCodes[index] as number;
    out.put(
      sequence.literals - (LITERAL_CODES.base[run] as number),
      LITERAL_CODES.extra[run] as number,
    );
    const length = matchCodes[index] as number;
    out.put(
      sequence.match - (MATCH_CODES.base[length] as number),
      MATCH_CODES.extra[length] as number,
    );
    const bits = offsetCodes[index] as number;
    out.put(sequence.offsetValue - 2 ** bits, bits);
  }
  matchCoder.end();
  offsetCoder.end();
  literalCoder.end();
  out.put(1, 1);

  const number =
    count < 128
      ? [count]
      : count < 0x7f00
        ? [(count >> 8) + 128, count & 0xff]
        : [255, (count - 0x7f00) & 0xff, (count - 0x7f00) >> 8];
  const modes = (literal.mode << 6) | (offset.mode << 4) | (match.mode << 2);
  return concat([
    Uint8Array.from([...number, modes]),
    literal.description,
    offset.description,
    match.description,
    out.finish(),
  ]);
}

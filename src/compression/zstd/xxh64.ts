/**
 * XXH64, the checksum of zstd frames. 64-bit arithmetic on halves of 32 bits: with BigInt it would be
 * slower than the decompression.
 *
 * @see https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md
 */

const P1 = 0x9e3779b185ebca87n;
const P2 = 0xc2b2ae3d27d4eb4fn;
const P3 = 0x165667b19e3779f9n;
const P4 = 0x85ebca77c2b2ae63n;
const P5 = 0x27d4eb2f165667c5n;

const u64 = (value: bigint): bigint => BigInt.asUintN(64, value);
const rotate = (value: bigint, bits: bigint): bigint =>
  u64((value << bits) | (value >> (64n - bits)));

const half = (value: bigint): readonly [high: number, low: number] => [
  Number(value >> 32n) | 0,
  Number(value & 0xffffffffn) | 0,
];
const [P1_HIGH, P1_LOW] = half(P1);
const [P2_HIGH, P2_LOW] = half(P2);

/** The upper half of the product of two unsigned 32-bit numbers. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  return (aHigh * bHigh + (middle >>> 16) + ((aLow * bHigh + (middle & 0xffff)) >>> 16)) | 0;
}

/** One lane: the value so far takes in eight bytes. For the end, where speed does not count. */
const roundBig = (accumulator: bigint, input: bigint): bigint =>
  u64(rotate(u64(accumulator + input * P2), 31n) * P1);

const STRIPE = 32;

/** A running XXH64 with seed 0. */
export class Xxh64 {
  /** Four lanes, each its upper and lower half. */
  readonly #lanes = new Int32Array(8);
  readonly #rest = new Uint8Array(STRIPE);
  #restLength = 0;
  #total = 0;

  constructor() {
    const start = [u64(P1 + P2), P2, 0n, u64(-P1)];
    this.#lanes.set(start.flatMap((lane) => [...half(lane)]));
  }

  update(data: Uint8Array): void {
    this.#total += data.length;
    let at = 0;
    if (this.#restLength > 0) {
      at = Math.min(STRIPE - this.#restLength, data.length);
      this.#rest.set(data.subarray(0, at), this.#restLength);
      this.#restLength += at;
      if (this.#restLength < STRIPE) return;
      this.#stripes(this.#rest, 0, STRIPE);
      this.#restLength = 0;
    }
    const end = at + Math.floor((data.length - at) / STRIPE) * STRIPE;
    this.#stripes(data, at, end);
    this.#rest.set(data.subarray(end));
    this.#restLength = data.length - end;
  }

  #stripes(data: Uint8Array, from: number, to: number): void {
    const view = new DataView(data.buffer, data.byteOffset, data.length);
    const lanes = this.#lanes;
    for (let at = from; at < to; at += 8) {
      const lane = ((at - from) >> 2) & 6;
      const inLow = view.getInt32(at, true);
      const inHigh = view.getInt32(at + 4, true);
      const addLow = Math.imul(inLow, P2_LOW);
      const addHigh =
        multiplyHigh(inLow, P2_LOW) + Math.imul(inHigh, P2_LOW) + Math.imul(inLow, P2_HIGH);
      const sumLow = ((lanes[lane + 1] ?? 0) >>> 0) + (addLow >>> 0);
      const sumHigh = (lanes[lane] ?? 0) + addHigh + (sumLow > 0xffffffff ? 1 : 0);
      const low = (sumLow << 31) | ((sumHigh | 0) >>> 1);
      const high = (sumHigh << 31) | ((sumLow | 0) >>> 1);
      lanes[lane + 1] = Math.imul(low, P1_LOW);
      lanes[lane] = multiplyHigh(low, P1_LOW) + Math.imul(high, P1_LOW) + Math.imul(low, P1_HIGH);
    }
  }

  #lane(index: number): bigint {
    const high = BigInt((this.#lanes[index * 2] ?? 0) >>> 0);
    return (high << 32n) | BigInt((this.#lanes[index * 2 + 1] ?? 0) >>> 0);
  }

  /** The digest of everything so far. */
  digest(): bigint {
    let hash = P5;
    if (this.#total >= STRIPE) {
      const lanes = [0, 1, 2, 3].map((index) => this.#lane(index));
      const turns = [1n, 7n, 12n, 18n];
      hash = u64(lanes.reduce((sum, lane, index) => sum + rotate(lane, turns[index] ?? 0n), 0n));
      for (const lane of lanes) hash = u64((hash ^ roundBig(0n, lane)) * P1 + P4);
    }
    hash = u64(hash + BigInt(this.#total));
    const view = new DataView(this.#rest.buffer);
    let at = 0;
    for (; at + 8 <= this.#restLength; at += 8) {
      hash ^= roundBig(0n, view.getBigUint64(at, true));
      hash = u64(rotate(hash, 27n) * P1 + P4);
    }
    for (; at + 4 <= this.#restLength; at += 4) {
      hash ^= u64(BigInt(view.getUint32(at, true)) * P1);
      hash = u64(rotate(hash, 23n) * P2 + P3);
    }
    for (; at < this.#restLength; at++) {
      hash ^= u64(BigInt(view.getUint8(at)) * P5);
      hash = u64(rotate(hash, 11n) * P1);
    }
    hash = u64((hash ^ (hash >> 33n)) * P2);
    hash = u64((hash ^ (hash >> 29n)) * P3);
    return hash ^ (hash >> 32n);
  }
}

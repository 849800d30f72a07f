/**
 * BLAKE2b with a digest of 32 bytes and no key. OpenSSL has only the one of 64 bytes, and a shorter digest is
 * no prefix of a longer one: its length is part of the initial state.
 *
 * JavaScript has no 64-bit integers that are fast: a word is two halves, the low one first.
 *
 * @see RFC 7693
 */

const BLOCK = 128;
const ROUNDS = 12;
const DIGEST = 32;

/** The first 64 bits of the fractional parts of the square roots of the first eight primes. */
const IV = new Uint32Array([
  0xf3bcc908, 0x6a09e667, 0x84caa73b, 0xbb67ae85, 0xfe94f82b, 0x3c6ef372, 0x5f1d36f1, 0xa54ff53a,
  0xade682d1, 0x510e527f, 0x2b3e6c1f, 0x9b05688c, 0xfb41bd6b, 0x1f83d9ab, 0x137e2179, 0x5be0cd19,
]);

/** Which message word goes where, by round; the last two repeat the first two. */
const SIGMA = [
  [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
  [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
  [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
  [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
  [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
  [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
  [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
  [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
  [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
  [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
];

/** By round: where in the message the halves of each step's two words start. */
const SCHEDULE = Uint8Array.from(
  Array.from({ length: ROUNDS }, (_, round) => SIGMA[round % SIGMA.length] ?? []).flat(),
  (word) => word * 2,
);

/** The columns, then the diagonals, of the four by four words that a round mixes. */
const QUARTETS = Uint8Array.from(
  [
    [0, 4, 8, 12],
    [1, 5, 9, 13],
    [2, 6, 10, 14],
    [3, 7, 11, 15],
    [0, 5, 10, 15],
    [1, 6, 11, 12],
    [2, 7, 8, 13],
    [3, 4, 9, 14],
  ].flat(),
  (word) => word * 2,
);

// One hash at a time, and each from start to end: they share their working memory.
const v = new Uint32Array(32);
const m = new Uint32Array(32);
const h = new Uint32Array(16);
const block = new Uint8Array(BLOCK);

/** One step of the mixing: `v[a] += v[b] + m[x]`, `v[d] = (v[d] ^ v[a]) >>> r`, ... on halves. */
function mix(a: number, b: number, c: number, d: number, x: number, y: number): void {
  let al = v[a]!;
  let ah = v[a + 1]!;
  let bl = v[b]!;
  let bh = v[b + 1]!;
  let cl = v[c]!;
  let ch = v[c + 1]!;
  let dl = v[d]!;
  let dh = v[d + 1]!;

  let low = al + bl + m[x]!;
  ah = (ah + bh + m[x + 1]! + ((low / 0x100000000) | 0)) | 0;
  al = low | 0;
  // By 32: the halves change places.
  let swap = dl ^ al;
  dl = dh ^ ah;
  dh = swap;
  low = (cl >>> 0) + (dl >>> 0);
  ch = (ch + dh + ((low / 0x100000000) | 0)) | 0;
  cl = low | 0;
  let tl = bl ^ cl;
  let th = bh ^ ch;
  bl = (tl >>> 24) | (th << 8);
  bh = (th >>> 24) | (tl << 8);

  low = (al >>> 0) + (bl >>> 0) + m[y]!;
  ah = (ah + bh + m[y + 1]! + ((low / 0x100000000) | 0)) | 0;
  al = low | 0;
  tl = dl ^ al;
  th = dh ^ ah;
  dl = (tl >>> 16) | (th << 16);
  dh = (th >>> 16) | (tl << 16);
  low = (cl >>> 0) + (dl >>> 0);
  ch = (ch + dh + ((low / 0x100000000) | 0)) | 0;
  cl = low | 0;
  // By 63 to the right is by one to the left.
  tl = bl ^ cl;
  th = bh ^ ch;
  bl = (tl << 1) | (th >>> 31);
  swap = (th << 1) | (tl >>> 31);
  bh = swap;

  v[a] = al;
  v[a + 1] = ah;
  v[b] = bl;
  v[b + 1] = bh;
  v[c] = cl;
  v[c + 1] = ch;
  v[d] = dl;
  v[d + 1] = dh;
}

/** @param length Bytes of the message up to the end of this block. */
function compress(bytes: Uint8Array, at: number, length: number, isLast: boolean): void {
  for (let i = 0, from = at; i < 32; i += 1, from += 4) {
    m[i] =
      bytes[from]! | (bytes[from + 1]! << 8) | (bytes[from + 2]! << 16) | (bytes[from + 3]! << 24);
  }
  v.set(h);
  v.set(IV, 16);
  v[24] = v[24]! ^ length;
  v[25] = v[25]! ^ Math.floor(length / 0x100000000);
  if (isLast) {
    v[28] = ~v[28]!;
    v[29] = ~v[29]!;
  }
  for (let round = 0; round < ROUNDS * 16; round += 16) {
    for (let step = 0; step < 8; step += 1) {
      const place = step * 4;
      const word = round + step * 2;
      mix(
        QUARTETS[place]!,
        QUARTETS[place + 1]!,
        QUARTETS[place + 2]!,
        QUARTETS[place + 3]!,
        SCHEDULE[word]!,
        SCHEDULE[word + 1]!,
      );
    }
  }
  for (let i = 0; i < 16; i += 1) h[i] = h[i]! ^ v[i]! ^ v[i + 16]!;
}

/** The BLAKE2b-256 of a message, into a new array. */
export function blake2b256(message: Uint8Array): Uint8Array {
  h.set(IV);
  // Fan-out and depth 1, no key, the length of the digest.
  h[0] = h[0]! ^ 0x01010000 ^ DIGEST;
  let at = 0;
  for (; at + BLOCK < message.length; at += BLOCK) compress(message, at, at + BLOCK, false);
  block.fill(0);
  block.set(message.subarray(at));
  compress(block, 0, message.length, true);
  const digest = new Uint8Array(DIGEST);
  const view = new DataView(digest.buffer);
  for (let i = 0; i < DIGEST / 4; i += 1) view.setUint32(i * 4, h[i]!, true);
  return digest;
}

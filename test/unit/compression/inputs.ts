/** Inputs that compressors meet: words, runs, noise, and parts of what came before. */

import fc from 'fast-check';

type Piece =
  | { readonly kind: 'words'; readonly seed: number; readonly count: number }
  | { readonly kind: 'run'; readonly byte: number; readonly count: number }
  | { readonly kind: 'noise'; readonly seed: number; readonly count: number }
  | { readonly kind: 'again'; readonly back: number; readonly count: number };

const piece: fc.Arbitrary<Piece> = fc.oneof(
  fc.record({ kind: fc.constant('words' as const), seed: fc.nat(99), count: fc.nat(400) }),
  fc.record({ kind: fc.constant('run' as const), byte: fc.nat(255), count: fc.nat(3000) }),
  fc.record({ kind: fc.constant('noise' as const), seed: fc.nat(99), count: fc.nat(3000) }),
  fc.record({ kind: fc.constant('again' as const), back: fc.nat(9000), count: fc.nat(2000) }),
);

function bytesOf(pieces: readonly Piece[]): Uint8Array {
  const out: number[] = [];
  for (const each of pieces) {
    switch (each.kind) {
      case 'words':
        for (let at = 0; at < each.count; at += 1) {
          out.push(...Buffer.from(`${((at + each.seed) * 7919) % 97} `));
        }
        break;
      case 'run':
        for (let at = 0; at < each.count; at += 1) out.push(each.byte);
        break;
      case 'noise': {
        let state = each.seed + 1;
        for (let at = 0; at < each.count; at += 1) {
          state = (state * 48271) % 0x7fffffff;
          out.push((state >>> 8) & 0xff);
        }
        break;
      }
      case 'again': {
        const from = Math.max(0, out.length - each.back);
        for (let at = 0; at < each.count && out.length > 0; at += 1) {
          out.push(out[from + at] as number);
        }
        break;
      }
    }
  }
  return Uint8Array.from(out);
}

/** Up to some 20 KiB. */
export const compressible: fc.Arbitrary<Uint8Array> = fc
  .array(piece, { maxLength: 8 })
  .map(bytesOf);

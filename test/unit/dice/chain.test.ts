import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FormatError, VerificationError } from '../../../src/core/errors.ts';
import { decodeCbor, encodeCbor } from '../../../src/dice/cbor.ts';
import {
  decodeChain,
  decodeHandover,
  encodeHandover,
  nextHandover,
  rootHandover,
  verifyChain,
} from '../../../src/dice/chain.ts';
import { decodeConfigDescriptor } from '../../../src/dice/config-descriptor.ts';
import type { DiceInput } from '../../../src/dice/derive.ts';

const filled = (size: number, value: number): Uint8Array => new Uint8Array(size).fill(value);
const stage = (value: number): DiceInput => ({
  codeHash: filled(64, value),
  config: { descriptor: Uint8Array.of(0xa0) },
  authorityHash: filled(64, 2),
  mode: 'normal',
  hidden: filled(64, 3),
});
const chainOf = (uds: number, ...stages: readonly number[]): Uint8Array => {
  let handover = rootHandover(filled(32, uds));
  for (const each of stages) handover = nextHandover(handover, stage(each));
  return handover.chain ?? new Uint8Array(0);
};
const entriesOf = (chain: Uint8Array): readonly Uint8Array[] =>
  (decodeCbor(chain) as never[]).map((entry) => encodeCbor(entry));

describe('DICE chain', () => {
  it('is verified from the root to the last stage', () => {
    const { certificates } = verifyChain(chainOf(1, 10, 11, 12));
    expect(certificates.map(({ codeHash }) => codeHash[0])).toEqual([10, 11, 12]);
    expect(certificates.map(({ issuer }) => issuer).slice(1)).toEqual(
      certificates.map(({ subject }) => subject).slice(0, -1),
    );
  });

  it('is refused with a stage left out, exchanged, or of another machine', () => {
    const [root, first, second] = entriesOf(chainOf(1, 10, 11)).map((each) => decodeCbor(each));
    const [, foreign] = entriesOf(chainOf(2, 10)).map((each) => decodeCbor(each));
    const chain = (...entries: readonly (typeof root)[]): Uint8Array =>
      encodeCbor(entries.map((entry) => entry ?? null));
    expect(verifyChain(chain(root, first, second)).certificates).toHaveLength(2);
    for (const bad of [chain(root, second), chain(root, second, first), chain(root, foreign)]) {
      expect(() => verifyChain(bad)).toThrow(VerificationError);
    }
  });

  it('is decoded or refused, whatever the bytes are', () => {
    const whole = chainOf(1, 10);
    // The root's key stands before the first certificate; who trusts the root compares it.
    const signed = whole.length - (entriesOf(whole)[1]?.length ?? 0);
    fc.assert(
      fc.property(
        fc.integer({ min: signed, max: whole.length - 1 }),
        fc.integer({ min: 1, max: 255 }),
        (at, flip) => {
          const changed = new Uint8Array(whole);
          changed[at] = (changed[at] ?? 0) ^ flip;
          try {
            decodeChain(changed);
          } catch (error) {
            expect(error).toBeInstanceOf(FormatError);
          }
          expect(() => verifyChain(changed)).toThrow(/^Cannot/);
        },
      ),
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (junk) => {
        for (const decode of [decodeChain, decodeHandover, decodeConfigDescriptor]) {
          try {
            decode(junk);
          } catch (error) {
            expect(error).toBeInstanceOf(FormatError);
          }
        }
      }),
    );
  });

  it('secrets follow from every input, and the sealing secret from the owner’s only', () => {
    const root = rootHandover(filled(32, 1));
    const base = nextHandover(root, stage(10));
    const changed = (change: Partial<DiceInput>): typeof base =>
      nextHandover(root, { ...stage(10), ...change });
    const otherCode = changed({ codeHash: filled(64, 9) });
    const otherConfig = changed({ config: { descriptor: encodeCbor(new Map([[-70003, 1]])) } });
    for (const { attest, seal } of [otherCode, otherConfig]) {
      expect(attest).not.toEqual(base.attest);
      expect(seal).toEqual(base.seal);
    }
    for (const change of [
      { authorityHash: filled(64, 9) },
      { mode: 'debug' },
      { hidden: filled(64, 9) },
    ] as const) {
      const { attest, seal } = changed(change);
      expect(attest).not.toEqual(base.attest);
      expect(seal).not.toEqual(base.seal);
    }
    expect(() => changed({ codeHash: filled(32, 1) })).toThrow(RangeError);
  });

  it('handover gives back its parts, with and without a chain', () => {
    const handover = nextHandover(rootHandover(filled(32, 1)), stage(10));
    expect(decodeHandover(encodeHandover(handover))).toEqual(handover);
    const bare = { ...handover, chain: undefined };
    expect(decodeHandover(encodeHandover(bare))).toEqual(bare);
    expect(() => decodeHandover(encodeCbor(new Map([[1, filled(31, 1)]])))).toThrow(FormatError);
  });
});

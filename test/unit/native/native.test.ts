import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { EnvironmentError, FormatError } from '../../../src/core/errors.ts';
import { decodeLz4Block } from '../../../src/compression/lz4/decode.ts';
import { measureTscKhz } from '../../../src/native/clock.ts';
import { loadNativeLibrary, type NativeLibrary } from '../../../src/native/library.ts';
import { createNativeLz4Decoder } from '../../../src/native/lz4.ts';

const built = await loadNativeLibrary();
if (built === undefined) {
  process.stderr.write('native: the library is not built, its tests are skipped (scripts/setup)\n');
}

describe('loadNativeLibrary()', () => {
  it('returns nothing when the environment says to do without', async () => {
    expect(await loadNativeLibrary('')).toBeUndefined();
  });

  it('refuses a library that was named and is not there, or is not ours', async () => {
    await expect(loadNativeLibrary('/nowhere/lib.so')).rejects.toThrow(EnvironmentError);
    await expect(loadNativeLibrary(process.execPath)).rejects.toThrow(EnvironmentError);
  });
});

describe.skipIf(built === undefined)('the native library', () => {
  let library: NativeLibrary;
  beforeAll(() => {
    library = built as NativeLibrary;
  });

  it('decodes LZ4 blocks as the twin does, and fails as it does', () => {
    const native = createNativeLz4Decoder(library);
    const outcome = (decode: typeof decodeLz4Block, block: Uint8Array): unknown => {
      const source = Uint8Array.of(0xee, ...block, 0xee);
      const target = new Uint8Array(300).fill(0xdd);
      try {
        const length = decode(source, 1, source.length - 1, target, 7, 290);
        return [length, Buffer.from(target.subarray(0, 7 + length)).toString('hex')];
      } catch (error) {
        expect(error).toBeInstanceOf(FormatError);
        return (error as FormatError).message;
      }
    };
    const sequence = fc
      .record({
        literals: fc.uint8Array({ maxLength: 40 }),
        distance: fc.integer({ min: 0, max: 60 }),
        match: fc.integer({ min: 0, max: 40 }),
      })
      .map(({ literals, distance, match }) => [
        (Math.min(literals.length, 15) << 4) | Math.min(match, 15),
        ...(literals.length >= 15 ? [literals.length - 15] : []),
        ...literals,
        distance,
        0,
        ...(match >= 15 ? [match - 15] : []),
      ]);
    const block = fc
      .tuple(fc.array(sequence, { maxLength: 6 }), fc.uint8Array({ maxLength: 14 }))
      .map(([sequences, end]) => Uint8Array.from([...sequences.flat(), end.length << 4, ...end]));
    const decoded = new Set<boolean>();
    fc.assert(
      fc.property(fc.oneof(block, fc.uint8Array({ maxLength: 60 })), (bytes) => {
        const ours = outcome(native, bytes);
        decoded.add(Array.isArray(ours));
        expect(ours).toEqual(outcome(decodeLz4Block, bytes));
      }),
      { numRuns: 2000 },
    );
    expect(decoded).toEqual(new Set([true, false]));
  });

  it('measures a clock that a processor could have', async () => {
    const khz = await measureTscKhz(library, 20);
    if (process.arch === 'x64') {
      expect(khz).toBeGreaterThan(500_000);
      expect(khz).toBeLessThan(10_000_000);
    } else {
      expect(khz).toBeUndefined();
    }
  });
});

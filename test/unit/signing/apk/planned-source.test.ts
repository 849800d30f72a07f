import fc from 'fast-check';
import { expect, test } from 'vitest';
import { bytesSource } from '../../../../src/io/byte-source.ts';
import type { CopyPiece } from '../../../../src/signing/apk/copy-plan.ts';
import { plannedSource } from '../../../../src/signing/apk/planned-source.ts';
import { pattern } from './fixtures.ts';

const INPUT = pattern(200);

const piece: fc.Arbitrary<CopyPiece> = fc.oneof(
  fc
    .tuple(fc.nat(199), fc.nat(50))
    .map(
      ([offset, size]) => ({ kind: 'input', offset, size: Math.min(size, 200 - offset) }) as const,
    ),
  fc.uint8Array({ maxLength: 20 }).map((bytes) => ({ kind: 'bytes', bytes }) as const),
);

test('reads as the pieces one behind the other, wherever it is read', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(piece), fc.nat(), fc.nat(), async (pieces, a, b) => {
      const whole = Buffer.concat(
        pieces.map((each) =>
          each.kind === 'bytes' ? each.bytes : INPUT.subarray(each.offset, each.offset + each.size),
        ),
      );
      const source = plannedSource(bytesSource(INPUT), pieces);
      expect(source.size).toBe(whole.length);
      const [from = 0, to = 0] = [a, b].map((at) => at % (whole.length + 1)).sort((x, y) => x - y);
      const read = await source.read(from, to - from);
      expect(Buffer.from(read).equals(whole.subarray(from, to))).toBe(true);
      await expect(source.read(from, whole.length - from + 1)).rejects.toMatchObject({
        code: 'truncated',
      });
    }),
  );
});

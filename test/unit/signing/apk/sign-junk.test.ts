/** Whatever the input: it is refused by a typed error, or what comes out is a payload. */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FormatError, UsageError } from '../../../../src/core/errors.ts';
import { bytesSource } from '../../../../src/io/byte-source.ts';
import { verifyPayload } from '../../../../src/signing/apk/verify.ts';
import { sign, testApk, testEntries } from './fixtures.ts';

const smallEntries = testEntries(64);

async function outcome(input: Uint8Array): Promise<'refused' | 'payload'> {
  let apk: Uint8Array;
  try {
    ({ apk } = await sign(input, { idsig: undefined, minSdk: 24, dropGaps: true }));
  } catch (error) {
    if (error instanceof FormatError || error instanceof UsageError) return 'refused';
    throw error;
  }
  await verifyPayload(bytesSource(apk));
  return 'payload';
}

test('changed bytes of an APK', { timeout: 60_000 }, async () => {
  const apk = await testApk(smallEntries);
  const seen = new Set<string>();
  const change = fc.tuple(fc.nat(apk.length - 1), fc.nat(255));
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 3 }), async (changes) => {
      const input = Uint8Array.from(apk);
      for (const [at, value] of changes) input[at] = value;
      const result = await outcome(input);
      seen.add(result);
      expect(['refused', 'payload']).toContain(result);
    }),
    { numRuns: 200 },
  );
  expect(seen.has('refused')).toBe(true);
});

test('every cut and every junk is refused', async () => {
  const apk = await testApk(smallEntries);
  for (let size = 0; size < apk.length; size += 17) {
    expect(await outcome(apk.subarray(0, size))).toBe('refused');
  }
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (junk) => {
      expect(await outcome(junk)).toBe('refused');
    }),
  );
});

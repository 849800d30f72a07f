import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FormatError } from '../../../../src/core/errors.ts';
import {
  decodeSourceStamp,
  encodeSourceStamp,
  encodeStampAttributes,
  encodeStampDigests,
} from '../../../../src/formats/apk/source-stamp.ts';

const bytes = fc.uint8Array({ maxLength: 40 });
const u32 = fc.nat({ max: 0xffffffff });
const signatures = fc.array(fc.record({ algorithm: u32, signature: bytes }), { maxLength: 3 });
const stamp = fc.record(
  {
    certificate: bytes,
    schemes: fc.array(fc.record({ scheme: u32, signatures }), { maxLength: 4 }),
    attributes: fc.record({ encoded: bytes, signatures }),
  },
  { requiredKeys: ['certificate', 'schemes'] },
);

describe('source stamps', () => {
  test('are read as they were written', () => {
    fc.assert(
      fc.property(stamp, (each) => {
        expect(decodeSourceStamp(encodeSourceStamp(each))).toEqual(each);
      }),
    );
  });

  test('of any bytes are read or refused with a FormatError', () => {
    fc.assert(
      fc.property(
        stamp,
        fc.nat({ max: 200 }),
        fc.nat({ max: 255 }),
        bytes,
        (each, at, by, junk) => {
          const changed = encodeSourceStamp(each);
          changed[at % changed.length] = by;
          for (const value of [junk, changed, changed.subarray(0, at % changed.length)]) {
            try {
              decodeSourceStamp(value);
            } catch (error) {
              expect(error).toBeInstanceOf(FormatError);
            }
          }
        },
      ),
    );
  });

  test('sign digests in the order of their ids, and attributes too', () => {
    const digest = Uint8Array.of(7);
    expect(
      encodeStampDigests(
        new Map([
          ['manifest', digest],
          ['chunked-sha256', digest],
        ]),
      ),
    ).toEqual(
      Uint8Array.of(9, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 7, 9, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 7),
    );
    const attributes = [2, 1].map((id) => ({ id, value: new Uint8Array(0) }));
    expect(encodeStampAttributes(attributes)).toEqual(
      Uint8Array.of(16, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 2, 0, 0, 0),
    );
  });
});

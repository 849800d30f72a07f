import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { FormatError } from '../../../../src/core/errors.ts';
import { assertDer } from '../../../../src/formats/der/check.ts';
import {
  childrenOf,
  CLASS_CONTEXT,
  readElement,
  readFirstElement,
  TAG,
  type EncodingRules,
} from '../../../../src/formats/der/element.ts';
import { explicitValue, fieldsOf } from '../../../../src/formats/der/fields.ts';
import { reencode } from '../../../../src/formats/der/reencode.ts';
import {
  bitsOf,
  booleanOf,
  expectNull,
  integerOf,
  octetsOf,
  oidOf,
  smallIntegerOf,
} from '../../../../src/formats/der/values.ts';
import {
  bitString,
  boolean,
  encodeValue,
  explicit,
  implicitSetOf,
  integer,
  nullValue,
  objectIdentifier,
  octetString,
  sequence,
  setOf,
} from '../../../../src/formats/der/write.ts';
import { corpus, corpusPath } from '../../../support/corpus.ts';

const hex = (text: string): Uint8Array =>
  new Uint8Array(Buffer.from(text.replaceAll(' ', ''), 'hex'));
const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** The code and offset of the FormatError that `run` throws. */
function refusal(run: () => unknown): { code: string; offset: number | undefined } {
  try {
    run();
  } catch (error) {
    if (error instanceof FormatError) return { code: error.code, offset: error.offset };
    throw error;
  }
  throw new Error('nothing was refused');
}

describe('readElement()', () => {
  it('reads identifier, length and contents with their offsets', () => {
    const element = readElement(hex('30 06 02 01 05 a1 01 00'));
    expect(element).toMatchObject({ tagClass: 0, constructed: true, tagNumber: 16, offset: 0 });
    const [number, tagged] = childrenOf(element);
    expect(number).toMatchObject({ offset: 2, contentsOffset: 4, tagNumber: 2 });
    expect(tagged).toMatchObject({ offset: 5, tagClass: 2, tagNumber: 1, constructed: true });
  });

  it('reads lengths and tag numbers of each form', () => {
    const long = encodeValue(0, false, TAG.OCTET_STRING, new Uint8Array(70_000));
    expect(toHex(long.subarray(0, 5))).toBe('0483011170');
    expect(readElement(long).contents).toHaveLength(70_000);
    expect(readElement(hex('9f 81 01 00')).tagNumber).toBe(129);
    expect(readElement(hex('9f 1f 00')).tagNumber).toBe(31);
  });

  test.each([
    ['nothing', '', 'truncated', 0],
    ['no length', '30', 'truncated', 1],
    ['contents that are cut off', '30 03 02 01', 'truncated', 0],
    ['a length that is cut off', '30 82 01', 'truncated', 1],
    ['a length of five bytes', '30 85 00 00 00 00 00', 'too-large', 1],
    ['a length of 4 GiB', '04 84 ff ff ff ff', 'truncated', 0],
    ['a short length in long form', '04 81 01 00', 'bad-value', 1],
    ['a length with a leading zero', `04 82 00 80 ${'00'.repeat(128)}`, 'bad-value', 1],
    ['an indefinite length', '30 80 00 00', 'bad-value', 1],
    ['a byte after the value', '05 00 00', 'trailing-data', 2],
    ['a tag number with leading zero bits', '9f 80 1f 00', 'bad-value', 0],
    ['a small tag number in long form', '9f 1e 00', 'bad-value', 0],
    ['a huge tag number', '9f ff ff ff ff 7f 00', 'too-large', 0],
    ['a tag number that is cut off', '9f ff', 'truncated', 0],
  ])('refuses %s', (_name, bytes, code, offset) => {
    expect(refusal(() => readElement(hex(bytes)))).toEqual({ code, offset });
  });

  it('reads lengths of BER where it is asked to', () => {
    const ber = hex('30 80 04 81 01 07 30 80 05 00 00 00 00 00 ff');
    const element = readFirstElement(ber, 'ber');
    expect(element.encoded).toHaveLength(ber.length - 1);
    const [octets, inner] = childrenOf(element);
    expect(octets && toHex(octetsOf(octets, 'octets'))).toBe('07');
    expect(inner && childrenOf(inner)).toHaveLength(1);
    expect(refusal(() => readFirstElement(hex('30 80 05 00'), 'ber')).code).toBe('truncated');
  });

  it('does not follow BER into depths that exhaust the stack', () => {
    const deep = hex('30 80'.repeat(100_000));
    expect(refusal(() => readFirstElement(deep, 'ber')).code).toBe('too-large');
  });
});

describe('primitive values', () => {
  const read = (text: string, rules: EncodingRules = 'der') => readElement(hex(text), rules);

  test.each([
    ['an empty integer', () => integerOf(read('02 00'), 'x')],
    ['an integer with a leading zero', () => integerOf(read('02 02 00 7f'), 'x')],
    ['an integer with leading ones', () => integerOf(read('02 02 ff 80'), 'x')],
    ['another type than an integer', () => integerOf(read('04 01 00'), 'x')],
    ['an integer made of parts', () => integerOf(read('22 03 02 01 01'), 'x')],
    ['a negative small integer', () => smallIntegerOf(read('02 01 ff'), 'x')],
    ['a small integer of 2^31', () => smallIntegerOf(read('02 05 00 80 00 00 00'), 'x')],
    ['a true of 1', () => booleanOf(read('01 01 01'), 'x')],
    ['a boolean of two bytes', () => booleanOf(read('01 02 ff ff'), 'x')],
    ['a null with contents', () => expectNull(read('05 01 00'), 'x')],
    ['an empty bit string', () => bitsOf(read('03 00'), 'x')],
    ['a bit string with 8 unused bits', () => bitsOf(read('03 02 08 00'), 'x')],
    ['a bit string with unused bits set', () => bitsOf(read('03 02 01 01'), 'x')],
    ['a bit string with unused bits of nothing', () => bitsOf(read('03 01 01'), 'x')],
    ['an empty object identifier', () => oidOf(read('06 00'), 'x')],
    ['an arc with leading zero bits', () => oidOf(read('06 03 2a 80 01'), 'x')],
    ['an object identifier that ends inside an arc', () => oidOf(read('06 02 2a 86'), 'x')],
    ['an object identifier of 200 bytes', () => oidOf(readElement(octetsAsOid(200)), 'x')],
  ])('refuses %s', (_name, run) => {
    expect(refusal(run)).toMatchObject({ offset: 0 });
  });

  const octetsAsOid = (size: number): Uint8Array =>
    encodeValue(0, false, TAG.OBJECT_IDENTIFIER, new Uint8Array(size).fill(1));

  it('reads what Android reads in BER', () => {
    expect(integerOf(read('02 02 00 7f', 'ber'), 'x')).toBe(127n);
    expect(booleanOf(read('01 01 01', 'ber'), 'x')).toBe(true);
    expect(bitsOf(read('03 02 01 01', 'ber'), 'x').unused).toBe(1);
  });

  it('writes known object identifiers as everybody does', () => {
    expect(toHex(objectIdentifier('1.2.840.113549.1.1.1'))).toBe('06092a864886f70d010101');
    expect(toHex(objectIdentifier('2.999.3'))).toBe('0603883703');
    for (const wrong of ['', '1', '1.', '3.1', '1.40', '1.2.03', '1.-2', 'a.b']) {
      expect(() => objectIdentifier(wrong)).toThrow(SyntaxError);
    }
  });

  it('reads back every integer that it writes', () => {
    fc.assert(
      fc.property(fc.bigInt(), (value) => {
        const bytes = integer(value);
        expect(integerOf(readElement(bytes), 'x')).toBe(value);
        assertDer(bytes);
      }),
    );
  });

  it('reads back every object identifier that it writes', () => {
    const arc = fc.bigInt({ min: 0n, max: 1n << 70n });
    const dotted = fc.oneof(
      fc.tuple(fc.bigInt({ min: 0n, max: 1n }), fc.bigInt({ min: 0n, max: 39n })),
      fc.tuple(fc.constant(2n), arc),
    );
    fc.assert(
      fc.property(dotted, fc.array(arc, { maxLength: 5 }), (start, rest) => {
        const text = [...start, ...rest].join('.');
        expect(oidOf(readElement(objectIdentifier(text)), 'x')).toBe(text);
      }),
    );
  });
});

describe('fieldsOf()', () => {
  const value = sequence(integer(1n), explicit(0, octetString(hex('0102'))), nullValue());

  it('hands out parts in order, and optional ones where they are', () => {
    const fields = fieldsOf(readElement(value), 'Thing');
    expect(smallIntegerOf(fields.next(TAG.INTEGER, 'version'), 'version')).toBe(1);
    expect(fields.context(1, 'other', true)).toBeUndefined();
    const tagged = fields.context(0, 'octets', true);
    expect(tagged && toHex(octetsOf(explicitValue(tagged, 'octets'), 'octets'))).toBe('0102');
    expect(fields.optional(TAG.INTEGER, 'more')).toBeUndefined();
    expect(fields.optional(TAG.NULL, 'nothing')).toBeDefined();
    fields.end();
    expect(refusal(() => fields.any('more')).code).toBe('truncated');
  });

  it('refuses parts of another type, too many and too few', () => {
    expect(refusal(() => fieldsOf(readElement(nullValue()), 'Thing')).code).toBe('bad-value');
    const fields = fieldsOf(readElement(value), 'Thing');
    expect(refusal(() => fields.next(TAG.NULL, 'x'))).toEqual({ code: 'bad-value', offset: 2 });
    expect(refusal(() => fields.end())).toEqual({ code: 'trailing-data', offset: 5 });
    const two = encodeValue(CLASS_CONTEXT, true, 0, nullValue(), nullValue());
    expect(refusal(() => explicitValue(readElement(two), 'x')).code).toBe('bad-value');
  });
});

describe('assertDer()', () => {
  test.each([
    [
      'a set out of order',
      encodeValue(0, true, TAG.SET, octetString(hex('02')), octetString(hex('01'))),
    ],
    ['a sequence not made of parts', hex('10 00')],
    ['a string made of parts', hex('24 02 04 00')],
    ['an inner length in long form', sequence(hex('04 81 01 00'))],
    ['an inner value of explicit tags', explicit(0, hex('02 02 00 01'))],
    ['an end mark', sequence(hex('00 00'))],
    ['bytes that are not UTF-8', hex('0c 02 c3 28')],
    ['a time without seconds', hex(`17 0b ${toHex(Buffer.from('2001010000Z'))}`)],
    ['a fraction that ends with 0', hex(`18 11 ${toHex(Buffer.from('20200101000000.0Z'))}`)],
    ['a time of another zone', hex(`17 11 ${toHex(Buffer.from('200101000000+0100'))}`)],
    ['an enumerated with a leading zero', hex('0a 02 00 01')],
  ])('refuses %s', (_name, bytes) => {
    expect(() => assertDer(bytes)).toThrow(FormatError);
  });

  it('accepts what the writer writes', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 8 }), (parts) => {
        const octets = parts.map(octetString);
        expect(() =>
          assertDer(
            sequence(setOf(octets), implicitSetOf(1, octets), boolean(true), bitString(hex('0f'))),
          ),
        ).not.toThrow();
      }),
    );
  });

  it('refuses what is nested too deep, without exhausting the stack', () => {
    let value = nullValue();
    for (let depth = 0; depth < 200; depth++) value = sequence(value);
    expect(refusal(() => assertDer(value)).code).toBe('too-large');
  });

  it('takes any bytes as DER or refuses them with a FormatError', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc
        .array(fc.constantFrom(0x30, 0x31, 0x02, 0x01, 0x00, 0x80, 0x81, 0x03, 0xa0, 0x1f))
        .map((list) => Uint8Array.from(list)),
    );
    fc.assert(
      fc.property(bytes, (junk) => {
        for (const run of [
          () => assertDer(junk),
          () => childrenOf(readFirstElement(junk, 'ber')),
        ]) {
          try {
            run();
          } catch (error) {
            expect(error).toBeInstanceOf(FormatError);
          }
        }
      }),
      { numRuns: 1000 },
    );
  });
});

describe('reencode()', () => {
  it('writes BER as DER', () => {
    const ber = hex('30 80 31 84 00 00 00 08 04 02 00 01 04 81 01 02 04 00 00 00');
    const der = reencode(readElement(ber, 'ber'));
    expect(toHex(der)).toBe('30 0b 31 07 04 01 02 04 02 00 01 04 00'.replaceAll(' ', ''));
    expect(() => assertDer(der)).not.toThrow();
  });

  it('leaves DER as it is', () => {
    const part = fc.uint8Array({ maxLength: 200 }).map(octetString);
    fc.assert(
      fc.property(fc.array(part, { maxLength: 6 }), fc.bigInt(), (parts, value) => {
        const der = sequence(setOf(parts), explicit(3, integer(value)), ...parts);
        expect(reencode(readElement(der))).toEqual(der);
      }),
    );
  });

  it('refuses contents that are no values, and depths without end', () => {
    expect(refusal(() => reencode(readElement(hex('30 01 30')))).code).toBe('truncated');
    let deep = nullValue();
    for (let depth = 0; depth < 100; depth++) deep = sequence(deep);
    expect(refusal(() => reencode(readElement(deep))).code).toBe('too-large');
  });
});

describe.skipIf(corpus === undefined)('certificates of the corpus', () => {
  const file = (...parts: string[]) =>
    new Uint8Array(readFileSync(corpusPath('sig-apksig', ...parts)));

  test.each(['rsa-2048', 'ec-p256', 'dsa-2048', 'rsa-16384'])('%s is DER', (name) => {
    const { raw } = new X509Certificate(file('keys', `${name}.x509.pem`));
    expect(() => assertDer(raw)).not.toThrow();
  });

  it('tells a certificate with redundant lengths from DER', () => {
    expect(() => assertDer(file('internal-util', 'rsa-2048-redun-len.x509.der'))).toThrow(
      FormatError,
    );
    expect(() => assertDer(file('internal-util', 'rsa-2048.x509.der'))).not.toThrow();
  });
});

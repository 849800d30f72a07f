import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FormatError } from '../../../../src/core/errors.ts';
import { dumpEnvelope } from '../../../../src/formats/dsse/dump.ts';
import {
  decodeEnvelope,
  encodeEnvelope,
  preAuthenticationEncoding,
} from '../../../../src/formats/dsse/envelope.ts';
import { parseStrictJson } from '../../../../src/formats/dsse/strict-json.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const parse = (text: string): unknown => parseStrictJson(bytes(text), 'test');
const envelope = (fields: object): Uint8Array =>
  bytes(
    JSON.stringify({ payload: 'aGk=', payloadType: 't', signatures: [{ sig: 'AAAA' }], ...fields }),
  );

/** Runs work that must end with a FormatError of that code. */
function refusal(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (error instanceof FormatError) return error.code;
    throw error;
  }
  return 'accepted';
}

describe('strict JSON', () => {
  test('is what JSON.parse makes of any value', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.constantFrom(undefined, 1, 9), (value, indent) => {
        const text = JSON.stringify(value, undefined, indent);
        // fast-check makes lone surrogates, too.
        fc.pre(!/\\ud[89a-f]/i.test(text));
        expect(parse(text)).toEqual(JSON.parse(text));
      }),
    );
  });

  test.each([
    ['the same name twice', '{"a":1,"a":2}', 'duplicate'],
    ['with much space between', `{"a":1,"a"${' '.repeat(500)}\n\t\r:2}`, 'duplicate'],
    ['written in two ways', '{"a":1,"\\u0061":2}', 'duplicate'],
    ['deep inside', '[{"x":{"b":[1],"c":{},"b":0}}]', 'duplicate'],
    ['behind a text that ends with slashes', '{"a":"\\\\","a":"\\\\\\""}', 'duplicate'],
    ['the name that objects inherit from', '{"__proto__":1,"__proto__":2}', 'duplicate'],
    ['half of a surrogate pair', '["\\ud800"]', 'bad-value'],
    ['a byte order mark', '\ufeff{}', 'bad-value'],
    ['more behind it', '{} {}', 'bad-value'],
    ['no end', '{"a":1', 'bad-value'],
    ['nothing', '', 'bad-value'],
    ['a text without end', '{"a', 'bad-value'],
    ['a text that ends with a slash', '["a\\"', 'bad-value'],
    ['an escape that is none', '["\\q"]', 'bad-value'],
    ['many levels', '['.repeat(1e6), 'too-large'],
    ['many objects in one another', '{"a":'.repeat(1e6), 'too-large'],
    ['many values', `[${'1,'.repeat(1e6)}1]`, 'too-large'],
    [
      'many names',
      `{${Array.from({ length: 2e5 }, (_, at) => `"${at}":1`).join(',')}}`,
      'too-large',
    ],
  ])('refuses %s', (_what, text, code) => {
    expect(refusal(() => parse(text))).toBe(code);
  });

  test('takes the same name in different objects, and names as values', () => {
    const text = '{"a":{"a":"a"},"b":["a","a",{"a":1}],"c":"a"}';
    expect(parse(text)).toEqual(JSON.parse(text));
  });

  test('takes levels and values up to the limits', () => {
    const deep = `${'['.repeat(32)}${']'.repeat(32)}`;
    expect(parse(deep)).toEqual(JSON.parse(deep));
    expect(parse(`[${'1,'.repeat(99_999 - 1)}1]`)).toHaveLength(99_999);
  });

  test('any text is parsed as JSON.parse does it, or refused', () => {
    const pieces = fc.constantFrom('{', '}', '[', ']', ',', ':', '"', '\\', '"a"', '1', ' ', 'é');
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 12 }), (parts) => {
        const text = parts.join('');
        const ours = refusal(() => parse(text));
        let valid = true;
        try {
          JSON.parse(text);
        } catch {
          valid = false;
        }
        expect(ours === 'accepted' ? valid : true).toBe(true);
        if (valid && ours !== 'duplicate') expect(ours).toBe('accepted');
      }),
      { numRuns: 2000 },
    );
  });

  test('refuses what is not UTF-8', () => {
    expect(refusal(() => parseStrictJson(Uint8Array.of(0x22, 0xff, 0x22), 'test'))).toBe(
      'bad-value',
    );
  });
});

describe('a DSSE envelope', () => {
  test('signs the encoding of the specification’s example', () => {
    const encoded = preAuthenticationEncoding(
      'http://example.com/HelloWorld',
      bytes('hello world'),
    );
    expect(Buffer.from(encoded).toString()).toBe(
      'DSSEv1 29 http://example.com/HelloWorld 11 hello world',
    );
  });

  test('counts bytes, not characters', () => {
    expect(Buffer.from(preAuthenticationEncoding('ä', bytes('€'))).toString()).toBe(
      'DSSEv1 2 ä 3 €',
    );
  });

  test('comes back as it was written', () => {
    const signature = fc.record({
      keyid: fc.string({ unit: 'binary', maxLength: 40 }),
      signature: fc.uint8Array({ maxLength: 80 }),
    });
    const any = fc.record({
      payloadType: fc.string({ unit: 'binary', minLength: 1, maxLength: 40 }),
      payload: fc.uint8Array(),
      signatures: fc.array(signature, { minLength: 1, maxLength: 4 }),
    });
    fc.assert(
      fc.property(any, (value) => {
        expect(decodeEnvelope(bytes(encodeEnvelope(value)))).toEqual(value);
      }),
    );
  });

  test.each([
    ['standard', '+/+/', 'fbffbf'],
    ['URL-safe', '-_-_', 'fbffbf'],
    ['URL-safe, padded', '_w==', 'ff'],
    ['none at all', '', ''],
  ])('takes base64: %s', (_what, payload, hex) => {
    expect(Buffer.from(decodeEnvelope(envelope({ payload })).payload).toString('hex')).toBe(hex);
  });

  test.each([
    ['both alphabets at once', '+_+/'],
    ['spaces', 'aG k='],
    ['a line end', 'aGk=\n'],
    ['no padding', 'aGk'],
    ['bits behind the end', 'aGl='],
    ['other characters', 'aG!='],
    ['padding inside', 'aGk=aGk='],
  ])('refuses base64 with %s', (_what, payload) => {
    expect(refusal(() => decodeEnvelope(envelope({ payload })))).toBe('bad-value');
    const signatures = [{ sig: payload }];
    expect(refusal(() => decodeEnvelope(envelope({ signatures })))).toBe('bad-value');
  });

  test.each([
    ['a payload that is a number', { payload: 1 }],
    ['no payload', { payload: undefined }],
    ['a type that is empty', { payloadType: '' }],
    ['a type that is none', { payloadType: null }],
    ['signatures that are none', { signatures: [] }],
    ['signatures that are no list', { signatures: { 0: { sig: 'AAAA' }, length: 1 } }],
    ['a signature that is a text', { signatures: ['AAAA'] }],
    ['a signature without bytes', { signatures: [{ keyid: 'k' }] }],
    ['a key that is named by a number', { signatures: [{ keyid: 7, sig: 'AAAA' }] }],
    ['too many signatures', { signatures: Array.from({ length: 65 }, () => ({ sig: 'AAAA' })) }],
  ])('refuses %s', (_what, fields) => {
    expect(['bad-value', 'too-large']).toContain(refusal(() => decodeEnvelope(envelope(fields))));
  });

  test('leaves fields alone that it does not know', () => {
    const known = decodeEnvelope(envelope({ more: 1, signatures: [{ sig: 'AAAA', cert: 'x' }] }));
    expect(known.signatures).toEqual([{ keyid: '', signature: new Uint8Array(3) }]);
  });

  test('is shown with its payload’s digest and its signatures', () => {
    expect(dumpEnvelope(envelope({ signatures: [{ keyid: 'k', sig: 'AAAA' }] }))).toMatchObject({
      fields: [
        { value: 't' },
        { value: 2 },
        { value: expect.stringMatching(/^8f434346/) as string },
      ],
      children: [{ fields: [{ value: 'k' }, { value: '000000' }] }],
    });
  });

  test('any other bytes are a FormatError', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (junk) => {
        expect(refusal(() => decodeEnvelope(junk))).not.toBe('accepted');
      }),
    );
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(refusal(() => decodeEnvelope(envelope({ signatures: value })))).not.toBe('accepted');
      }),
    );
  });
});

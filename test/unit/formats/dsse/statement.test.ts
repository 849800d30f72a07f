import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FormatError } from '../../../../src/core/errors.ts';
import {
  decodeStatement,
  encodeStatement,
  STATEMENT_TYPE,
  type Statement,
} from '../../../../src/formats/dsse/statement.ts';

const bytes = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

const valid = {
  _type: STATEMENT_TYPE,
  subject: [{ name: 'kernel', digest: { sha256: '00ff' } }],
  predicateType: 'https://example.com/p',
  predicate: {},
};

const statements: fc.Arbitrary<Statement> = fc.record({
  subject: fc.array(
    fc.record({
      name: fc.string({ minLength: 1 }),
      digest: fc.dictionary(
        fc.stringMatching(/^[a-z][a-z0-9]{2,8}$/),
        fc.stringMatching(/^[0-9a-f]{2,64}$/),
        {
          minKeys: 1,
          noNullPrototype: true,
        },
      ),
    }),
    { minLength: 1, maxLength: 5 },
  ),
  predicateType: fc.webUrl(),
  predicate: fc.dictionary(
    fc.stringMatching(/^[a-zA-Z]{1,9}$/),
    fc.oneof(fc.string(), fc.integer()),
    {
      noNullPrototype: true,
    },
  ),
});

/** The field that a statement is refused for. */
function refusal(value: unknown): string {
  try {
    decodeStatement(value instanceof Uint8Array ? value : bytes(value));
  } catch (error) {
    if (error instanceof FormatError) return error.field ?? error.code;
    throw error;
  }
  return 'accepted';
}

describe('in-toto statements', () => {
  test('any statement is read as it was written', () => {
    fc.assert(
      fc.property(statements, (statement) => {
        expect(decodeStatement(encodeStatement(statement))).toEqual(statement);
      }),
    );
  });

  test('are written in one way, with the fields in the order of the specification', () => {
    const text = new TextDecoder().decode(
      encodeStatement({
        predicate: { b: 1, a: 2 },
        predicateType: 'p:x',
        subject: [{ digest: { sha256: '00' }, name: 'n' }],
      }),
    );
    expect(text).toBe(
      `{"_type":"${STATEMENT_TYPE}","subject":[{"name":"n","digest":{"sha256":"00"}}],"predicateType":"p:x","predicate":{"b":1,"a":2}}`,
    );
  });

  test('fields that are not known are left alone', () => {
    const { subject } = decodeStatement(
      bytes({ ...valid, more: 1, subject: [{ ...valid.subject[0], uri: 'x:y' }] }),
    );
    expect(subject).toEqual(valid.subject);
  });

  test.each([
    ['another version', { ...valid, _type: 'https://in-toto.io/Statement/v0.1' }, '_type'],
    ['no subject', { ...valid, subject: [] }, 'subject'],
    ['a subject without digest', { ...valid, subject: [{ name: 'a' }] }, 'subject[0].digest'],
    [
      'a subject with an empty set',
      { ...valid, subject: [{ name: 'a', digest: {} }] },
      'subject[0].digest',
    ],
    [
      'a digest that is a number',
      { ...valid, subject: [{ name: 'a', digest: { sha256: 1 } }] },
      'subject[0].digest.sha256',
    ],
    [
      'a subject without name',
      { ...valid, subject: [{ digest: { sha256: '00' } }] },
      'subject[0].name',
    ],
    ['no type of predicate', { ...valid, predicateType: '' }, 'predicateType'],
    ['a predicate that is a list', { ...valid, predicate: [] }, 'predicate'],
    ['what is inherited only', { ...valid, predicate: undefined }, 'predicate'],
    ['a list', [valid], 'it'],
  ])('%s is refused', (_what, value, field) => {
    expect(refusal(value)).toBe(field);
  });

  test('any bytes are a statement or refused with a FormatError', () => {
    const isHandled = (junk: unknown): void => {
      expect(typeof refusal(junk)).toBe('string');
    };
    fc.assert(fc.property(fc.uint8Array(), isHandled));
    fc.assert(fc.property(fc.jsonValue(), isHandled));
  });
});

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { UsageError } from '../../../../src/core/errors.ts';
import { parseKeyReference, resolveKeyReference } from '../../../../src/signing/keys/reference.ts';

describe('a key reference', () => {
  test.each([
    ['keys/a.pem', { kind: 'file', path: 'keys/a.pem' }],
    ['file:keys/a.pem', { kind: 'file', path: 'keys/a.pem' }],
    ['file:p12:odd', { kind: 'file', path: 'p12:odd' }],
    ['./p12:odd', { kind: 'file', path: './p12:odd' }],
    ['p12:a.p12', { kind: 'p12', path: 'a.p12', alias: undefined }],
    ['p12:a.p12#', { kind: 'p12', path: 'a.p12', alias: undefined }],
    ['jks:a#b.jks#upload key', { kind: 'jks', path: 'a#b.jks', alias: 'upload key' }],
    ['pkcs11:token=a;object=b', { kind: 'pkcs11', uri: 'pkcs11:token=a;object=b' }],
    [
      'helper:sign',
      {
        kind: 'helper',
        program: 'sign',
        args: [],
        mode: 'digest',
        key: undefined,
        publicKey: undefined,
        timeoutSeconds: 60,
      },
    ],
    [
      'helper:./sign?mode=raw&key=a%26b&arg=--x&arg=y%20z&public-key=k.pub&timeout=5',
      {
        kind: 'helper',
        program: './sign',
        args: ['--x', 'y z'],
        mode: 'raw',
        key: 'a&b',
        publicKey: 'k.pub',
        timeoutSeconds: 5,
      },
    ],
  ])('%s is understood', (text, reference) => {
    expect(parseKeyReference(text)).toEqual(reference);
  });

  test.each([
    ['', /names no file/],
    ['file:', /names no file/],
    ['p12:', /names no file/],
    ['jks:#alias', /names no file/],
    ['helper:', /names no program/],
    ['helper:x?mode=other', /no such mode/],
    ['helper:x?mode=raw&mode=raw', /given twice/],
    ['helper:x?pin=1234', /pin is not understood/],
    ['helper:x?', /not understood/],
    ['helper:x?timeout=0', /timeout/],
    ['helper:x?timeout=1e9', /timeout/],
    ['helper:x?key=%', /percent-encoded/],
    ['helper:x?arg=%00', /percent-encoded/],
    ['kms:projects/x', /kms: is no kind/],
    ['pass:hunter2', /no place where keys are/],
    ['a\0b', /NUL/],
  ])('%j is refused', (text, message) => {
    expect(() => parseKeyReference(text)).toThrow(UsageError);
    expect(() => parseKeyReference(text)).toThrow(message);
  });

  test('a refusal does not repeat what may be a secret', () => {
    for (const text of ['pass:hunter2', 'env:hunter2', 'secret:hunter2', 'helper:x?hunter2']) {
      const error = ((): unknown => {
        try {
          return parseKeyReference(text);
        } catch (reason) {
          return reason;
        }
      })();
      expect(error).toBeInstanceOf(UsageError);
      expect(`${(error as UsageError).message}${(error as UsageError).hint}`).not.toContain(
        'hunter2',
      );
    }
  });

  test('any text is a reference or a UsageError', () => {
    const kind = fc.constantFrom('', 'file:', 'p12:', 'jks:', 'pkcs11:', 'helper:', 'helper:a?');
    fc.assert(
      fc.property(kind, fc.string(), (prefix, rest) => {
        try {
          parseKeyReference(prefix + rest);
        } catch (error) {
          expect(error).toBeInstanceOf(UsageError);
        }
      }),
    );
  });
});

describe('in a recipe', () => {
  test.each([
    ['keys/a.pem', 'file:/r/keys/a.pem'],
    ['file:/abs/a.pem', 'file:/abs/a.pem'],
    ['p12:a.p12#b', 'p12:/r/a.p12#b'],
    ['jks:../a.jks', 'jks:/a.jks#'],
    ['pkcs11:token=a', 'pkcs11:token=a'],
    ['helper:sign?mode=raw', 'helper:sign?mode=raw&timeout=60'],
  ])('%s is relative to it', (text, resolved) => {
    expect(resolveKeyReference(text, '/r')).toBe(resolved);
  });

  test('it stays the same key', () => {
    const texts = fc.constantFrom(
      'p12:a#b.p12#',
      'helper:./a?key=x%2520y&public-key=k%23.pub&arg=%26&arg=&timeout=7',
      'file:a b',
    );
    fc.assert(
      fc.property(texts, (text) => {
        const once = resolveKeyReference(text, '/r');
        expect(resolveKeyReference(once, '/elsewhere')).toBe(once);
        expect(parseKeyReference(once).kind).toBe(parseKeyReference(text).kind);
      }),
    );
    expect(
      parseKeyReference(resolveKeyReference('helper:./a?key=x%2520y&arg=%26', '/r')),
    ).toMatchObject({
      program: '/r/a',
      key: 'x%20y',
      args: ['&'],
    });
  });
});

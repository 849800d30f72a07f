import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FormatError } from '../../../src/core/errors.ts';
import type { Message } from '../../../src/cache/protobuf.ts';
import {
  actionMessage,
  actionResultMessage,
  commandMessage,
  digestMessage,
  directoryMessage,
  treeMessage,
  type Digest,
} from '../../../src/cache/remote-execution.ts';

const text = fc.string({ unit: 'grapheme', maxLength: 12 });
const digest: fc.Arbitrary<Digest> = fc.record({
  hash: fc.string({ unit: fc.constantFrom('0', '7', 'a', 'f'), maxLength: 64 }),
  sizeBytes: fc.integer({ min: -(2 ** 40), max: Number.MAX_SAFE_INTEGER }),
});
const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
const octets = fc.uint8Array({ maxLength: 9 });
const named = fc.record({ name: text, target: text });
const pair = fc.record({ name: text, value: text });
const list = <T>(value: fc.Arbitrary<T>) => fc.array(value, { maxLength: 3 });
const link = fc.record({ path: text, target: text });

const directory = fc.record({
  files: list(fc.record({ name: text, digest: maybe(digest), isExecutable: fc.boolean() })),
  directories: list(fc.record({ name: text, digest: maybe(digest) })),
  symlinks: list(named),
});

/** Each message with any of its values. */
const cases: [Message<never>, fc.Arbitrary<unknown>][] = [
  [digestMessage, digest],
  [
    commandMessage,
    fc.record({
      arguments: list(text),
      environmentVariables: list(pair),
      workingDirectory: text,
      outputPaths: list(text),
    }),
  ],
  [
    actionMessage,
    fc.record({
      commandDigest: maybe(digest),
      inputRootDigest: maybe(digest),
      doNotCache: fc.boolean(),
      salt: octets,
      platform: maybe(fc.record({ properties: list(pair) })),
    }),
  ],
  [directoryMessage, directory],
  [treeMessage, fc.record({ root: maybe(directory), children: list(directory) })],
  [
    actionResultMessage,
    fc.record({
      outputFiles: list(
        fc.record({
          path: text,
          digest: maybe(digest),
          isExecutable: fc.boolean(),
          contents: octets,
        }),
      ),
      outputDirectories: list(
        fc.record({ path: text, treeDigest: maybe(digest), isTopologicallySorted: fc.boolean() }),
      ),
      exitCode: fc.integer(),
      stdoutRaw: octets,
      stdoutDigest: maybe(digest),
      stderrRaw: octets,
      stderrDigest: maybe(digest),
      executionMetadata: maybe(fc.record({ worker: text })),
      outputFileSymlinks: list(link),
      outputDirectorySymlinks: list(link),
      outputSymlinks: list(link),
    }),
  ],
] as never;

/** The number of a field that no message has, as a tag of length-delimited bytes. */
const UNKNOWN = [0xfa, 0x3e, 2, 1, 2];

describe.each(cases.map(([message, value]) => [message.name, message, value] as const))(
  '%s',
  (_name, message, value) => {
    test('decodes to what was encoded, and encodes to the same bytes again', () => {
      fc.assert(
        fc.property(value, (each) => {
          const encoded = message.encode(each as never);
          expect(message.decode(encoded)).toEqual(each);
          expect(message.encode(message.decode(encoded))).toEqual(encoded);
        }),
      );
    });

    test('passes over fields that it does not know', () => {
      fc.assert(
        fc.property(value, (each) => {
          const encoded = message.encode(each as never);
          const longer = Uint8Array.from([...encoded, ...UNKNOWN]);
          expect(message.decode(longer)).toEqual(each);
        }),
      );
    });

    test('any bytes decode or are a FormatError', () => {
      const junk = fc.oneof(
        fc.uint8Array({ maxLength: 64 }),
        fc.tuple(value, fc.nat(), fc.nat(255)).map(([each, at, byte]) => {
          const encoded = message.encode(each as never);
          if (encoded.length > 0) encoded[at % encoded.length] = byte;
          return encoded.subarray(0, encoded.length - (at % 3));
        }),
      );
      fc.assert(
        fc.property(junk, (bytes) => {
          try {
            message.decode(bytes);
          } catch (error) {
            expect(error).toBeInstanceOf(FormatError);
          }
        }),
        { numRuns: 400 },
      );
    });
  },
);

describe('decoding', () => {
  test.each([
    ['a field that ends too late', [0x0a, 5, 0x61], 'truncated'],
    ['a field of another wire type', [0x08, 1], 'bad-value'],
    ['a field that is there twice', [0x10, 1, 0x10, 2], 'duplicate'],
    ['text that is no UTF-8', [0x0a, 1, 0xff], 'bad-value'],
    ['the number of no field', [0x02, 0], 'bad-value'],
    ['an end of a group', [0x1c], 'bad-value'],
    ['a size beyond 2^53', [0x10, 255, 255, 255, 255, 255, 255, 255, 255, 127], 'out-of-range'],
    ['a number that does not end', Array.from({ length: 12 }, () => 0x90), 'bad-value'],
  ])('refuses %s', (_what, bytes, code) => {
    expect(() => digestMessage.decode(Uint8Array.from(bytes))).toThrow(
      expect.objectContaining({ format: 'protobuf', code }),
    );
  });

  test('groups in groups do not exhaust the stack', () => {
    const bytes = new Uint8Array(1 << 20).fill(0x1b);
    expect(() => digestMessage.decode(bytes)).toThrow(FormatError);
  });
});

describe('encoding', () => {
  test('refuses numbers that are no int64', () => {
    expect(() => digestMessage.encode({ sizeBytes: 0.5 })).toThrow(RangeError);
    expect(() => digestMessage.encode({ sizeBytes: 2 ** 60 })).toThrow(RangeError);
  });

  test('leaves out what has its default', () => {
    expect(digestMessage.encode({ hash: '', sizeBytes: 0 })).toEqual(new Uint8Array(0));
    expect(actionMessage.encode({ doNotCache: false, salt: new Uint8Array(0) })).toHaveLength(0);
  });
});

import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fromHex, toHex } from '../../../../src/core/digest.ts';
import { FormatError } from '../../../../src/core/errors.ts';
import {
  decodePayloadMetadata,
  dumpPayloadMetadata,
  encodePayloadMetadata,
  payloadMetadata,
  type PayloadMetadata,
} from '../../../../src/formats/payload-metadata/metadata.ts';
import { corpus, corpusPath } from '../../../support/corpus.ts';

const name = fc.string({ unit: 'grapheme', maxLength: 20 });
const bytes = fc.uint8Array({ maxLength: 40 });
const metadata: fc.Arbitrary<PayloadMetadata> = fc.record({
  version: fc.constant(1),
  apexes: fc.array(
    fc.record({
      name,
      partitionName: name,
      publicKey: bytes,
      rootDigest: bytes,
      lastUpdateSeconds: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      isFactory: fc.boolean(),
      manifestVersion: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
      manifestName: name,
    }),
    { maxLength: 3 },
  ),
  apk: fc.option(fc.record({ name, payloadPartitionName: name, idsigPartitionName: name }), {
    nil: undefined,
  }),
  payload: fc.oneof(
    fc.constant(undefined),
    fc.record({ kind: fc.constant('config-path' as const), path: name }),
    fc.record({
      kind: fc.constant('config' as const),
      payloadBinaryName: name,
      extraApkCount: fc.nat(0xffffffff),
    }),
  ),
});

describe('payload metadata', () => {
  test('decode gives back what encode took, also from a padded partition', () => {
    fc.assert(
      fc.property(metadata, (value) => {
        const data = encodePayloadMetadata(value);
        expect(decodePayloadMetadata(data)).toEqual(value);
        const partition = new Uint8Array(4096);
        partition.set(data);
        expect(decodePayloadMetadata(partition)).toEqual(value);
      }),
    );
  });

  describe.skipIf(corpus === undefined)('cases of the shared data', () => {
    const { cases } =
      corpus === undefined
        ? { cases: [] }
        : (JSON.parse(readFileSync(corpusPath('payload-metadata/manifest.json'), 'utf8')) as {
            cases: { file: string; hex: string }[];
          });
    test.each(cases)('$file decodes and encodes to the same bytes', ({ file, hex }) => {
      const data = new Uint8Array(readFileSync(corpusPath('payload-metadata', file)));
      expect(toHex(data)).toBe(hex);
      expect(toHex(encodePayloadMetadata(decodePayloadMetadata(data)))).toBe(hex);
    });
  });

  test('ours is what Android writes for one APK and a library', () => {
    expect(
      toHex(
        encodePayloadMetadata(
          payloadMetadata({ kind: 'config', payloadBinaryName: 'lib.so', extraApkCount: 2 }),
        ),
      ),
    ).toBe(
      '0000003b' +
        '0801' +
        '1a2b0a0361706b120e6d6963726f64726f69642d61706b1a146d6963726f64726f69642d61706b2d6964736967' +
        '2a0a0a066c69622e736f1002',
    );
  });

  test.each([
    ['no bytes', '', 'truncated'],
    ['a size behind the end', '000000030801', 'truncated'],
    ['a size beyond the limit', '7fffffff0801', 'too-large'],
    ['version 2', '000000020802', 'bad-version'],
    ['no version', '00000000', 'bad-version'],
    ['bytes behind it', '00000002080101', 'trailing-data'],
    ['an unknown field', '0000000408013001', 'unsupported'],
    ['a field twice', '0000000408010801', 'duplicate'],
    ['text that is not UTF-8', '0000000508012201ff', 'bad-value'],
    ['a wire type of another kind', '0000000708010d00000000', 'unsupported'],
    ['a number longer than it needs', '00000003088100', 'bad-value'],
    ['a number of 70 bits', '0000000d0801' + '08ffffffffffffffffff7f', 'bad-value'],
    ['both kinds of start', '00000007' + '0801' + '220161' + '2a00', 'duplicate'],
  ])('refuses %s', (_, hex, code) => {
    expect(() => decodePayloadMetadata(fromHex(hex))).toThrow(
      expect.objectContaining({ code }) as Error,
    );
  });

  test('any bytes decode or give a FormatError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (junk) => {
        const data = new Uint8Array(6 + junk.length);
        data.set([0, 0, 0, 2 + junk.length, 8, 1]);
        data.set(junk, 6);
        try {
          expect(decodePayloadMetadata(data).version).toBe(1);
        } catch (error) {
          expect(error).toBeInstanceOf(FormatError);
        }
      }),
    );
  });

  test('dump names what is started', () => {
    const dump = dumpPayloadMetadata(
      encodePayloadMetadata(
        payloadMetadata({ kind: 'config', payloadBinaryName: 'libhello.so', extraApkCount: 0 }),
      ),
    );
    expect(dump.children.map((child) => child.name)).toEqual(['apk "apk"', 'payload']);
    expect(dump.children[1]?.fields[0]).toEqual({
      name: 'payload_binary_name',
      value: 'libhello.so',
    });
  });
});

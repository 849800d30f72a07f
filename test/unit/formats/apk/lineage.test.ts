import fc from 'fast-check';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { FormatError } from '../../../../src/core/errors.ts';
import {
  changeCapabilities,
  decodeLineage,
  decodeLineageFile,
  DEFAULT_CAPABILITIES,
  encodeLineage,
  encodeLineageFile,
  hasCapability,
  lineageCapabilities,
  type LineageNode,
} from '../../../../src/formats/apk/lineage.ts';
import { corpus, corpusPath } from '../../../support/corpus.ts';

const read = (name: string): Uint8Array =>
  new Uint8Array(readFileSync(corpusPath('sig-apksig', 'keys', name)));

const bytes = (maxLength: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ maxLength });
const u32 = fc.integer({ min: 0, max: 0xffffffff });
const node: fc.Arbitrary<LineageNode> = fc.record({
  certificate: bytes(40),
  parentAlgorithm: u32,
  capabilities: u32,
  algorithm: u32,
  signature: bytes(40),
});

const refusal = (action: () => unknown): string => {
  try {
    action();
  } catch (error) {
    if (error instanceof FormatError) return error.code;
    throw error;
  }
  return 'accepted';
};

describe.skipIf(corpus === undefined)("apksigner's lineage files", () => {
  const names = [
    'ec-p256-lineage-2-signers',
    'rsa-1024-lineage-2-signers',
    'rsa-2048-lineage-2-signers',
    'rsa-2048-lineage-2-signers-2-3',
    'rsa-2048-lineage-3-signers',
    'rsa-2048-lineage-3-signers-1-no-caps',
    'rsa-2048-lineage-no-capabilities-first-signer',
  ];

  test.each(names)('%s decodes, and encodes to the same bytes', (name) => {
    const nodes = decodeLineageFile(read(name));
    expect(nodes.length).toBeGreaterThanOrEqual(2);
    expect(encodeLineageFile(nodes)).toEqual(read(name));
  });

  test('tell the capabilities of each certificate', () => {
    const capabilities = (name: string): readonly number[] =>
      decodeLineageFile(read(name)).map((each) => each.capabilities);
    expect(capabilities('rsa-2048-lineage-3-signers')).toEqual([23, 23, 23]);
    expect(capabilities('rsa-2048-lineage-3-signers-1-no-caps')).toEqual([0, 23, 23]);
  });

  test('of another magic or version are refused', () => {
    expect(refusal(() => decodeLineageFile(read('rsa-2048-lineage-invalid-magic')))).toBe(
      'bad-magic',
    );
    expect(refusal(() => decodeLineageFile(read('rsa-2048-lineage-invalid-version')))).toBe(
      'bad-version',
    );
  });

  test('cut off anywhere are refused', () => {
    const file = read('ec-p256-lineage-2-signers');
    for (let size = 0; size < file.length; size++) {
      expect(refusal(() => decodeLineageFile(file.subarray(0, size)))).not.toBe('accepted');
    }
  });
});

test('a lineage of any nodes is read as it was written', () => {
  fc.assert(
    fc.property(fc.array(node, { maxLength: 5 }), (nodes) => {
      expect(decodeLineage(encodeLineage(nodes))).toEqual(nodes);
    }),
  );
});

test('bytes after any part of a lineage are refused', () => {
  const one: LineageNode = {
    certificate: Uint8Array.of(1),
    parentAlgorithm: 0,
    capabilities: 0,
    algorithm: 0,
    signature: new Uint8Array(0),
  };
  const file = encodeLineageFile([one]);
  expect(refusal(() => decodeLineageFile(Uint8Array.of(...file, 0)))).toBe('trailing-data');
  // One more byte in the node: both lengths around it grow with it.
  const longer = Uint8Array.of(...file, 0);
  const view = new DataView(longer.buffer);
  view.setUint32(8, view.getUint32(8, true) + 1, true);
  view.setUint32(16, view.getUint32(16, true) + 1, true);
  expect(refusal(() => decodeLineageFile(longer))).toBe('trailing-data');
});

test('a lineage of more nodes than anybody has is refused', () => {
  const many = Array.from({ length: 129 }, () => ({
    certificate: new Uint8Array(0),
    parentAlgorithm: 0,
    capabilities: 0,
    algorithm: 0,
    signature: new Uint8Array(0),
  }));
  expect(decodeLineage(encodeLineage(many.slice(1)))).toHaveLength(128);
  expect(refusal(() => decodeLineage(encodeLineage(many)))).toBe('too-large');
});

test('any bytes decode or throw FormatError', () => {
  fc.assert(
    fc.property(bytes(120), (junk) => {
      expect(refusal(() => decodeLineage(junk))).toBeTypeOf('string');
      expect(refusal(() => decodeLineage(Uint8Array.of(1, 0, 0, 0, ...junk)))).toBeTypeOf('string');
      const file = Uint8Array.of(0xd1, 0x39, 0xff, 0x3e, ...junk);
      expect(refusal(() => decodeLineageFile(file))).toBeTypeOf('string');
    }),
  );
});

test('capabilities change one by one', () => {
  const set = (bits: number): readonly string[] =>
    lineageCapabilities.filter((capability) => hasCapability(bits, capability));
  expect(set(DEFAULT_CAPABILITIES)).toEqual(['installed-data', 'shared-uid', 'permission', 'auth']);
  const changed = changeCapabilities(DEFAULT_CAPABILITIES, { auth: false, rollback: true });
  expect(set(changed)).toEqual(['installed-data', 'shared-uid', 'permission', 'rollback']);
  expect(changeCapabilities(0x80000000, { auth: true })).toBe(0x80000010);
});

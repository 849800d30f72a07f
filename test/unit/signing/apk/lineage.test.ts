import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { VerificationError } from '../../../../src/core/errors.ts';
import { decodeLineageFile, type LineageNode } from '../../../../src/formats/apk/lineage.ts';
import { verifyLineage } from '../../../../src/signing/apk/lineage.ts';
import { corpus, corpusPath } from '../../../support/corpus.ts';

const read = (name: string): readonly LineageNode[] =>
  decodeLineageFile(new Uint8Array(readFileSync(corpusPath('sig-apksig', 'keys', name))));

const refusal = (nodes: readonly LineageNode[]): string => {
  try {
    verifyLineage(nodes);
  } catch (error) {
    if (error instanceof VerificationError) return error.code;
    throw error;
  }
  return 'accepted';
};

/** The lineage with one node changed. */
const change = (
  nodes: readonly LineageNode[],
  at: number,
  changed: (node: LineageNode) => Partial<LineageNode>,
): readonly LineageNode[] =>
  nodes.map((node, index) => (index === at ? { ...node, ...changed(node) } : node));

const flip = (bytes: Uint8Array, at: number): Uint8Array =>
  bytes.map((byte, index) => (index === at ? byte ^ 1 : byte));

describe.skipIf(corpus === undefined)('verifyLineage', () => {
  test.each([
    'ec-p256-lineage-2-signers',
    'rsa-1024-lineage-2-signers',
    'rsa-2048-lineage-3-signers',
    'rsa-2048-lineage-2-signers-2-3',
  ])('accepts %s', (name) => {
    expect(refusal(read(name))).toBe('accepted');
  });

  test('refuses a node with any other signature, algorithm or certificate', () => {
    const nodes = read('rsa-2048-lineage-3-signers');
    const cases: readonly (readonly [readonly LineageNode[], string])[] = [
      [change(nodes, 1, ({ signature }) => ({ signature: flip(signature, 9) })), 'bad-signature'],
      [change(nodes, 2, () => ({ signature: new Uint8Array(0) })), 'bad-signature'],
      [change(nodes, 1, () => ({ parentAlgorithm: 0x0104 })), 'algorithm-mismatch'],
      [change(nodes, 0, () => ({ algorithm: 0x0104 })), 'algorithm-mismatch'],
      [
        change(
          change(nodes, 0, () => ({ algorithm: 0x0104 })),
          1,
          () => ({
            parentAlgorithm: 0x0104,
          }),
        ),
        'bad-signature',
      ],
      [
        change(
          change(nodes, 0, () => ({ algorithm: 7 })),
          1,
          () => ({ parentAlgorithm: 7 }),
        ),
        'unsupported',
      ],
      [change(nodes, 0, () => ({ certificate: Uint8Array.of(0x30, 0) })), 'bad-certificate'],
      [
        change(nodes, 1, ({ certificate }) => ({ certificate: flip(certificate, 400) })),
        'bad-signature',
      ],
      [nodes.toReversed(), 'algorithm-mismatch'],
    ];
    expect(cases.map(([changed]) => refusal(changed))).toEqual(cases.map(([, code]) => code));
  });

  test('refuses a certificate that comes back', () => {
    const [first, second] = read('rsa-2048-lineage-2-signers');
    if (first === undefined || second === undefined) throw new Error('The lineage has two nodes');
    // The same key and certificate again, which is signed by itself only in name.
    expect(
      refusal([first, second, { ...first, parentAlgorithm: 0, signature: second.signature }]),
    ).not.toBe('accepted');
  });

  test('does not cover capabilities, which apps may change', () => {
    const nodes = change(read('rsa-2048-lineage-2-signers'), 0, () => ({ capabilities: 0 }));
    expect(refusal(nodes)).toBe('accepted');
  });
});

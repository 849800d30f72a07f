import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { VerificationError } from '../../../../src/core/errors.ts';
import {
  decodeLineageFile,
  DEFAULT_CAPABILITIES,
  encodeLineageSignedData,
  type LineageNode,
} from '../../../../src/formats/apk/lineage.ts';
import {
  changeLineage,
  extendLineage,
  mergeLineages,
  startLineage,
  truncateLineage,
  type Lineage,
} from '../../../../src/signing/apk/lineage-change.ts';
import { verifyLineage } from '../../../../src/signing/apk/lineage.ts';
import { corpus, corpusPath } from '../../../support/corpus.ts';
import { corpusSigner } from './fixtures.ts';

const read = (name: string): readonly LineageNode[] =>
  decodeLineageFile(new Uint8Array(readFileSync(corpusPath('sig-apksig', 'keys', name))));

const refusal = (nodes: Iterable<LineageNode>): string => {
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
      [change(nodes, 1, () => ({ parentAlgorithm: 0x0104 })), 'bad-signature'],
      [change(nodes, 0, () => ({ algorithm: 0x0104 })), 'bad-signature'],
      [change(nodes, 0, () => ({ algorithm: 0 })), 'unsupported'],
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
      [nodes.toReversed(), 'unsupported'],
    ];
    expect(cases.map(([changed]) => refusal(changed))).toEqual(cases.map(([, code]) => code));
  });

  test('refuses a signature over another algorithm than the one it was made with', async () => {
    const [root, child] = read('rsa-2048-lineage-2-signers');
    if (root === undefined || child === undefined) throw new Error('empty');
    const data = encodeLineageSignedData(child.certificate, 0x0104);
    const options = { hash: 'sha256', scheme: 'rsa-pkcs1' } as const;
    const signature = await corpusSigner('rsa-2048').signer.sign(data, options);
    expect(refusal([root, { ...child, parentAlgorithm: 0x0104, signature }])).toBe(
      'algorithm-mismatch',
    );
  });

  test('tells what is wrong with a node before it looks at those behind it', () => {
    function* cutOff() {
      yield* change(read('rsa-2048-lineage-2-signers'), 1, ({ signature }) => ({
        signature: flip(signature, 9),
      }));
      throw new Error('nobody should ask for more');
    }
    expect(refusal(cutOff())).toBe('bad-signature');
  });

  test('refuses a certificate that comes back, even where its signature is valid', async () => {
    const [first, second] = [corpusSigner('rsa-2048'), corpusSigner('rsa-2048_2')];
    const certificates = [first, second].map((each) => each.certificates[0] ?? new Uint8Array(0));
    const [a = new Uint8Array(0), b = new Uint8Array(0)] = certificates;
    const child = (certificate: Uint8Array) => ({ certificate, capabilities: 0 });
    const ab = await extendLineage(startLineage(a, 0), { ...first, certificate: a }, child(b));
    const ba = await extendLineage(startLineage(b, 0), { ...second, certificate: b }, child(a));
    const [, last] = ba;
    const [root, middle] = ab;
    if (root === undefined || middle === undefined || last === undefined) throw new Error('empty');
    expect(refusal([root, { ...middle, algorithm: last.parentAlgorithm }, last])).toBe('duplicate');
  });

  test('does not cover capabilities, which apps may change', () => {
    const nodes = change(read('rsa-2048-lineage-2-signers'), 0, () => ({ capabilities: 0 }));
    expect(refusal(nodes)).toBe('accepted');
  });
});

describe.skipIf(corpus === undefined)('lineages grow and come together', () => {
  const certificate = (name: string): Uint8Array =>
    corpusSigner(name).certificates[0] ?? new Uint8Array(0);
  const parent = (name: string) => ({ ...corpusSigner(name), certificate: certificate(name) });

  test("to apksigner's bytes", async () => {
    const child = (name: string) => ({
      certificate: certificate(name),
      capabilities: DEFAULT_CAPABILITIES,
    });
    const one = startLineage(certificate('rsa-2048'), DEFAULT_CAPABILITIES);
    const two = await extendLineage(one, parent('rsa-2048'), child('rsa-2048_2'));
    const three = await extendLineage(two, parent('rsa-2048_2'), child('rsa-2048_3'));
    expect(two).toEqual(read('rsa-2048-lineage-2-signers'));
    expect(three).toEqual(read('rsa-2048-lineage-3-signers'));
    const none = { 'installed-data': false, 'shared-uid': false, permission: false, auth: false };
    expect(changeLineage(three, certificate('rsa-2048'), none)).toEqual(
      read('rsa-2048-lineage-3-signers-1-no-caps'),
    );
  });

  test('only by the newest key, and never to a certificate that is there', async () => {
    const lineage = read('rsa-2048-lineage-2-signers');
    const child = { certificate: certificate('rsa-2048_3'), capabilities: 0 };
    await expect(extendLineage(lineage, parent('rsa-2048'), child)).rejects.toThrow(/newest/);
    const again = { certificate: certificate('rsa-2048'), capabilities: 0 };
    await expect(extendLineage(lineage, parent('rsa-2048_2'), again)).rejects.toThrow(/already/);
    expect(() => changeLineage(lineage, certificate('rsa-2048_3'), {})).toThrow(/not in it/);
  });

  test('parts of one history make it whole, others are refused', () => {
    const whole = read('rsa-2048-lineage-3-signers');
    const [early, late] = [
      read('rsa-2048-lineage-2-signers'),
      read('rsa-2048-lineage-2-signers-2-3'),
    ];
    const certificates = (lineage: Lineage) => lineage.map((node) => node.certificate);
    for (const [a, b] of [
      [early, late],
      [late, early],
      [whole, late],
      [early, whole],
    ] as const) {
      expect(certificates(mergeLineages(a, b))).toEqual(certificates(whole));
    }
    expect(() => mergeLineages(early, read('ec-p256-lineage-2-signers'))).toThrow(/neither/);
    const other = [...early.slice(0, 1), ...read('ec-p256-lineage-2-signers')];
    expect(() => mergeLineages(early, other)).toThrow(/other certificates/);
    expect(truncateLineage(whole, certificate('rsa-2048_2'))).toHaveLength(2);
    expect(truncateLineage(early, certificate('rsa-2048_3'))).toBeUndefined();
  });
});

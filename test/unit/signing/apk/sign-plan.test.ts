/** Who signs which scheme for which releases. The ranges are those that apksig of Android 14 writes. */

import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { UsageError } from '../../../../src/core/errors.ts';
import { startLineage, type Lineage } from '../../../../src/signing/apk/lineage-change.ts';
import { planIdsig } from '../../../../src/signing/apk/sign-idsig.ts';
import type { SigningKey } from '../../../../src/signing/apk/sign-key.ts';
import {
  planSignatures,
  type RangedSigner,
  type SignaturePlan,
  type SignatureRequest,
} from '../../../../src/signing/apk/sign-plan.ts';
import { keySigner } from '../../../../src/signing/signer.ts';

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const signer = keySigner(privateKey);

/** Plans look at certificates only to tell signers apart. */
function key(letter: string, more: Partial<SigningKey> = {}): SigningKey {
  const certificate = new TextEncoder().encode(letter);
  return { signer, certificates: [certificate], certificate, publicKey: certificate, ...more };
}

const history = (letters: string): Lineage =>
  letters.split('').flatMap((letter) => startLineage(new TextEncoder().encode(letter), 23));

const request = (changes: Partial<SignatureRequest>): SignatureRequest => ({
  signers: [key('a')],
  schemes: {},
  minSdk: 21,
  lineage: undefined,
  rotationMinSdk: 33,
  rotationTargetsDevRelease: false,
  verity: false,
  ...changes,
});

const nameOf = ({ certificate }: SigningKey): string => Buffer.from(certificate).toString();

function rangeOf({ key: of, sdk, lineage, targetsDevRelease }: RangedSigner): string {
  const max = sdk.max === 0x7fffffff ? '' : sdk.max;
  const names = lineage?.map(({ certificate }) => Buffer.from(certificate).toString()).join('');
  return `${nameOf(of)} ${sdk.min}-${max}${names === undefined ? '' : ` ${names}`}${targetsDevRelease ? ' dev' : ''}`;
}

/** `v1 a; v2 a; v3 a 24-32; v3.1 b 33- ab`. */
const describePlan = ({ v1, v2, v3, v31 }: SignaturePlan): string =>
  [
    ['v1', v1.map(nameOf)],
    ['v2', v2.map((each) => nameOf(each.key))],
    ['v3', v3.map(rangeOf)],
    ['v3.1', v31.map(rangeOf)],
  ]
    .filter(([, names]) => (names ?? []).length > 0)
    .map(([scheme, names]) => `${String(scheme)} ${(names as string[]).join(', ')}`)
    .join('; ');

const plan = (changes: Partial<SignatureRequest>): string =>
  describePlan(planSignatures(request(changes)));

const [a, b, c] = [key('a'), key('b'), key('c')];
const ab = history('ab');

describe('planSignatures', () => {
  test.each<[string, Partial<SignatureRequest>, string]>([
    ['one signer', {}, 'v1 a; v2 a; v3 a 24-'],
    ['for new releases only', { minSdk: 35 }, 'v1 a; v2 a; v3 a 24-'],
    ['several signers', { signers: [a, b] }, 'v1 a, b; v2 a, b'],
    ['v3 alone', { schemes: { v1: false, v2: false } }, 'v3 a 24-'],
    ['a rotated key', { signers: [a, b], lineage: ab }, 'v1 a; v2 a; v3 a 24-32; v3.1 b 33- ab'],
    ['in another order', { signers: [b, a], lineage: ab }, 'v1 a; v2 a; v3 a 24-32; v3.1 b 33- ab'],
    [
      'before v3.1',
      { signers: [a, b], lineage: ab, rotationMinSdk: 30 },
      'v1 a; v2 a; v3 b 28- ab',
    ],
    [
      'later',
      { signers: [a, b], lineage: ab, rotationMinSdk: 35 },
      'v1 a; v2 a; v3 a 24-34; v3.1 b 35- ab',
    ],
    [
      'on the release that v3.1 was developed with',
      { signers: [a, b], lineage: ab, rotationMinSdk: 34 },
      'v1 a; v2 a; v3 a 24-33; v3.1 b 33- ab dev',
    ],
    [
      'on a release in development',
      { signers: [a, b], lineage: ab, rotationMinSdk: 36, rotationTargetsDevRelease: true },
      'v1 a; v2 a; v3 a 24-36; v3.1 b 36- ab dev',
    ],
    [
      'where all releases know the new key',
      { signers: [a, b], lineage: ab, minSdk: 33 },
      'v1 a; v2 a; v3 b 33- ab',
    ],
    [
      'the newest of three',
      { signers: [a, c], lineage: history('abc') },
      'v1 a; v2 a; v3 a 24-32; v3.1 c 33- abc',
    ],
    [
      'with the lineage as far as its signer',
      { signers: [a, b], lineage: history('abc') },
      'v1 a; v2 a; v3 a 24-32; v3.1 b 33- ab',
    ],
    [
      'signers for ranges',
      {
        signers: [
          key('c', { minSdk: 35, lineage: history('abc') }),
          a,
          key('b', { minSdk: 33, lineage: ab }),
        ],
      },
      'v1 a; v2 a; v3 a 24-32; v3.1 c 35- abc, b 33-34 ab',
    ],
    [
      'a rotation and a range',
      { signers: [a, b, key('c', { minSdk: 35, lineage: history('abc') })], lineage: ab },
      'v1 a; v2 a; v3 a 24-32; v3.1 c 35- abc, b 33-34 ab',
    ],
    [
      'the lineage without v3',
      { signers: [a, b], lineage: ab, schemes: { v3: false } },
      'v1 a; v2 a',
    ],
  ])('%s', (_name, changes, expected) => {
    expect(plan(changes)).toBe(expected);
  });

  test.each<[string, Partial<SignatureRequest>, RegExp]>([
    ['no scheme', { schemes: { v1: false, v2: false, v3: false } }, /no signature scheme/],
    ['v3 by two', { signers: [a, b], schemes: { v3: true } }, /v3 takes one signer/],
    ['a stranger', { signers: [a, c], lineage: ab }, /not in the lineage/],
    ['v1 without the oldest', { signers: [b], lineage: ab, rotationMinSdk: 28 }, /oldest key/],
    [
      'releases without a signer',
      { signers: [b], lineage: ab, schemes: { v1: false, v2: false } },
      /no signer is there for SDK 28 to 32/,
    ],
    [
      'two for one range',
      { signers: [a, key('b', { minSdk: 28 }), key('c', { minSdk: 30 })] },
      /two signers start at SDK 28/,
    ],
    ['ranges before v3', { signers: [a, key('b', { minSdk: 27 })] }, /start|SDK 27/],
    [
      'a range before the rotation',
      { signers: [a, b, key('c', { minSdk: 33, lineage: history('abc') })], lineage: ab },
      /the rotation starts at SDK 33/,
    ],
    [
      'development before v3.1',
      { signers: [a, b], lineage: ab, rotationMinSdk: 28, rotationTargetsDevRelease: true },
      /in development/,
    ],
    [
      'ranges of other histories',
      {
        signers: [
          a,
          key('b', { minSdk: 28, lineage: ab }),
          key('c', { minSdk: 33, lineage: history('xc') }),
        ],
      },
      /neither continues the other/,
    ],
    [
      'a range by somebody else',
      { signers: [key('b', { minSdk: 33, lineage: history('ac') })] },
      /not in its lineage/,
    ],
    [
      'eleven signers',
      { signers: 'abcdefghijk'.split('').map((letter) => key(letter)) },
      /at most 10/,
    ],
  ])('refuses %s', (_name, changes, message) => {
    expect(() => plan(changes)).toThrow(message);
    expect(() => plan(changes)).toThrow(UsageError);
  });

  test('signs Merkle trees too where it is told to and the key can', () => {
    const algorithms = (verity: boolean): readonly string[] =>
      planSignatures(request({ verity })).v2.flatMap((each) =>
        each.algorithms.map(({ name }) => name),
      );
    expect(algorithms(false)).toEqual(['ecdsa-sha256']);
    expect(algorithms(true)).toEqual(['ecdsa-sha256', 'ecdsa-sha256-verity']);
  });
});

describe('planIdsig', () => {
  const idsig = (changes: Partial<SignatureRequest>): string => {
    const { signer: of, rotated } = planIdsig(planSignatures(request(changes)));
    return [of, rotated].map((each) => (each ? nameOf(each.key) : '-')).join(' ');
  };

  test('is signed by the signers of v3 and v3.1, or that of v2', () => {
    expect(idsig({})).toBe('a -');
    expect(idsig({ schemes: { v3: false } })).toBe('a -');
    expect(idsig({ signers: [a, b], lineage: ab })).toBe('a b');
  });

  test('needs one of them, with one certificate', () => {
    expect(() => idsig({ schemes: { v2: false, v3: false } })).toThrow(/needs v2 or v3/);
    expect(() => idsig({ signers: [a, b] })).toThrow(/takes one signer/);
    const chained = key('a', { certificates: [a.certificate, b.certificate] });
    expect(() => idsig({ signers: [chained] })).toThrow(/one certificate/);
  });
});

/** Signers of v3 and v3.1 that no signer of ours would make: ranges, attributes and lineages at odds. */

import { beforeAll, describe, expect, test } from 'vitest';
import {
  SIGNATURE_RSA_PKCS1_SHA256 as RSA,
  SIGNATURE_VERITY_RSA_PKCS1_SHA256 as VERITY,
} from '../../../../../src/formats/apk/algorithms.ts';
import { u32 } from '../../../../../src/formats/apk/length-prefixed.ts';
import {
  encodeLineage,
  encodeLineageSignedData,
  PROOF_OF_ROTATION_ATTRIBUTE_ID,
  type LineageNode,
} from '../../../../../src/formats/apk/lineage.ts';
import {
  decodeSignedData,
  decodeSigners,
  encodeSignedData,
  encodeSigners,
  ROTATION_MIN_SDK_ATTRIBUTE_ID,
  ROTATION_ON_DEV_RELEASE_ATTRIBUTE_ID,
  type AlgorithmDigest,
  type SdkRange,
  type SignedData,
  type SignerBlock,
} from '../../../../../src/formats/apk/signer-block.ts';
import {
  APK_SIGNATURE_SCHEME_V2_BLOCK_ID as V2,
  APK_SIGNATURE_SCHEME_V31_BLOCK_ID as V31,
  APK_SIGNATURE_SCHEME_V3_BLOCK_ID as V3,
} from '../../../../../src/formats/apk/signing-block.ts';
import { bytesSource } from '../../../../../src/io/byte-source.ts';
import {
  verifyApk,
  type VerifyApkOptions,
} from '../../../../../src/signing/apk/verifier/verify-apk.ts';
import { corpus } from '../../../../support/corpus.ts';
import { corpusKey, sign, testApk, testManifest } from '../fixtures.ts';
import { pairsOf, withPairs } from './altered.ts';

type KeyName = 'rsa-2048' | 'rsa-2048_2' | 'rsa-2048_3' | 'rsa-1024';

const ALL: SdkRange = { min: 28, max: 0x7fffffff };
const OPTIONS = { hash: 'sha256', scheme: 'rsa-pkcs1' } as const;

/** By the first key, v2 alone. */
let apk: Uint8Array;
let digests: readonly AlgorithmDigest[];

interface Crafted {
  readonly key: KeyName;
  readonly sdk?: SdkRange;
  /** What the signed data says instead. */
  readonly signed?: Partial<SignedData>;
  /** Parts that no signature covers. */
  readonly outside?: Partial<SignerBlock>;
  readonly lineage?: Uint8Array;
  readonly attributes?: SignedData['attributes'];
}

/** A signer whose signature holds, whatever it says. */
async function craft({ key, sdk = ALL, signed, outside, lineage, attributes }: Crafted) {
  const { signer, certificateDer } = corpusKey(key);
  const signedData = encodeSignedData({
    digests,
    certificates: [certificateDer],
    sdk,
    attributes: [
      ...(lineage ? [{ id: PROOF_OF_ROTATION_ATTRIBUTE_ID, value: lineage }] : []),
      ...(attributes ?? []),
    ],
    ...signed,
  });
  return {
    signedData,
    sdk,
    signatures: [{ algorithm: RSA, signature: await signer.sign(signedData, OPTIONS) }],
    publicKey: signer.publicKey.export({ type: 'spki', format: 'der' }),
    ...outside,
  };
}

async function lineageOf(...names: readonly KeyName[]): Promise<readonly LineageNode[]> {
  const nodes: LineageNode[] = [];
  for (const [index, name] of names.entries()) {
    const { certificateDer: certificate } = corpusKey(name);
    const before = names[index - 1];
    const data = encodeLineageSignedData(certificate, before === undefined ? 0 : RSA);
    nodes.push({
      certificate,
      parentAlgorithm: before === undefined ? 0 : RSA,
      capabilities: 23,
      algorithm: index === names.length - 1 ? 0 : RSA,
      signature:
        before === undefined
          ? new Uint8Array(0)
          : await corpusKey(before).signer.sign(data, OPTIONS),
    });
  }
  return nodes;
}

const lineage = async (...names: readonly KeyName[]): Promise<Uint8Array> =>
  encodeLineage(await lineageOf(...names));

const rotation = (sdk: number) => ({ id: ROTATION_MIN_SDK_ATTRIBUTE_ID, value: u32(sdk) });
const devRelease = { id: ROTATION_ON_DEV_RELEASE_ATTRIBUTE_ID, value: new Uint8Array(0) };

/** The names of what is found, errors first. */
async function findings(
  v3: readonly Crafted[],
  v31: readonly Crafted[] = [],
  options: VerifyApkOptions = {},
): Promise<readonly string[]> {
  const encode = async (signers: readonly Crafted[]) =>
    encodeSigners(await Promise.all(signers.map(craft)));
  const pairs = (await pairsOf(apk)).filter(({ id }) => id === V2);
  const changed = await withPairs(apk, [
    ...pairs,
    ...(v3.length > 0 ? [{ id: V3, value: await encode(v3) }] : []),
    ...(v31.length > 0 ? [{ id: V31, value: await encode(v31) }] : []),
  ]);
  const { issues } = await verifyApk(bytesSource(changed), { minSdk: 24, ...options });
  return issues.map(({ name }) => name);
}

describe.skipIf(corpus === undefined)('v3 signers', () => {
  beforeAll(async () => {
    const { signer, certificateDer } = corpusKey('rsa-2048');
    const signed = await sign(await testApk(undefined, { ...testManifest, minSdk: 24 }), {
      signers: [{ signer, certificates: [certificateDer] }],
      schemes: { v1: false, v2: true, v3: false },
      idsig: undefined,
    });
    apk = signed.apk;
    const value = (await pairsOf(apk)).find(({ id }) => id === V2)?.value ?? new Uint8Array(0);
    const [block] = decodeSigners(value, 'v2');
    digests = decodeSignedData(block?.signedData ?? new Uint8Array(0), 'v2').digests;
  });

  test('may be one for all releases', async () => {
    expect(await findings([{ key: 'rsa-2048' }])).toEqual([]);
  });

  test('must be those of the older schemes, or lead back to them', async () => {
    expect(await findings([{ key: 'rsa-2048_2' }])).toEqual(['V3_SIG_PAST_SIGNERS_MISMATCH']);
    const rotated = await lineage('rsa-2048', 'rsa-2048_2');
    expect(await findings([{ key: 'rsa-2048_2', lineage: rotated }])).toEqual([]);
    const foreign = await lineage('rsa-2048_3', 'rsa-2048_2');
    expect(await findings([{ key: 'rsa-2048_2', lineage: foreign }])).toEqual([
      'V3_SIG_PAST_SIGNERS_MISMATCH',
    ]);
    // In the lineage, and not its first.
    const later = await lineage('rsa-2048_3', 'rsa-2048', 'rsa-2048_2');
    expect(await findings([{ key: 'rsa-2048_2', lineage: later }])).toEqual([
      'V3_SIG_PAST_SIGNERS_MISMATCH',
    ]);
  });

  test('cover all releases, each once', async () => {
    const rotated = await lineage('rsa-2048', 'rsa-2048_2');
    const first = { key: 'rsa-2048', sdk: { min: 28, max: 30 } } as const;
    const second = (min: number, max = 0x7fffffff) =>
      ({ key: 'rsa-2048_2', sdk: { min, max }, lineage: rotated }) as const;
    expect(await findings([first, second(31)])).toEqual([]);
    expect(await findings([second(31), first])).toEqual([]);
    for (const min of [30, 32]) {
      expect(await findings([first, second(min)])).toContain('V3_INCONSISTENT_SDK_VERSIONS');
    }
    expect(await findings([first, second(31, 33)])).toEqual(['V3_MISSING_SDK_VERSIONS']);
    expect(await findings([second(29)])).toEqual(['V3_MISSING_SDK_VERSIONS']);
    expect(await findings([first, second(31, 33)], [], { maxSdk: 33 })).toEqual([]);
    expect(await findings([second(29)], [], { minSdk: 29 })).toEqual([]);
  });

  test('say the same in the signed data and beside it', async () => {
    const sdk = { min: 29, max: 33 };
    expect(await findings([{ key: 'rsa-2048', signed: { sdk } }])).toEqual([
      'V3_MIN_SDK_VERSION_MISMATCH_BETWEEN_SIGNER_AND_SIGNED_DATA_RECORD',
      'V3_MAX_SDK_VERSION_MISMATCH_BETWEEN_SIGNER_AND_SIGNED_DATA_RECORD',
    ]);
    const backwards = { min: 30, max: 28 };
    expect(await findings([{ key: 'rsa-2048', sdk: backwards }])).toContain(
      'V3_SIG_INVALID_SDK_VERSIONS',
    );
    const negative = { min: 0xffffffff, max: 0x7fffffff };
    expect(await findings([{ key: 'rsa-2048', sdk: negative }])).toContain(
      'V3_SIG_INVALID_SDK_VERSIONS',
    );
  });

  test('sign with what they list, by the key of their certificate', async () => {
    const [digest] = digests;
    if (digest === undefined) throw new Error('There is no digest');
    const more = [digest, { algorithm: VERITY, digest: new Uint8Array(40) }];
    expect(await findings([{ key: 'rsa-2048', signed: { digests: more } }])).toEqual([
      'V3_SIG_SIG_ALG_MISMATCH_BETWEEN_SIGNATURES_AND_DIGESTS_RECORDS',
    ]);
    const { certificateDer } = corpusKey('rsa-2048_2');
    const other = { certificates: [certificateDer] };
    expect(await findings([{ key: 'rsa-2048', signed: other }])).toEqual([
      'V3_SIG_PUBLIC_KEY_MISMATCH_BETWEEN_CERTIFICATE_AND_SIGNATURES_RECORD',
    ]);
    const broken = { certificates: [new Uint8Array(20)] };
    expect(await findings([{ key: 'rsa-2048', signed: broken }])).toEqual([
      'V3_SIG_MALFORMED_CERTIFICATE',
    ]);
    expect(await findings([{ key: 'rsa-2048', outside: { signatures: [] } }])).toEqual([
      'V3_SIG_NO_SIGNATURES',
    ]);
    const publicKey = new Uint8Array(30);
    expect(await findings([{ key: 'rsa-2048', outside: { publicKey } }])).toEqual([
      'V3_SIG_MALFORMED_PUBLIC_KEY',
    ]);
    const signatures = [{ algorithm: RSA, signature: new Uint8Array(20) }];
    expect(await findings([{ key: 'rsa-2048', outside: { signatures } }])).toEqual([
      'V3_SIG_VERIFY_EXCEPTION',
    ]);
    const unknown = [{ algorithm: 0x999, signature: new Uint8Array(20) }];
    expect(await findings([{ key: 'rsa-2048', outside: { signatures: unknown } }])).toEqual([
      'V3_SIG_UNKNOWN_SIG_ALGORITHM',
      'V3_SIG_NO_SUPPORTED_SIGNATURES',
    ]);
  });

  test('have attributes that are read or passed over', async () => {
    const unknown = [{ id: 0x1234, value: new Uint8Array(3) }];
    expect(await findings([{ key: 'rsa-2048', attributes: unknown }])).toEqual([
      'V3_SIG_UNKNOWN_ADDITIONAL_ATTRIBUTE',
    ]);
    const short = [{ id: ROTATION_MIN_SDK_ATTRIBUTE_ID, value: new Uint8Array(3) }];
    expect(await findings([{ key: 'rsa-2048', attributes: short }])).toEqual([
      'V3_SIG_MALFORMED_ADDITIONAL_ATTRIBUTE',
    ]);
    expect(await findings([{ key: 'rsa-2048', attributes: [devRelease] }])).toEqual([
      'V31_ROTATION_TARGETS_DEV_RELEASE_ATTR_ON_V3_SIGNER',
    ]);
  });
});

describe.skipIf(corpus === undefined)('lineages of v3 signers', () => {
  test('end with the signer, and hold', async () => {
    const longer = await lineage('rsa-2048', 'rsa-2048_2', 'rsa-2048_3');
    expect(await findings([{ key: 'rsa-2048_2', lineage: longer }])).toEqual([
      'V3_SIG_POR_CERT_MISMATCH',
    ]);
    const nodes = await lineageOf('rsa-2048', 'rsa-2048_2');
    const unsigned = encodeLineage(
      nodes.map((node) => ({ ...node, signature: node.signature.slice().fill(1) })),
    );
    expect(await findings([{ key: 'rsa-2048_2', lineage: unsigned }])).toEqual([
      'V3_SIG_POR_DID_NOT_VERIFY',
    ]);
    const unknown = encodeLineage(
      nodes.map((node) => ({ ...node, algorithm: node.algorithm === 0 ? 0 : 7 })),
    );
    expect(await findings([{ key: 'rsa-2048_2', lineage: unknown }])).toEqual([
      'V3_SIG_MALFORMED_LINEAGE',
    ]);
    const newer = (await lineage('rsa-2048', 'rsa-2048_2')).with(0, 2);
    expect(await findings([{ key: 'rsa-2048_2', lineage: newer }])).toEqual([
      'V3_SIG_POR_CERT_MISMATCH',
    ]);
    const cut = (await lineage('rsa-2048', 'rsa-2048_2')).slice(0, -1);
    expect(await findings([{ key: 'rsa-2048_2', lineage: cut }])).toEqual([
      'V3_SIG_MALFORMED_LINEAGE',
    ]);
    const twice = await lineage('rsa-2048', 'rsa-2048_2');
    const again = [{ id: PROOF_OF_ROTATION_ATTRIBUTE_ID, value: twice }];
    expect(await findings([{ key: 'rsa-2048_2', lineage: twice, attributes: again }])).toEqual([
      'V3_SIG_MALFORMED_LINEAGE',
    ]);
  });

  test('grow with the releases, and are parts of one', async () => {
    const two = await lineage('rsa-2048', 'rsa-2048_2');
    const three = await lineage('rsa-2048', 'rsa-2048_2', 'rsa-2048_3');
    const early = { min: 28, max: 30 };
    const late = { min: 31, max: 0x7fffffff };
    const signers = (first: Uint8Array, second: Uint8Array, a: KeyName, b: KeyName) => [
      { key: a, sdk: early, lineage: first },
      { key: b, sdk: late, lineage: second },
    ];
    expect(await findings(signers(two, three, 'rsa-2048_2', 'rsa-2048_3'))).toEqual([]);
    expect(await findings(signers(three, two, 'rsa-2048_3', 'rsa-2048_2'))).toEqual([
      'V3_INCONSISTENT_LINEAGES',
    ]);
    const fork = await lineage('rsa-2048', 'rsa-1024', 'rsa-2048_3');
    expect(await findings(signers(two, fork, 'rsa-2048_2', 'rsa-2048_3'))).toEqual([
      'V3_INCONSISTENT_LINEAGES',
    ]);
    // The later one may know only the newer part.
    const tail = await lineage('rsa-2048_2', 'rsa-2048_3');
    expect(await findings(signers(two, tail, 'rsa-2048_2', 'rsa-2048_3'))).toEqual([]);
  });
});

describe.skipIf(corpus === undefined)('v3.1 beside v3', () => {
  const base = (attributes: SignedData['attributes'], max = 0x7fffffff) =>
    [{ key: 'rsa-2048', sdk: { min: 28, max }, attributes }] as const;
  const rotated = async (min: number, attributes: SignedData['attributes'] = []) => [
    {
      key: 'rsa-2048_2' as const,
      sdk: { min, max: 0x7fffffff },
      lineage: await lineage('rsa-2048', 'rsa-2048_2'),
      attributes,
    },
  ];

  test('starts where v3 says that it does', async () => {
    expect(await findings(base([rotation(33)], 32), await rotated(33))).toEqual([]);
    expect(await findings(base([rotation(34)], 33), await rotated(34))).toEqual([]);
    expect(await findings(base([rotation(34)], 32), await rotated(33))).toEqual([
      'V31_ROTATION_MIN_SDK_MISMATCH',
    ]);
    expect(await findings(base([], 32), await rotated(33))).toEqual([
      'V31_ROTATION_MIN_SDK_ATTR_MISSING',
    ]);
    expect(await findings(base([rotation(33)]))).toEqual(['V31_BLOCK_MISSING']);
    expect(await findings(base([rotation(33)], 30), await rotated(33))).toEqual([
      'V3_MISSING_SDK_VERSIONS',
    ]);
  });

  test('means nothing to releases that do not know it', async () => {
    expect(await findings(base([rotation(33)], 32), [], { maxSdk: 32 })).toEqual([]);
    expect(await findings([], await rotated(33), { maxSdk: 32 })).toEqual([]);
    expect(await findings([], await rotated(33))).toEqual(['V31_BLOCK_FOUND_WITHOUT_V3_BLOCK']);
  });

  test('may start in a release that is developed under the number of the one before', async () => {
    const early = await rotated(33, []);
    const [first] = early;
    if (first === undefined) throw new Error('There is no signer');
    const later = {
      ...first,
      key: 'rsa-2048_3' as const,
      lineage: await lineage('rsa-2048', 'rsa-2048_2', 'rsa-2048_3'),
      sdk: { min: 34, max: 0x7fffffff },
    };
    const until34 = { ...first, sdk: { min: 33, max: 34 } };
    const of = (attributes: SignedData['attributes']) =>
      findings(base([rotation(33)], 32), [until34, { ...later, attributes }]);
    expect(await of([devRelease])).toEqual([]);
    expect(await of([])).toContain('V3_INCONSISTENT_SDK_VERSIONS');
  });
});

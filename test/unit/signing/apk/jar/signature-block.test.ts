/** Signature blocks of all kinds, and what apksigner 31.0.2 says of each from SDK 18 and from SDK 24 on. */

import { beforeAll, describe, expect, it, test } from 'vitest';
import {
  bitString,
  encodeValue,
  integer,
  objectIdentifier,
  octetString,
  sequence,
} from '../../../../../src/formats/der/write.ts';
import {
  combinedOid,
  HASH_OIDS,
  OID_DSA,
  OID_EC_PUBLIC_KEY,
  OID_MESSAGE_DIGEST,
  OID_RSA,
  OID_SIGNED_DATA,
} from '../../../../../src/signing/cms/algorithms.ts';
import {
  dsaIdentity,
  ecIdentity,
  nameOf,
  printableString,
  rsaIdentity,
  utf8String,
  withLongLength,
  type CertificateParts,
} from '../../cms/certificates.ts';
import {
  attribute,
  digestAttribute,
  forgeSignedData,
  sidOf,
  typeAttribute,
  type ForgedParts,
  type ForgedSigner,
} from '../../cms/forge.ts';
import { entry, signed, verdictOn, type TestEntry } from './archive.ts';

const rsa = rsaIdentity();
const stranger = rsaIdentity();
const ec = ecIdentity();
const p224 = ecIdentity('P-224');
const dsa = dsaIdentity();

let good: readonly TestEntry[];
/** The signature file, which all blocks sign. */
let file: Uint8Array;
beforeAll(async () => {
  const signers = [{ signer: rsa.signer, certificates: [rsa.certificate()] }];
  good = await signed([entry('a', 'b')], signers);
  file = good.find(({ name }) => name.endsWith('.SF'))?.content ?? new Uint8Array();
});

type Signers = readonly Omit<ForgedSigner, 'identity'>[];
interface Block extends ForgedParts {
  readonly identity?: typeof rsa;
  readonly signers?: Signers;
  readonly wrap?: (block: Uint8Array) => Uint8Array;
}

const VERIFY = 'JAR_SIG_VERIFY_EXCEPTION';
const PARSE = 'JAR_SIG_PARSE_EXCEPTION';
const WRONG = 'JAR_SIG_DID_NOT_VERIFY';
const UNSUPPORTED = 'JAR_SIG_UNSUPPORTED_SIG_ALG';

async function errorsOf(makeBlock: () => Block, minSdk: number): Promise<readonly string[]> {
  const { identity = rsa, signers = [{}], wrap = (block) => block, ...parts } = makeBlock();
  const forged = signers.map((each) => ({ identity, ...each }));
  const certificates = 'certificates' in parts ? parts.certificates : [identity.certificate()];
  const block = wrap(forgeSignedData(file, forged, { ...parts, certificates }));
  const apk = good.map((each) => (each.name.endsWith('.RSA') ? { ...each, content: block } : each));
  return (await verdictOn(apk, { minSdk })).errors;
}

/** From SDK 18 on, and from SDK 24 on: undefined where all is well. */
type Row = readonly [
  what: string,
  from18: string | undefined,
  from24: string | undefined,
  () => Block,
];

const one =
  (signer: () => Signers[number], parts: () => Block = () => ({})) =>
  (): Block => ({ ...parts(), signers: [signer()] });
const withAttributes = (attributes: () => readonly Uint8Array[]) =>
  one(() => ({ attributes: attributes() }));
const certified = (parts: CertificateParts) => (): Block => ({
  certificates: [rsa.certificate(parts)],
});
const named = (name: () => Uint8Array) => one(() => ({ sid: sidOf(name()) }));
const zeros = { signature: (valid: Uint8Array) => new Uint8Array(valid.length) };
const elsewhere = { sid: sidOf(nameOf(utf8String('x')), 1n) };
const usage = (value: Uint8Array, critical: boolean): CertificateParts => ({
  extensions: [{ oid: '2.5.29.15', critical, value }],
});
const ecBlock = (signature?: (valid: Uint8Array) => Uint8Array) => (): Block => ({
  identity: ec,
  signers: [{ signatureOid: OID_EC_PUBLIC_KEY, ...(signature && { signature }) }],
});
const dsaBlock = (signature?: (valid: Uint8Array) => Uint8Array) => (): Block => ({
  identity: dsa,
  signers: [{ hash: 'sha1', signatureOid: OID_DSA, ...(signature && { signature }) }],
});
const pair = (r: bigint, s: bigint) => () => sequence(integer(r), integer(s));
const junk = Uint8Array.of(1, 2, 3);

const algorithms: readonly Row[] = [
  ['MD5', undefined, undefined, one(() => ({ hash: 'md5' }))],
  ['SHA-224', UNSUPPORTED, undefined, one(() => ({ hash: 'sha224' }))],
  ['SHA-384', undefined, undefined, one(() => ({ hash: 'sha384' }))],
  ['an unknown digest', UNSUPPORTED, UNSUPPORTED, one(() => ({ digestOid: '1.2.3' }))],
  ['an unknown signature', UNSUPPORTED, UNSUPPORTED, one(() => ({ signatureOid: '1.2.3' }))],
  ['odd parameters', undefined, undefined, one(() => ({ digestParameters: integer(3n) }))],
  [
    'two hashes',
    UNSUPPORTED,
    UNSUPPORTED,
    one(() => ({
      hash: 'sha1',
      digestOid: HASH_OIDS.sha256,
      signatureOid: combinedOid('rsa', 'sha1'),
    })),
  ],
  ['ECDSA with an RSA key', VERIFY, VERIFY, one(() => ({ signatureOid: OID_EC_PUBLIC_KEY }))],
  ['RSA with an EC key', VERIFY, VERIFY, () => ({ identity: ec })],
  [
    'a curve that Android does not know',
    VERIFY,
    VERIFY,
    () => ({ identity: p224, signers: [{ signatureOid: OID_EC_PUBLIC_KEY }] }),
  ],
  [
    'such a curve in another certificate',
    undefined,
    undefined,
    () => ({ certificates: [p224.certificate({ serialNumber: 9n }), rsa.certificate()] }),
  ],
];

const values: readonly Row[] = [
  ['a byte less', VERIFY, VERIFY, one(() => ({ signature: (valid) => valid.subarray(1) }))],
  ['zeros', WRONG, WRONG, one(() => zeros)],
  ['nothing', VERIFY, VERIFY, one(() => ({ signature: () => new Uint8Array(0) }))],
  ['a string of bits', PARSE, PARSE, one(() => ({ encodeSignature: bitString }))],
  ['ECDSA', undefined, undefined, ecBlock()],
  ['no ECDSA', VERIFY, VERIFY, ecBlock(() => junk)],
  ['ECDSA and a byte', VERIFY, VERIFY, ecBlock((valid) => new Uint8Array([...valid, 0]))],
  ['ECDSA in BER', VERIFY, VERIFY, ecBlock(withLongLength)],
  ['ECDSA of zeros', WRONG, WRONG, ecBlock(pair(0n, 0n))],
  ['ECDSA below zero', WRONG, WRONG, ecBlock(pair(-5n, 1n))],
  ['ECDSA of large numbers', WRONG, WRONG, ecBlock(pair(1n << 300n, 1n))],
  ['DSA', undefined, undefined, dsaBlock()],
  ['no DSA', VERIFY, VERIFY, dsaBlock(() => sequence())],
  ['DSA of zero', VERIFY, VERIFY, dsaBlock(pair(0n, 1n))],
  ['DSA of ones', WRONG, WRONG, dsaBlock(pair(1n, 1n))],
];

const attributes: readonly Row[] = [
  ['all', VERIFY, undefined, withAttributes(() => [typeAttribute(), digestAttribute(file)])],
  [
    'out of order',
    VERIFY,
    undefined,
    withAttributes(() => [digestAttribute(file), typeAttribute()]),
  ],
  [
    'and others',
    VERIFY,
    undefined,
    withAttributes(() => [typeAttribute(), digestAttribute(file), attribute('1.2.3', integer(1n))]),
  ],
  [
    'one twice',
    VERIFY,
    PARSE,
    withAttributes(() => [typeAttribute(), digestAttribute(file), digestAttribute(file)]),
  ],
  [
    'one with two values',
    VERIFY,
    PARSE,
    withAttributes(() => [
      typeAttribute(),
      attribute(OID_MESSAGE_DIGEST, octetString(junk), octetString(file)),
    ]),
  ],
  [
    'one without a value',
    VERIFY,
    VERIFY,
    withAttributes(() => [typeAttribute(), attribute(OID_MESSAGE_DIGEST)]),
  ],
  ['no digest', VERIFY, VERIFY, withAttributes(() => [typeAttribute()])],
  ['no type', VERIFY, VERIFY, withAttributes(() => [digestAttribute(file)])],
  [
    'a digest that is none',
    VERIFY,
    PARSE,
    withAttributes(() => [typeAttribute(), attribute(OID_MESSAGE_DIGEST, integer(1n))]),
  ],
  [
    'one that is none',
    VERIFY,
    VERIFY,
    withAttributes(() => [typeAttribute(), digestAttribute(file), integer(1n)]),
  ],
  ['none at all', VERIFY, VERIFY, withAttributes(() => [])],
  [
    'of content of another type',
    VERIFY,
    undefined,
    () => ({
      contentType: OID_SIGNED_DATA,
      signers: [{ attributes: [typeAttribute(OID_SIGNED_DATA), digestAttribute(file)] }],
    }),
  ],
];

const structures: readonly Row[] = [
  ['as it should be', undefined, undefined, () => ({})],
  ['version 9', undefined, undefined, () => ({ version: 9n })],
  ['version -1', undefined, undefined, () => ({ version: -1n })],
  ['version 2^40', PARSE, PARSE, () => ({ version: 1n << 40n })],
  ['content inside', undefined, undefined, () => ({ eContent: junk })],
  ['content of another type', undefined, undefined, () => ({ contentType: OID_SIGNED_DATA })],
  ['a part too many', undefined, undefined, () => ({ extra: [integer(1n)] })],
  ['a part too many of a signer', undefined, undefined, one(() => ({ extra: [integer(1n)] }))],
  [
    'bytes behind it',
    undefined,
    undefined,
    () => ({ wrap: (block) => new Uint8Array([...block, 1]) }),
  ],
  ['a length of BER', undefined, undefined, () => ({ wrap: withLongLength })],
  ['no certificates', VERIFY, VERIFY, () => ({ certificates: [] })],
  ['no list of certificates', VERIFY, VERIFY, () => ({ certificates: undefined })],
  [
    'a certificate that is none',
    PARSE,
    PARSE,
    () => ({ certificates: [rsa.certificate(), integer(4n)] }),
  ],
  [
    'another certificate before its own',
    undefined,
    undefined,
    () => ({ certificates: [stranger.certificate({ serialNumber: 9n }), rsa.certificate()] }),
  ],
  [
    'one of the same name before its own',
    WRONG,
    WRONG,
    () => ({ certificates: [stranger.certificate(), rsa.certificate()] }),
  ],
];

const signerNames: readonly Row[] = [
  ['in capitals', undefined, undefined, named(() => nameOf(utf8String('TEST')))],
  ['with spaces', undefined, undefined, named(() => nameOf(utf8String(' test ')))],
  ['in another kind of string', undefined, undefined, named(() => nameOf(printableString('test')))],
  [
    'in a kind that is not compared',
    VERIFY,
    VERIFY,
    named(() => nameOf(encodeValue(0, false, 20, Buffer.from('test')))),
  ],
  ['of somebody else', VERIFY, VERIFY, named(() => nameOf(utf8String('tesu')))],
  ['that is none', PARSE, PARSE, named(() => octetString(junk))],
  ['with another number', VERIFY, VERIFY, one(() => ({ sid: sidOf(undefined, 8n) }))],
  ['of a key', PARSE, PARSE, one(() => ({ sid: encodeValue(2, false, 0, junk) }))],
];

const certificates: readonly Row[] = [
  [
    'critical constraints that are none',
    PARSE,
    PARSE,
    certified({ extensions: [{ oid: '2.5.29.19', critical: true, value: junk }] }),
  ],
  [
    'constraints that are none',
    undefined,
    undefined,
    certified({ extensions: [{ oid: '2.5.29.19', value: junk }] }),
  ],
  ['a critical usage that is none', PARSE, PARSE, certified(usage(junk, true))],
  ['a usage that is none', undefined, undefined, certified(usage(junk, false))],
  [
    'an empty usage',
    VERIFY,
    VERIFY,
    certified(usage(encodeValue(0, false, 3, Uint8Array.of(0)), true)),
  ],
  [
    'an extended usage',
    undefined,
    undefined,
    certified({
      extensions: [
        {
          oid: '2.5.29.37',
          critical: true,
          value: sequence(objectIdentifier('1.3.6.1.5.5.7.3.1')),
        },
      ],
    }),
  ],
  [
    'two algorithms',
    PARSE,
    PARSE,
    certified({ outerAlgorithm: sequence(objectIdentifier(OID_RSA)) }),
  ],
  [
    'a number below zero',
    undefined,
    undefined,
    () => ({
      certificates: [rsa.certificate({ serialNumber: -7n })],
      signers: [{ sid: sidOf(undefined, -7n) }],
    }),
  ],
];

const several: readonly Row[] = [
  ['both good', undefined, undefined, () => ({ signers: [{}, {}] })],
  ['the first good', undefined, undefined, () => ({ signers: [{}, zeros] })],
  ['the second good', WRONG, undefined, () => ({ signers: [zeros, {}] })],
  ['none good', WRONG, WRONG, () => ({ signers: [zeros, zeros] })],
  ['the second without certificate', undefined, VERIFY, () => ({ signers: [{}, elsewhere] })],
  ['the first without certificate', VERIFY, VERIFY, () => ({ signers: [elsewhere, {}] })],
  [
    'the second unsupported',
    undefined,
    UNSUPPORTED,
    () => ({ signers: [{}, { digestOid: '1.2.3' }] }),
  ],
];

describe.each([
  ['an algorithm', algorithms],
  ['a signature value', values],
  ['signed attributes', attributes],
  ['a structure', structures],
  ['a signer named', signerNames],
  ['a certificate with', certificates],
  ['two signers', several],
])('%s', (_title, rows) => {
  test.each(rows)('%s: %s from SDK 18, %s from SDK 24', async (_what, from18, from24, block) => {
    expect(await errorsOf(block, 18)).toEqual(from18 === undefined ? [] : [from18]);
    expect(await errorsOf(block, 24)).toEqual(from24 === undefined ? [] : [from24]);
  });
});

describe('a block of many signers', () => {
  it('is refused before their signatures are computed', async () => {
    const signers = Array.from({ length: 65 }, () => ({}));
    expect(await errorsOf(() => ({ signers }), 24)).toEqual([PARSE]);
  });
});

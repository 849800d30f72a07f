import { sign } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { FormatError, UsageError, VerificationError } from '../../../../src/core/errors.ts';
import { assertDer } from '../../../../src/formats/der/check.ts';
import { readElement } from '../../../../src/formats/der/element.ts';
import {
  encodeValue,
  explicit,
  integer,
  nullValue,
  objectIdentifier,
  octetString,
  sequence,
  setOf,
} from '../../../../src/formats/der/write.ts';
import {
  combinedOid,
  HASH_OIDS,
  OID_DATA,
  OID_RSA,
  OID_SIGNED_DATA,
} from '../../../../src/signing/cms/algorithms.ts';
import {
  allowsSignatures,
  certificateKey,
  decodeCertificate,
} from '../../../../src/signing/cms/certificate.ts';
import { checkSignature } from '../../../../src/signing/cms/check-signature.ts';
import { isSameName } from '../../../../src/signing/cms/name.ts';
import { signDetached } from '../../../../src/signing/cms/sign-detached.ts';
import { decodeSignedData, encodeSignedData } from '../../../../src/signing/cms/signed-data.ts';
import { verifyDetached } from '../../../../src/signing/cms/verify-detached.ts';
import type { Signer } from '../../../../src/signing/signer.ts';
import {
  dsaIdentity,
  ecIdentity,
  nameOf,
  printableString,
  rsaIdentity,
  time,
  utf8String,
  withLongLength,
  type CertificateParts,
} from './certificates.ts';
import {
  digestAttribute,
  forgeSignedData,
  typeAttribute,
  type ForgedParts,
  type ForgedSigner,
} from './forge.ts';

const rsa = rsaIdentity();
const other = rsaIdentity();
const ec = ecIdentity();
const content = new Uint8Array(Buffer.from('what is signed'));
const certificate = rsa.certificate();

const detached = (form: 'apksig' | 'openssl', { signer } = rsa, own: Uint8Array = certificate) =>
  signDetached(content, {
    signer,
    certificates: [own],
    hash: 'sha256',
    form,
    includeCertificates: form === 'apksig',
    purpose: 'root-hash',
  });

const verified = (
  signature: Uint8Array,
  trusted = [certificate] as readonly Uint8Array[],
  data: Uint8Array = content,
) => verifyDetached(data, signature, { trusted, link: 'root-hash' });

describe('signDetached() and verifyDetached()', () => {
  test.each(['apksig', 'openssl'] as const)('agree on the form of %s', async (form) => {
    const signature = await detached(form);
    expect(() => assertDer(signature)).not.toThrow();
    expect(verified(signature, [other.certificate({ subject: 'x' }), certificate])).toEqual(
      certificate,
    );
    const { signers, certificates } = decodeSignedData(signature);
    expect(certificates).toEqual(form === 'apksig' ? [certificate] : []);
    expect(signers).toMatchObject([{ signatureAlgorithm: OID_RSA }]);
  });

  it('makes the same bytes again with RSA', async () => {
    expect(await detached('openssl')).toEqual(await detached('openssl'));
  });

  test.each(['P-256', 'P-384', 'P-521'])('agree on EC keys on %s', async (curve) => {
    const identity = ecIdentity(curve);
    const own = identity.certificate();
    const signature = await detached('openssl', identity, own);
    expect(verified(signature, [own])).toEqual(own);
    expect(decodeSignedData(signature).signers[0]?.signatureAlgorithm).toBe(
      combinedOid('ecdsa', 'sha256'),
    );
  });

  it('refuses changed data, a changed signature and those who are not trusted', async () => {
    const signature = await detached('openssl');
    const changed = Uint8Array.from(content);
    changed[0] = 0;
    expect(() => verified(signature, [certificate], changed)).toThrow(VerificationError);
    expect(() => verified(signature, [other.certificate({ subject: 'x' })])).toThrow(
      VerificationError,
    );
    // Another key under the same name.
    expect(() => verified(signature, [other.certificate()])).toThrow(VerificationError);
    expect(() => verified(signature, [])).toThrow(VerificationError);
  });

  it('refuses every changed byte', async () => {
    const signature = await detached('openssl');
    for (let at = 0; at < signature.length; at += 1) {
      const changed = Uint8Array.from(signature);
      changed[at] = (changed[at] ?? 0) ^ 0x10;
      expect(() => verified(changed), `byte ${at}`).toThrow(/Cannot (?:read|trust)/);
    }
  });

  it('refuses keys that cannot sign so, and certificates of others', async () => {
    await expect(detached('openssl', rsa, other.certificate())).rejects.toThrow(UsageError);
    const dsa = dsaIdentity();
    const certificateOfDsa = dsa.certificate();
    await expect(detached('openssl', dsa, certificateOfDsa)).rejects.toThrow(UsageError);
    await expect(detached('apksig', dsa, certificateOfDsa)).resolves.toBeDefined();
  });

  it('refuses what a signer answers for another key', async () => {
    const liar: Signer = {
      publicKey: rsa.signer.publicKey,
      sign: (data, options) => other.signer.sign(data, options),
    };
    await expect(detached('openssl', { ...rsa, signer: liar })).rejects.toThrow(UsageError);
  });
});

interface Forgery extends Omit<ForgedSigner, 'identity'>, ForgedParts {
  readonly unsorted?: boolean;
}

/** A signature that is valid, and unusual as told. */
function forge({ attributes, unsorted, ...parts }: Forgery): Uint8Array {
  const sorted = attributes?.toSorted((a, b) => Buffer.compare(a, b));
  const list = unsorted === true ? attributes : sorted;
  const signer = { ...parts, identity: rsa, ...(list !== undefined && { attributes: list }) };
  return forgeSignedData(content, [signer], parts);
}

describe('verifyDetached() with signed attributes', () => {
  it('takes those that are right', () => {
    const attributes = [typeAttribute(), digestAttribute(content, 'sha512')];
    expect(verified(forge({ hash: 'sha512', attributes }))).toEqual(certificate);
  });

  test.each<[string, Forgery]>([
    ['of other data', { attributes: [typeAttribute(), digestAttribute(certificate)] }],
    ['of another type', { attributes: [typeAttribute(OID_SIGNED_DATA), digestAttribute(content)] }],
    ['without a type', { attributes: [digestAttribute(content)] }],
    ['without a digest', { attributes: [typeAttribute()] }],
    [
      'with two digests',
      {
        attributes: [typeAttribute(), digestAttribute(content), digestAttribute(certificate)],
      },
    ],
    ['out of order', { attributes: [digestAttribute(content), typeAttribute()], unsorted: true }],
  ])('refuses those %s', (_name, forgery) => {
    expect(() => verified(forge(forgery))).toThrow(/Cannot (?:read|trust)/);
  });
});

describe('verifyDetached() with unusual signatures', () => {
  it('is not confused by the way in which tests forge them', () => {
    expect(verified(forge({}))).toEqual(certificate);
  });

  test.each<[string, Forgery]>([
    ['SHA-1', { hash: 'sha1' }],
    ['MD5', { hash: 'md5' }],
    ['SHA-224', { hash: 'sha224' }],
    ['a signature algorithm of another hash', { signatureOid: combinedOid('rsa', 'sha512') }],
    ['a signature algorithm of another key', { signatureOid: combinedOid('ecdsa', 'sha256') }],
    ['an unknown signature algorithm', { signatureOid: '1.2.3' }],
    ['content inside', { eContent: content }],
    ['content of another type', { contentType: OID_SIGNED_DATA }],
  ])('refuses %s', (_name, forgery) => {
    expect(() => verified(forge(forgery))).toThrow(/Cannot (?:read|trust)/);
  });

  it('refuses BER and what follows a signature', () => {
    const signature = forge({});
    expect(() => verified(withLongLength(signature))).toThrow(FormatError);
    expect(() => verified(new Uint8Array([...signature, 0]))).toThrow(FormatError);
    expect(decodeSignedData(withLongLength(signature), 'ber').signers).toHaveLength(1);
    expect(decodeSignedData(new Uint8Array([...signature, 0]), 'ber').signers).toHaveLength(1);
  });

  it('refuses a signature by nobody', () => {
    const empty = sequence(
      objectIdentifier(OID_SIGNED_DATA),
      explicit(
        0,
        sequence(integer(1n), setOf([]), sequence(objectIdentifier(OID_DATA)), setOf([])),
      ),
    );
    expect(() => verified(empty)).toThrow(VerificationError);
  });

  it('takes any bytes as a signature or refuses them with a FormatError', () => {
    const valid = forge({ attributes: [typeAttribute(), digestAttribute(content)] });
    const mutated = fc
      .array(fc.tuple(fc.nat(valid.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 })
      .map((changes) => {
        const copy = Uint8Array.from(valid);
        for (const [at, value] of changes) copy[at] = value;
        return copy;
      });
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 300 }), mutated), (junk) => {
        for (const rules of ['der', 'ber'] as const) {
          try {
            decodeSignedData(junk, rules);
          } catch (error) {
            expect(error).toBeInstanceOf(FormatError);
          }
        }
        try {
          verified(junk);
        } catch (error) {
          expect(error instanceof FormatError || error instanceof VerificationError).toBe(true);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('encodeSignedData()', () => {
  it('writes certificates in the order of DER, whatever order they come in', () => {
    const certificates = [rsa.certificate(), other.certificate(), ec.certificate()];
    const encode = (list: readonly Uint8Array[]) =>
      encodeSignedData({
        digestAlgorithm: { oid: HASH_OIDS.sha256, parameters: 'null' },
        signatureAlgorithm: { oid: OID_RSA, parameters: 'null' },
        issuer: nameOf(utf8String('test')),
        serialNumber: 7n,
        signature: Uint8Array.of(1),
        certificates: list,
      });
    expect(encode(certificates)).toEqual(encode(certificates.toReversed()));
    expect(decodeSignedData(encode(certificates)).certificates).toHaveLength(3);
  });
});

describe('decodeCertificate()', () => {
  it('reads BER where it is asked to, and keeps the bytes', () => {
    const ber = withLongLength(certificate);
    expect(() => decodeCertificate(ber)).toThrow(FormatError);
    const decoded = decodeCertificate(ber, 'ber');
    expect(decoded.encoded).toEqual(ber);
    expect(certificateKey(decoded).equals(rsa.signer.publicKey)).toBe(true);
  });

  it('takes a modulus without its zero byte for the number that was meant', () => {
    const { n = '', e = '' } = rsa.signer.publicKey.export({ format: 'jwk' });
    const modulus = Buffer.from(n, 'base64url');
    const key = sequence(
      encodeValue(0, false, 2, modulus),
      integer(BigInt(`0x${Buffer.from(e, 'base64url').toString('hex')}`)),
    );
    const publicKeyInfo = sequence(
      sequence(objectIdentifier(OID_RSA), nullValue()),
      encodeValue(0, false, 3, Uint8Array.of(0), key),
    );
    const decoded = decodeCertificate(rsa.certificate({ publicKeyInfo }));
    expect(certificateKey(decoded).equals(rsa.signer.publicKey)).toBe(true);
  });

  test.each([
    ['nothing said', undefined, true],
    ['digitalSignature', 0x80, true],
    ['nonRepudiation', 0x40, true],
    ['keyCertSign only', 0x04, false],
  ])('tells from key usage whether it may sign: %s', (_name, bits, expected) => {
    const extensions =
      bits === undefined
        ? []
        : [{ oid: '2.5.29.15', value: encodeValue(0, false, 3, Uint8Array.of(0, bits)) }];
    expect(allowsSignatures(decodeCertificate(rsa.certificate({ extensions })))).toBe(expected);
  });

  it('refuses keys that nobody knows', () => {
    const publicKeyInfo = sequence(
      sequence(objectIdentifier('1.2.3')),
      encodeValue(0, false, 3, Uint8Array.of(0, 1)),
    );
    const decoded = decodeCertificate(rsa.certificate({ publicKeyInfo }));
    expect(() => certificateKey(decoded)).toThrow(FormatError);
  });

  const usage = { oid: '2.5.29.15', value: encodeValue(0, false, 3, Uint8Array.of(0, 0x80)) };
  test.each<[string, CertificateParts]>([
    ['month 13', { notBefore: time('201301000000Z') }],
    ['hour 24', { notBefore: time('200101240000Z') }],
    ['letters in a time', { notBefore: time('2o0101000000Z') }],
    ['a time of another type', { notBefore: utf8String('200101000000Z') }],
    ['an issuer without a name', { issuer: sequence() }],
    ['an issuer that is no name', { issuer: sequence(integer(1n)) }],
    ['two signature algorithms', { outerAlgorithm: sequence(objectIdentifier(OID_RSA)) }],
    ['an extension twice', { extensions: [usage, usage] }],
  ])('refuses %s, in BER too', (_what, parts) => {
    for (const rules of ['der', 'ber'] as const) {
      expect(() => decodeCertificate(rsa.certificate(parts), rules)).toThrow(FormatError);
    }
  });

  test.each([
    ['no seconds', time('2001010000Z'), false],
    ['another zone', time('200101000000+0100'), false],
    ['fractions', time('20200101000000.5Z', 24), false],
    ['four digits of a year', time('20200101000000Z', 24), true],
  ])('takes times of old certificates in BER: %s', (_what, notBefore, isDer) => {
    const made = rsa.certificate({ notBefore });
    expect(decodeCertificate(made, 'ber').serialNumber).toBe(7n);
    const decode = () => decodeCertificate(made).serialNumber;
    if (isDer) expect(decode()).toBe(7n);
    else expect(decode).toThrow(FormatError);
  });

  it('takes any bytes as a certificate or refuses them with a FormatError', () => {
    const change = fc.tuple(fc.nat(certificate.length - 1), fc.nat(255));
    fc.assert(
      fc.property(change, fc.constantFrom('der' as const, 'ber' as const), ([at, value], rules) => {
        const junk = Uint8Array.from(certificate);
        junk[at] = value;
        try {
          const decoded = decodeCertificate(junk, rules);
          allowsSignatures(decoded);
          certificateKey(decoded);
        } catch (error) {
          expect(error).toBeInstanceOf(FormatError);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('isSameName()', () => {
  const name = (value: Uint8Array, oid?: string) => readElement(nameOf(value, oid));
  const EMAIL = '1.2.840.113549.1.9.1';

  test.each([
    ['case', name(utf8String('A  b')), name(utf8String('a b ')), true],
    ['kind of string', name(utf8String('ab')), name(printableString('AB')), true],
    ['another text', name(utf8String('ab')), name(utf8String('abc')), false],
    ['another attribute', name(utf8String('ab')), name(utf8String('ab'), '2.5.4.10'), false],
    [
      'attributes that are no text',
      name(utf8String('A'), EMAIL),
      name(utf8String('a'), EMAIL),
      false,
    ],
  ])('compares as Android does: %s', (_what, a, b, expected) => {
    expect(isSameName(a, b)).toBe(expected);
  });

  it('does not let text stand in for structure', () => {
    const joined = readElement(nameOf(utf8String('a","2.5.4.3=b')));
    const two = readElement(
      sequence(
        setOf([
          sequence(objectIdentifier('2.5.4.3'), utf8String('a')),
          sequence(objectIdentifier('2.5.4.3'), utf8String('b')),
        ]),
      ),
    );
    expect(isSameName(joined, two)).toBe(false);
  });
});

describe('checkSignature()', () => {
  const good = sign('sha256', content, rsa.privateKey);
  const rsaSha256 = { scheme: 'rsa', hash: 'sha256' } as const;

  it('tells signatures of others from bytes that are none', () => {
    const { publicKey } = rsa.signer;
    expect(checkSignature(publicKey, rsaSha256, content, good)).toBe('valid');
    expect(checkSignature(publicKey, rsaSha256, certificate, good)).toBe('invalid');
    expect(checkSignature(publicKey, rsaSha256, content, good.subarray(1))).toBe('malformed');
    expect(checkSignature(ec.signer.publicKey, rsaSha256, content, good)).toBe('malformed');
  });

  test.each([
    ['no sequence', octetString(content)],
    ['three numbers', sequence(integer(1n), integer(1n), integer(1n))],
    ['BER', withLongLength(sequence(integer(1n), integer(1n)))],
  ])('calls an ECDSA signature malformed: %s', (_name, signature) => {
    const algorithm = { scheme: 'ecdsa', hash: 'sha256' } as const;
    expect(checkSignature(ec.signer.publicKey, algorithm, content, signature)).toBe('malformed');
  });

  test.each([
    ['ecdsa', 'invalid'],
    ['dsa', 'malformed'],
  ] as const)('calls numbers out of range, in a signature of %s, %s', (scheme, expected) => {
    const { publicKey } = (scheme === 'dsa' ? dsaIdentity() : ec).signer;
    for (const number of [0n, -1n, 1n << 600n]) {
      const signature = sequence(integer(1n), integer(number));
      expect(checkSignature(publicKey, { scheme, hash: 'sha256' }, content, signature)).toBe(
        expected,
      );
    }
  });
});

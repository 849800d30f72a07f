import { createPublicKey, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { encodeEnvelope, preAuthenticationEncoding } from '../../../src/formats/dsse/envelope.ts';
import { addDsseSignatures, dsseKeyid, signDsse } from '../../../src/signing/dsse.ts';
import { keySigner } from '../../../src/signing/signer.ts';
import { verifyDsse } from '../../../src/signing/verify-dsse.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const content = { payloadType: 'application/vnd.example+json', payload: bytes('{"a":1}') };

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' });
const ed25519 = generateKeyPairSync('ed25519');
const pairs = { rsa, p256, p384, ed25519 };

/** The example of the specification: ECDSA with P-256, r and s one behind the other. */
const EXAMPLE = {
  x: 46950820868899156662930047687818585632848591499744589407958293238635476079160n,
  y: 5640078356564379163099075877009565129882514886557779369047442380624545832820n,
  text: '{"payload": "aGVsbG8gd29ybGQ=",\n "payloadType": "http://example.com/HelloWorld",\n "signatures": [{"sig": "A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA=="}]}',
};
const coordinate = (value: bigint): string =>
  Buffer.from(value.toString(16).padStart(64, '0'), 'hex').toString('base64url');

const envelopeOf = async (...signers: { privateKey: KeyObject }[]): Promise<Uint8Array> =>
  bytes(
    encodeEnvelope(
      await signDsse(
        content,
        signers.map(({ privateKey }) => keySigner(privateKey)),
      ),
    ),
  );
/** Changes the JSON of an envelope. */
const edited = (envelope: Uint8Array, change: (fields: Fields) => void): Uint8Array => {
  const fields = JSON.parse(Buffer.from(envelope).toString()) as Fields;
  change(fields);
  return bytes(JSON.stringify(fields));
};
interface Fields {
  payload: string;
  payloadType: string;
  signatures: { keyid?: string; sig: string }[];
}

describe('verifying DSSE', () => {
  test('takes the example of the specification', () => {
    const key = createPublicKey({
      format: 'jwk',
      key: { kty: 'EC', crv: 'P-256', x: coordinate(EXAMPLE.x), y: coordinate(EXAMPLE.y) },
    });
    const { payload } = verifyDsse(bytes(EXAMPLE.text), { keys: [key] });
    expect(Buffer.from(payload).toString()).toBe('hello world');
  });

  test.each(Object.entries(pairs))('takes what %s signed, and no other key', async (name, pair) => {
    const envelope = await envelopeOf(pair);
    expect(verifyDsse(envelope, { keys: [pair.publicKey] })).toMatchObject(content);
    for (const [other, { publicKey }] of Object.entries(pairs)) {
      if (other === name) continue;
      expect(() => verifyDsse(envelope, { keys: [publicKey] })).toThrow(/none of the trusted keys/);
    }
  });

  test.each([
    ['the payload', (fields: Fields) => (fields.payload = 'eyJhIjoyfQ==')],
    ['the type', (fields: Fields) => (fields.payloadType += 'x')],
    ['the signature', (fields: Fields) => (fields.signatures[0]!.sig = 'AAAA')],
  ])('refuses an envelope of which %s was changed', async (_what, change) => {
    for (const pair of Object.values(pairs)) {
      const changed = edited(await envelopeOf(pair), change);
      expect(() => verifyDsse(changed, { keys: [pair.publicKey] })).toThrow(
        /none of the trusted keys/,
      );
    }
  });

  test('takes the name of a key for a hint only', async () => {
    const envelope = await envelopeOf(rsa);
    const renamed = edited(envelope, ({ signatures }) => (signatures[0]!.keyid = 'somebody'));
    expect(verifyDsse(renamed, { keys: [rsa.publicKey] }).keys).toHaveLength(1);
    const posing = edited(await envelopeOf(p256), ({ signatures }) => {
      signatures[0]!.keyid = dsseKeyid(rsa.publicKey);
    });
    expect(() => verifyDsse(posing, { keys: [rsa.publicKey] })).toThrow(/none of the trusted keys/);
  });

  test('counts keys, not signatures, and each key once', async () => {
    const keys = [rsa.publicKey, p256.publicKey, ed25519.publicKey];
    const two = await envelopeOf(rsa, ed25519);
    expect(verifyDsse(two, { keys, threshold: 2 }).keys).toEqual([keys[0], keys[2]]);
    expect(() => verifyDsse(two, { keys, threshold: 3 })).toThrow(
      /only 2 of the trusted keys signed it, 3 must/,
    );
    const twice = edited(await envelopeOf(rsa), ({ signatures }) => {
      signatures.push({ ...signatures[0]!, keyid: 'another' });
    });
    expect(() => verifyDsse(twice, { keys, threshold: 2 })).toThrow(/only 1 of/);
    const same = [rsa.publicKey, createPublicKey(rsa.privateKey)];
    expect(() => verifyDsse(twice, { keys: same, threshold: 2 })).toThrow(RangeError);
  });

  test('can ask for a type, which is looked at after the signature', async () => {
    const envelope = await envelopeOf(rsa);
    const trust = { keys: [rsa.publicKey], payloadType: 'other' };
    expect(() => verifyDsse(envelope, trust)).toThrow(
      expect.objectContaining({ code: 'payload-type' }) as Error,
    );
    expect(() => verifyDsse(envelope, { ...trust, keys: [p256.publicKey] })).toThrow(
      expect.objectContaining({ code: 'untrusted' }) as Error,
    );
  });

  test('refuses short RSA keys and curves that nobody signs with', async () => {
    const data = preAuthenticationEncoding(content.payloadType, content.payload);
    const short = generateKeyPairSync('rsa', { modulusLength: 1024 });
    const odd = generateKeyPairSync('ec', { namedCurve: 'secp256k1' });
    for (const { privateKey, publicKey } of [short, odd]) {
      const signature = new Uint8Array(sign('sha256', data, privateKey));
      const made = encodeEnvelope({ ...content, signatures: [{ keyid: '', signature }] });
      expect(() => verifyDsse(bytes(made), { keys: [publicKey] })).toThrow(
        /none of the trusted keys/,
      );
      await expect(signDsse(content, [keySigner(privateKey)])).rejects.toThrow(/Cannot sign DSSE/);
    }
  });
});

describe('signing DSSE', () => {
  test('gives the same bytes each time with RSA and Ed25519', async () => {
    expect(await envelopeOf(rsa, ed25519)).toEqual(await envelopeOf(rsa, ed25519));
  });

  test('adds a signature to those of others, and renews its own', async () => {
    const first = await signDsse(content, [keySigner(rsa.privateKey)]);
    const both = await addDsseSignatures(first, [keySigner(p384.privateKey)]);
    const again = await addDsseSignatures(both, [keySigner(p384.privateKey)]);
    expect(again.signatures.map(({ keyid }) => keyid)).toEqual(
      [rsa, p384].map(({ publicKey }) => dsseKeyid(publicKey)),
    );
    const keys = [rsa.publicKey, p384.publicKey];
    expect(verifyDsse(bytes(encodeEnvelope(again)), { keys, threshold: 2 }).keys).toHaveLength(2);
  });

  test('uses no answer that is not a signature of the key', async () => {
    const lying = { publicKey: rsa.publicKey, sign: () => Promise.resolve(new Uint8Array(256)) };
    await expect(signDsse(content, [lying])).rejects.toThrow(/no signature of the public key/);
  });
});

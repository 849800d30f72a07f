import {
  createECDH,
  createPrivateKey,
  generateKeyPairSync,
  verify,
  type KeyObject,
} from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { integer, sequence } from '../../../src/formats/der/write.ts';
import { hasKnownCurve, signEcdsa } from '../../../src/signing/deterministic-ecdsa.ts';
import { keySigner } from '../../../src/signing/signer.ts';

const NAMES = { prime256v1: 'P-256', secp384r1: 'P-384', secp521r1: 'P-521' } as const;

function keyOf(curve: keyof typeof NAMES, secret: string): KeyObject {
  const ecdh = createECDH(curve);
  ecdh.setPrivateKey(secret, 'hex');
  const point = ecdh.getPublicKey();
  const size = (point.length - 1) / 2;
  const part = (from: number): string => point.subarray(from, from + size).toString('base64url');
  const jwk = {
    kty: 'EC',
    crv: NAMES[curve],
    d: Buffer.from(secret, 'hex').toString('base64url'),
    x: part(1),
    y: part(1 + size),
  };
  return createPrivateKey({ key: jwk, format: 'jwk' });
}

const P256 = keyOf(
  'prime256v1',
  'C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721',
);
const P384 = keyOf(
  'secp384r1',
  '6B9D3DAD2E1B8C1C05B19875B6659F4DE23C3B667BF297BA9AA47740787137D896D5724E4C70A825F872C9EA60D2EDF5',
);
const P521 = keyOf(
  'secp521r1',
  '00FAD06DAA62BA3B25D2FB40133DA757205DE67F5BB0018FEE8C86E1B68C7E75CAA896EB32F1F47C70855836A6D16FCC1466F6D8FBEC67DB89EC0C08B0E996B83538',
);

describe('signEcdsa', () => {
  // RFC 6979, A.2.5 to A.2.7.
  test.each([
    [
      'P-256, SHA-256, "sample"',
      P256,
      'sha256',
      'sample',
      'EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716',
      'F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8',
    ],
    [
      'P-256, SHA-256, "test"',
      P256,
      'sha256',
      'test',
      'F1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367',
      '019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083',
    ],
    [
      'P-384, SHA-384, "sample"',
      P384,
      'sha384',
      'sample',
      '94EDBB92A5ECB8AAD4736E56C691916B3F88140666CE9FA73D64C4EA95AD133C81A648152E44ACF96E36DD1E80FABE46',
      '99EF4AEB15F178CEA1FE40DB2603138F130E740A19624526203B6351D0A3A94FA329C145786E679E7B82C71A38628AC8',
    ],
    [
      'P-521, SHA-512, "sample"',
      P521,
      'sha512',
      'sample',
      '00C328FAFCBD79DD77850370C46325D987CB525569FB63C5D3BC53950E6D4C5F174E25A1EE9017B5D450606ADD152B534931D7D4E8455CC91F9B15BF05EC36E377FA',
      '00617CCE7CF5064806C467F678D3B4080D6F1CC50AF26CA209417308281B68AF282623EAA63E5B5C0723D8B8C37FF0777B1A20F8CCB1DCCC43997F1EE0E44DA4A67A',
    ],
  ] as const)('%s gives the signature of the RFC', (_, key, hash, message, r, s) => {
    expect(signEcdsa(key, hash, Buffer.from(message))).toEqual(
      sequence(integer(BigInt(`0x${r}`)), integer(BigInt(`0x${s}`))),
    );
  });

  test.each(['P-256', 'P-384', 'P-521'])(
    'on %s OpenSSL accepts all signatures, with hashes shorter and longer than the curve',
    (namedCurve) => {
      const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve });
      const hashes = fc.constantFrom('sha1', 'sha256', 'sha384', 'sha512');
      fc.assert(
        fc.property(hashes, fc.uint8Array({ maxLength: 100 }), (hash, data) => {
          const signature = signEcdsa(privateKey, hash, data);
          expect(verify(hash, data, publicKey, signature)).toBe(true);
          expect(signEcdsa(privateKey, hash, data)).toEqual(signature);
        }),
        { numRuns: 40 },
      );
    },
  );

  test('is what keys in files sign with; other curves sign as OpenSSL does', async () => {
    const options = { hash: 'sha256', scheme: 'ecdsa' } as const;
    const data = Buffer.from('sample');
    expect(await keySigner(P256).sign(data, options)).toEqual(signEcdsa(P256, 'sha256', data));
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'secp256k1' });
    expect(hasKnownCurve(privateKey)).toBe(false);
    const signature = await keySigner(privateKey).sign(data, options);
    expect(verify('sha256', data, publicKey, signature)).toBe(true);
    expect(() => signEcdsa(privateKey, 'sha256', data)).toThrow(TypeError);
  });
});

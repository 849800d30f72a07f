import { describe, expect, test } from 'vitest';
import { unsupportedLevels } from '../../../../../src/signing/apk/jar/api-levels.ts';
import {
  combinedOid,
  HASH_OIDS,
  OID_DSA,
  OID_EC_PUBLIC_KEY,
  OID_RSA,
} from '../../../../../src/signing/cms/algorithms.ts';

const LAST = 0x7fff_ffff;

describe('unsupportedLevels()', () => {
  test.each([
    ['sha1', OID_RSA, 1, LAST, undefined],
    ['md5', OID_RSA, 1, LAST, undefined],
    ['sha256', OID_RSA, 1, LAST, '9-17'],
    ['sha256', OID_RSA, 18, LAST, undefined],
    ['sha384', OID_RSA, 17, LAST, '17'],
    ['md5', combinedOid('rsa', 'md5'), 1, LAST, '9-20'],
    ['sha256', combinedOid('rsa', 'sha1'), 20, 22, '20, 22'],
    ['sha256', combinedOid('rsa', 'sha384'), 20, LAST, '20, 24+'],
    ['sha512', combinedOid('rsa', 'sha384'), 21, 23, '22-23'],
    ['sha1', OID_DSA, 1, LAST, undefined],
    ['sha1', combinedOid('dsa', 'sha1'), 8, LAST, '8'],
    ['sha256', OID_DSA, 21, LAST, '21'],
    ['sha256', combinedOid('dsa', 'sha256'), 21, LAST, undefined],
    ['sha384', OID_DSA, 21, LAST, '21+'],
    ['sha384', combinedOid('dsa', 'sha384'), 21, LAST, '21+'],
    ['sha512', combinedOid('dsa', 'sha1'), 21, 23, undefined],
    ['sha1', OID_EC_PUBLIC_KEY, 17, LAST, '17'],
    ['sha224', OID_EC_PUBLIC_KEY, 18, LAST, '18-20'],
    ['md5', OID_EC_PUBLIC_KEY, 18, 18, '18'],
    ['md5', combinedOid('ecdsa', 'sha512'), 1, LAST, '1-20, 24+'],
    ['sha512', combinedOid('ecdsa', 'sha512'), 20, LAST, '20'],
    ['sha256', '1.2.3', 1, LAST, '1+'],
  ] as const)('%s with %s, from %i to %i: %s', (digest, signature, minSdk, maxSdk, expected) => {
    expect(unsupportedLevels(HASH_OIDS[digest], signature, minSdk, maxSdk)).toBe(expected);
  });
});

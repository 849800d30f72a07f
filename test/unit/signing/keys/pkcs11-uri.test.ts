import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { UsageError } from '../../../../src/core/errors.ts';
import { formatPkcs11Uri, parsePkcs11Uri } from '../../../../src/signing/keys/pkcs11-uri.ts';

const refusal = (uri: string): string => {
  try {
    parsePkcs11Uri(uri);
  } catch (error) {
    if (error instanceof UsageError) return `${error.message} | ${error.hint}`;
    throw error;
  }
  throw new Error(`${uri} was taken`);
};

describe('a PKCS#11 URI', () => {
  test('says which token, key, module and PIN file', () => {
    const uri =
      'pkcs11:token=The%20Software%20PKCS%2311;manufacturer=Snake%20Oil,%20Inc.;serial=1;model=v2;slot-id=327;' +
      'slot-description=left;slot-manufacturer=S;library-manufacturer=L;library-description=D;library-version=3.1;' +
      'object=my-certificate;type=private;id=%69%95%3E%5C%F4%BD%EC%91?module-path=/usr/lib/p.so&pin-source=file:/etc/pin';
    expect(parsePkcs11Uri(uri)).toEqual({
      criteria: {
        token: 'The Software PKCS#11',
        manufacturer: 'Snake Oil, Inc.',
        serial: '1',
        model: 'v2',
        'slot-id': '327',
        'slot-description': 'left',
        'slot-manufacturer': 'S',
        'library-manufacturer': 'L',
        'library-description': 'D',
        'library-version': '3.1',
      },
      object: 'my-certificate',
      id: Uint8Array.of(0x69, 0x95, 0x3e, 0x5c, 0xf4, 0xbd, 0xec, 0x91),
      modulePath: '/usr/lib/p.so',
      moduleName: undefined,
      pinFile: '/etc/pin',
    });
  });

  test('may say nothing at all', () => {
    expect(parsePkcs11Uri('pkcs11:')).toEqual({ criteria: {} });
  });

  test.each(['file:/etc/pin', 'file:///etc/pin', 'file://localhost/etc/pin', '/etc/pin'])(
    'names the PIN file as %s',
    (source) => {
      expect(parsePkcs11Uri(`pkcs11:?pin-source=${source}`).pinFile).toBe('/etc/pin');
    },
  );

  test.each([
    ['pkcs11:token=a?pin-value=4711', 'holds a PIN'],
    ['pkcs11:token=a;pin-value=4711', 'holds a PIN'],
    ['pkcs11:token=a?PIN-VALUE=4711', 'holds a PIN'],
    ['pkcs11:token=a?pin-source=4711', 'absolute path'],
    ['pkcs11:token=a?pin-source=|cat%204711', 'runs a program'],
    ['pkcs11:token=a;4711', 'not NAME=VALUE'],
    ['pkcs11:token=4711;token=b', 'token twice'],
    ['pkcs11:tokn=4711', 'tokn is no attribute'],
    ['pkcs11:module-path=/4711', 'module-path stands behind "?"'],
    ['pkcs11:?token=4711', 'token stands in front of "?"'],
    ['pkcs11:token=a b4711', 'token holds a character'],
    ['pkcs11:token=a%2', 'token holds a character'],
    ['pkcs11:token=%FF4711', 'token is not UTF-8'],
    ['pkcs11:object=a%00', 'object is not UTF-8'],
    ['pkcs11:slot-id=4711x', 'slot-id is not a number'],
    ['pkcs11:library-version=4711', 'library-version is not'],
    ['pkcs11:type=cert', 'type is not private'],
    ['pkcs11:?module-path=lib4711.so', 'module-path is not absolute'],
    ['pkcs11:?module-name=../4711', 'module-name is not the name'],
    ['pkcs11:token=a#4711', 'token holds a character'],
    ['PKCS11:token=4711', 'does not begin'],
    [`pkcs11:token=${'4711'.repeat(2000)}`, 'longer than'],
    ['pkcs11:token=a\n', 'does not begin|token holds a character'],
  ])('is refused without a word of its values: %s', (uri, reason) => {
    const said = refusal(uri);
    expect(said).toMatch(new RegExp(reason.replaceAll('?', '\\?')));
    expect(said).not.toContain('4711');
  });

  test('is read back from what errors print', () => {
    const text = fc.string({ unit: 'binary-ascii', maxLength: 12 }).filter((each) => {
      return !each.includes('\0') && !/pin-value/i.test(each);
    });
    fc.assert(
      fc.property(text, text, fc.uint8Array({ maxLength: 12 }), (token, object, id) => {
        const uri = { criteria: { token }, object, id, modulePath: `/${object}` };
        expect(parsePkcs11Uri(formatPkcs11Uri(uri))).toEqual(uri);
      }),
    );
  });

  test('of any characters is parsed or refused, and nothing else', () => {
    const part = fc.constantFrom(
      'token',
      'id',
      '=',
      ';',
      '?',
      '&',
      '%',
      '%41',
      '%ff',
      'pin-source',
      'module-path',
      '/',
      ' ',
      'ü',
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 20 }), (parts) => {
        try {
          expect(parsePkcs11Uri(`pkcs11:${parts.join('')}`)).toHaveProperty('criteria');
        } catch (error) {
          expect(error).toBeInstanceOf(UsageError);
        }
      }),
    );
  });
});

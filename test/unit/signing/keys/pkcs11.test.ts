/** Keys on tokens that SoftHSM is none of: with a keypad, close to being locked, or with mechanisms of their own. */

import { createHash, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { UsageError } from '../../../../src/core/errors.ts';
import { CKA, CKF, CKK, CKM, CKO, CKR, CKU } from '../../../../src/formats/pkcs11/constants.ts';
import {
  CryptokiError,
  type AttributeValue,
  type Cryptoki,
  type SignMechanism,
} from '../../../../src/formats/pkcs11/cryptoki.ts';
import { openPkcs11Key } from '../../../../src/signing/keys/pkcs11.ts';
import { signChecked, type SignatureOptions } from '../../../../src/signing/signer.ts';

const PIN = '4711';
const EXISTING = '/proc/self/exe'; // the file of a module is looked for before it is loaded
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const ed = generateKeyPairSync('ed25519');
const data = Buffer.from('what is signed');

type Attributes = ReadonlyMap<number, Uint8Array>;

interface FakeToken {
  readonly flags?: number;
  readonly objects: readonly Attributes[];
  readonly mechanisms: readonly number[];
  readonly sign: (mechanism: SignMechanism, input: Uint8Array) => Uint8Array;
  /** What the module is asked to do, in order. */
  readonly calls: string[];
}

const ulong = (value: number): Uint8Array =>
  Uint8Array.from(Buffer.from(BigInt(value).toString(16).padStart(16, '0'), 'hex')).reverse();

const spkiEnd = (key: KeyObject, size: number): Uint8Array =>
  new Uint8Array(key.export({ type: 'spki', format: 'der' }).subarray(-size));

const jwkBytes = (text: string | undefined): Uint8Array =>
  new Uint8Array(Buffer.from(text ?? '', 'base64url'));

const rsaAttributes = (): [number, Uint8Array][] => {
  const { n, e } = rsa.publicKey.export({ format: 'jwk' });
  return [
    [CKA.MODULUS, jwkBytes(n)],
    [CKA.PUBLIC_EXPONENT, jwkBytes(e)],
  ];
};

const key = (type: number, more: readonly [number, Uint8Array][] = []): Attributes =>
  new Map([
    [CKA.CLASS, ulong(CKO.PRIVATE_KEY)],
    [CKA.KEY_TYPE, ulong(type)],
    [CKA.LABEL, Buffer.from('k')],
    [CKA.ID, Uint8Array.of(1)],
    ...more,
  ]);

const matches = (object: Attributes, template: readonly AttributeValue[]): boolean =>
  template.every(({ type, value }) =>
    Buffer.from(value).equals(object.get(type) ?? Buffer.alloc(0)),
  );

function fakeCryptoki({
  flags = 0,
  objects,
  mechanisms,
  sign: answer,
  calls,
}: FakeToken): Cryptoki {
  let current: SignMechanism | undefined;
  const label = { label: 't', manufacturer: 'm', model: 'o', serial: '1' };
  return {
    path: EXISTING,
    info: { manufacturer: 'm', description: 'd', version: '1.0' },
    slots: () => Promise.resolve([3n]),
    slotInfo: () => Promise.resolve({ description: 's', manufacturer: 'm' }),
    tokenInfo: () => Promise.resolve({ ...label, flags: flags | CKF.TOKEN_INITIALIZED }),
    mechanisms: () => Promise.resolve(new Set(mechanisms)),
    openSession: () => Promise.resolve(7n),
    closeSession: async () => void calls.push('close'),
    async login(_session, user, pin) {
      const text = pin === undefined ? 'keypad' : Buffer.from(pin).toString();
      calls.push(`login ${user === CKU.USER ? 'user' : 'context'} ${text}`);
      if (pin !== undefined && text !== PIN) throw new CryptokiError('C_Login', CKR.PIN_INCORRECT);
    },
    logout: async () => void calls.push('logout'),
    findObjects: async (_session, template) =>
      objects.flatMap((object, index) => (matches(object, template) ? [BigInt(index)] : [])),
    attribute: async (_session, object, type) => objects[Number(object)]?.get(type),
    async signInit(_session, mechanism) {
      current = mechanism;
    },
    async sign(_session, input) {
      if (current === undefined) throw new CryptokiError('C_Sign', CKR.OPERATION_NOT_INITIALIZED);
      return answer(current, input);
    },
    release: async () => void calls.push('release'),
  };
}

const open = (token: FakeToken, pin = PIN) =>
  openPkcs11Key(`pkcs11:object=k?module-path=${EXISTING}`, {
    env: { PIN: pin },
    passphrase: 'env:PIN',
    loadCryptoki: () => Promise.resolve(fakeCryptoki(token)),
  });

const sha256 = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();

/** Signs as CKM_SHA256_RSA_PKCS does. */
const rsaToken = (more: Partial<FakeToken> = {}): FakeToken => ({
  objects: [key(CKK.RSA, rsaAttributes())],
  mechanisms: [CKM.SHA256_RSA_PKCS],
  sign: (_mechanism, input) => new Uint8Array(sign('sha256', input, rsa.privateKey)),
  calls: [],
  ...more,
});

const PKCS1: SignatureOptions = { scheme: 'rsa-pkcs1', hash: 'sha256' };

describe('a token', () => {
  test('that hashes itself, and does nothing else, is given the data', async () => {
    const opened = await open(rsaToken());
    expect(await signChecked(opened.signer, data, PKCS1)).toHaveLength(256);
    await opened.close();
  });

  test('without the mechanism is told by the mechanism’s name', async () => {
    const { signer } = await open(rsaToken());
    await expect(signer.sign(data, { scheme: 'rsa-pss', hash: 'sha256' })).rejects.toThrow(
      'CKM_RSA_PKCS_PSS',
    );
    await expect(signer.sign(data, { scheme: 'rsa-pkcs1', hash: 'sha512' })).rejects.toThrow(
      'CKM_RSA_PKCS',
    );
  });

  test('with a keypad asks for its PIN itself', async () => {
    const token = rsaToken({ flags: CKF.LOGIN_REQUIRED | CKF.PROTECTED_AUTHENTICATION_PATH });
    const opened = await open(token);
    await opened.close();
    expect(token.calls).toEqual(['login user keypad', 'logout', 'close', 'release']);
  });

  test.each([
    [CKF.USER_PIN_LOCKED, 'its PIN is locked'],
    [CKF.USER_PIN_FINAL_TRY, 'one more wrong PIN would lock it'],
  ])('with flag %i is left alone', async (flag, said) => {
    const token = rsaToken({ flags: CKF.LOGIN_REQUIRED | flag });
    await expect(open(token)).rejects.toThrow(said);
    expect(token.calls).toEqual(['close', 'release']);
  });

  test('that refuses the PIN is closed, and not asked again', async () => {
    const token = rsaToken({ flags: CKF.LOGIN_REQUIRED });
    await expect(open(token, 'wrong')).rejects.toMatchObject({ code: 'key' });
    expect(token.calls).toEqual(['login user wrong', 'close', 'release']);
    await expect(open(token, '')).rejects.toThrow('it is empty');
    expect(token.calls.filter((call) => call.startsWith('login'))).toHaveLength(1);
  });

  test('that asks before each signature is given the PIN each time', async () => {
    const always = key(CKK.RSA, [...rsaAttributes(), [CKA.ALWAYS_AUTHENTICATE, Uint8Array.of(1)]]);
    const token = rsaToken({ flags: CKF.LOGIN_REQUIRED, objects: [always] });
    const opened = await open(token);
    const { signer } = opened;
    await Promise.all([signChecked(signer, data, PKCS1), signChecked(signer, data, PKCS1)]);
    await opened.close();
    const login = `login context ${PIN}`;
    expect(token.calls).toEqual([`login user ${PIN}`, login, login, 'logout', 'close', 'release']);
  });

  test('that gives the point of an EC key with or without its OCTET STRING is understood', async () => {
    const parameters = Uint8Array.from(Buffer.from('06082a8648ce3d030107', 'hex'));
    const point = spkiEnd(ec.publicKey, 65);
    for (const value of [point, Uint8Array.of(4, 65, ...point)]) {
      const publicKey: Attributes = new Map([
        [CKA.CLASS, ulong(CKO.PUBLIC_KEY)],
        [CKA.ID, Uint8Array.of(1)],
        [CKA.EC_PARAMS, parameters],
        [CKA.EC_POINT, value],
      ]);
      const { signer } = await open({
        objects: [key(CKK.EC), publicKey],
        mechanisms: [CKM.ECDSA],
        // A token signs a digest, which node:crypto does not: r and s of a wrong length are told.
        sign: () => new Uint8Array(63),
        calls: [],
      });
      expect(signer.publicKey.equals(ec.publicKey)).toBe(true);
      await expect(signer.sign(data, { scheme: 'ecdsa', hash: 'sha256' })).rejects.toThrow(
        '63 bytes instead of 64',
      );
    }
  });

  test('signs with Ed25519, whose public key it may give as it is', async () => {
    const own: [number, Uint8Array] = [CKA.EC_POINT, spkiEnd(ed.publicKey, 32)];
    const { signer } = await open({
      objects: [key(CKK.EC_EDWARDS, [own])],
      mechanisms: [CKM.EDDSA],
      sign: (_mechanism, input) => new Uint8Array(sign(null, input, ed.privateKey)),
      calls: [],
    });
    expect(signer.publicKey.equals(ed.publicKey)).toBe(true);
    const kind = { scheme: 'ed25519', hash: 'sha512' } as const;
    expect(await signChecked(signer, data, kind)).toHaveLength(64);
  });

  test('that tells nothing of the public key asks for a certificate', async () => {
    const token = rsaToken({ objects: [key(CKK.RSA)] });
    await expect(open(token)).rejects.toThrow('tells nothing of its public key');
    expect(token.calls).toEqual(['close', 'release']);
  });

  test('whose signature is another key’s is found out before anybody uses it', async () => {
    const other = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
    for (const answer of [
      (input: Uint8Array) => new Uint8Array(sign('sha256', input, other)),
      () => new Uint8Array(256),
      () => new Uint8Array(0),
    ]) {
      const { signer } = await open(rsaToken({ sign: (_mechanism, input) => answer(input) }));
      await expect(signChecked(signer, data, PKCS1)).rejects.toBeInstanceOf(UsageError);
    }
  });

  test('is given a DigestInfo where it only pads', async () => {
    const inputs: Uint8Array[] = [];
    const token = rsaToken({
      mechanisms: [CKM.RSA_PKCS],
      sign: (_mechanism, input) => {
        inputs.push(input);
        return new Uint8Array(256);
      },
    });
    const { signer } = await open(token);
    await signer.sign(data, PKCS1);
    const info = `3031300d060960864801650304020105000420${sha256(data).toString('hex')}`;
    expect(inputs.map((input) => Buffer.from(input).toString('hex'))).toEqual([info]);
  });
});

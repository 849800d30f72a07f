/** Finds the one private key that a PKCS#11 URI names, its public half, and its certificates. */

import { createPublicKey, type KeyObject, type X509Certificate } from 'node:crypto';
import { FormatError, UsageError } from '../../core/errors.ts';
import { integer, objectIdentifier, sequence } from '../../formats/der/write.ts';
import { bitString, nullValue } from '../../formats/der/write.ts';
import { octetsOf } from '../../formats/der/values.ts';
import { readElement } from '../../formats/der/element.ts';
import { CKA, CKK, CKO } from '../../formats/pkcs11/constants.ts';
import type { AttributeValue } from '../../formats/pkcs11/cryptoki.ts';
import { readCertificate } from '../x509.ts';
import { listed, type TokenSession } from './pkcs11-token.ts';
import { formatPkcs11Uri, type Pkcs11Uri } from './pkcs11-uri.ts';

export interface TokenKey {
  readonly handle: bigint;
  /** CKK. */
  readonly keyType: number;
  readonly label: string;
  readonly id: Uint8Array;
  /** Whether the PIN is asked for again for each signature. */
  readonly alwaysAuthenticate: boolean;
}

/** More objects of a kind are not looked at. */
const MAX_OBJECTS = 256;
const MAX_CHAIN = 10;

const KEY_TYPE_NAMES: ReadonlyMap<number, string> = new Map([
  [CKK.RSA, 'RSA'],
  [CKK.EC, 'EC'],
  [CKK.EC_EDWARDS, 'Ed25519'],
]);

/** CK_ULONG as it lies in memory. */
export function ulongBytes(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value), true);
  return bytes;
}

const ofClass = (value: number): AttributeValue => ({ type: CKA.CLASS, value: ulongBytes(value) });

function ulongOf(bytes: Uint8Array | undefined): number | undefined {
  if (bytes?.length !== 8) return undefined;
  return Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
}

/** @throws {UsageError} `key` when no key fits, or several do, or it is of no use here. */
export async function findPrivateKey(session: TokenSession, uri: Pkcs11Uri): Promise<TokenKey> {
  const { object, id } = uri;
  const template = [ofClass(CKO.PRIVATE_KEY)];
  if (object !== undefined) template.push({ type: CKA.LABEL, value: Buffer.from(object) });
  if (id !== undefined) template.push({ type: CKA.ID, value: id });
  const found = await keysOf(session, template);
  const { name } = session.token;
  const [key] = found;
  if (key !== undefined && found.length === 1) {
    if (KEY_TYPE_NAMES.has(key.keyType)) return key;
    throw new UsageError('key', `Cannot use ${describe(key)} of ${name}: its type is not known`, {
      hint: 'RSA, EC and Ed25519 keys sign here',
    });
  }
  if (key !== undefined) {
    throw new UsageError(
      'key',
      `Cannot choose between ${found.length} private keys of ${name}: ${listed(found.map(describe))}`,
      { hint: 'Say which with object=LABEL, or with id=%01 in hexadecimal digits' },
    );
  }
  const others = await keysOf(session, [ofClass(CKO.PRIVATE_KEY)]);
  const there = others.length === 0 ? 'has none' : `has ${listed(others.map(describe))}`;
  throw new UsageError('key', `Cannot find the private key of the PKCS#11 URI: ${name} ${there}`, {
    hint:
      others.length === 0
        ? 'Make one on the token, as with: pkcs11-tool --login --keypairgen --key-type rsa:4096 --label NAME --id 01'
        : 'Name one of these keys: object=LABEL, or id=%01 in hexadecimal digits',
  });
}

const describe = ({ label, id, keyType }: TokenKey): string => {
  const type = KEY_TYPE_NAMES.get(keyType) ?? 'another type';
  const named = label === '' ? {} : { object: label };
  return `${formatPkcs11Uri({ criteria: {}, ...named, id })} (${type})`;
};

async function keysOf(
  { cryptoki, session }: TokenSession,
  template: readonly AttributeValue[],
): Promise<readonly TokenKey[]> {
  const keys: TokenKey[] = [];
  for (const handle of await cryptoki.findObjects(session, template, MAX_OBJECTS)) {
    const read = (type: number): Promise<Uint8Array | undefined> =>
      cryptoki.attribute(session, handle, type);
    const always = await read(CKA.ALWAYS_AUTHENTICATE);
    keys.push({
      handle,
      keyType: ulongOf(await read(CKA.KEY_TYPE)) ?? -1,
      label: new TextDecoder().decode(await read(CKA.LABEL)),
      id: (await read(CKA.ID)) ?? new Uint8Array(0),
      alwaysAuthenticate: always?.[0] === 1,
    });
  }
  return keys;
}

/**
 * The public half, from the token's public key object, the private key’s own numbers, or a certificate.
 *
 * @param certificates Of the token, or those that the user named.
 */
export async function findPublicKey(
  session: TokenSession,
  key: TokenKey,
  certificates: readonly Uint8Array[],
): Promise<KeyObject> {
  const own = await readKeyNumbers(session, key.handle, key.keyType);
  if (own !== undefined) return own;
  for (const handle of await companions(session, CKO.PUBLIC_KEY, key)) {
    const found = await readKeyNumbers(session, handle, key.keyType);
    if (found !== undefined) return found;
  }
  const [certificate] = certificates;
  if (certificate !== undefined) return readCertificate(certificate).publicKey;
  throw new UsageError(
    'key',
    `Cannot use ${describe(key)} of ${session.token.name}: the token tells nothing of its public key`,
    { hint: 'Name the certificate of the key, or put its public key or certificate on the token' },
  );
}

/** Objects that belong to a key: those with its id or, for want of one, its label. */
async function companions(
  { cryptoki, session }: TokenSession,
  objectClass: number,
  { id, label }: TokenKey,
): Promise<readonly bigint[]> {
  const match: AttributeValue =
    id.length > 0 ? { type: CKA.ID, value: id } : { type: CKA.LABEL, value: Buffer.from(label) };
  if (match.value.length === 0) return [];
  return cryptoki.findObjects(session, [ofClass(objectClass), match], MAX_OBJECTS);
}

async function readKeyNumbers(
  { cryptoki, session }: TokenSession,
  handle: bigint,
  keyType: number,
): Promise<KeyObject | undefined> {
  const read = (type: number): Promise<Uint8Array | undefined> =>
    cryptoki.attribute(session, handle, type);
  const candidates =
    keyType === CKK.RSA
      ? rsaSpki(await read(CKA.MODULUS), await read(CKA.PUBLIC_EXPONENT))
      : pointSpki(keyType, await read(CKA.EC_PARAMS), await read(CKA.EC_POINT));
  for (const spki of candidates) {
    try {
      return createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' });
    } catch {
      // Another form, or another object, may know better.
    }
  }
  return undefined;
}

const bigintOf = (bytes: Uint8Array): bigint => BigInt(`0x${Buffer.from(bytes).toString('hex')}`);

function rsaSpki(
  modulus: Uint8Array | undefined,
  exponent: Uint8Array | undefined,
): readonly Uint8Array[] {
  if (!modulus?.length || !exponent?.length) return [];
  const algorithm = sequence(objectIdentifier('1.2.840.113549.1.1.1'), nullValue());
  const numbers = sequence(integer(bigintOf(modulus)), integer(bigintOf(exponent)));
  return [sequence(algorithm, bitString(numbers))];
}

/**
 * Tokens give the point in an OCTET STRING, as the specification wants it, or as it is; and some bare
 * points look like such a string, which then holds no point.
 *
 * @param parameters The curve of an EC key, as DER: an object identifier.
 */
function pointSpki(
  keyType: number,
  parameters: Uint8Array | undefined,
  point: Uint8Array | undefined,
): readonly Uint8Array[] {
  if (!point?.length) return [];
  const isEd25519 = keyType === CKK.EC_EDWARDS;
  if (!isEd25519 && !parameters?.length) return [];
  const algorithm = isEd25519
    ? sequence(objectIdentifier('1.3.101.112'))
    : sequence(objectIdentifier('1.2.840.10045.2.1'), parameters ?? new Uint8Array(0));
  return [unwrapped(point), point].map((each) => sequence(algorithm, bitString(each)));
}

function unwrapped(point: Uint8Array): Uint8Array {
  try {
    return octetsOf(readElement(point), 'CKA_EC_POINT');
  } catch (error) {
    if (error instanceof FormatError) return point;
    throw error;
  }
}

/** The key’s certificate on the token and those above it; none where there is none. */
export async function findCertificates(
  session: TokenSession,
  key: TokenKey,
): Promise<readonly Uint8Array[]> {
  const { cryptoki } = session;
  const read = async (handle: bigint): Promise<X509Certificate | undefined> => {
    const value = await cryptoki.attribute(session.session, handle, CKA.VALUE);
    if (value === undefined || value.length === 0) return undefined;
    try {
      return readCertificate(value);
    } catch (error) {
      if (error instanceof FormatError) return undefined; // of another type, such as WTLS
      throw error;
    }
  };
  const [leafHandle] = await companions(session, CKO.CERTIFICATE, key);
  const leaf = leafHandle === undefined ? undefined : await read(leafHandle);
  if (leaf === undefined) return [];
  const others: X509Certificate[] = [];
  const all = [ofClass(CKO.CERTIFICATE)];
  for (const handle of await cryptoki.findObjects(session.session, all, MAX_OBJECTS)) {
    const certificate = await read(handle);
    if (certificate !== undefined) others.push(certificate);
  }
  const chain = [leaf];
  for (let last = leaf; chain.length < MAX_CHAIN && !isIssuedBy(last, last);) {
    const issuer = others.find((each) => isIssuedBy(last, each));
    if (issuer === undefined || chain.some((each) => each.raw.equals(issuer.raw))) break;
    chain.push(issuer);
    last = issuer;
  }
  return chain.map((each) => Uint8Array.from(each.raw));
}

const isIssuedBy = (certificate: X509Certificate, issuer: X509Certificate): boolean =>
  certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);

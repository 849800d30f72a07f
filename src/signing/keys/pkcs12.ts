/**
 * PKCS#12 stores: what keytool and OpenSSL write, today and years ago.
 *
 * FORMAT: `PFX { 3, ContentInfo, MacData }`; the content is a list of `ContentInfo`, each plain or
 * encrypted, of lists of `SafeBag`: keys, encrypted keys and certificates, with attributes that name them
 * and tell which belong together.
 *
 * @see https://www.rfc-editor.org/rfc/rfc7292, rfc9579 (PBMAC1)
 */

import { createHmac } from 'node:crypto';
import { equalBytes } from '../../core/digest.ts';
import { FormatError } from '../../core/errors.ts';
import type { Element } from '../../formats/der/element.ts';
import { BER, childrenOf, expectTag, numberOf, octetsOf, oidOf, readBer } from './ber.ts';
import { decryptPbe, deriveKey, derivePkcs12, iterationsOf, type Passphrase } from './pbe.ts';

const OID = {
  data: '1.2.840.113549.1.7.1',
  encryptedData: '1.2.840.113549.1.7.6',
  keyBag: '1.2.840.113549.1.12.10.1.1',
  shroudedKeyBag: '1.2.840.113549.1.12.10.1.2',
  certBag: '1.2.840.113549.1.12.10.1.3',
  safeContentsBag: '1.2.840.113549.1.12.10.1.6',
  x509Certificate: '1.2.840.113549.1.9.22.1',
  friendlyName: '1.2.840.113549.1.9.20',
  localKeyId: '1.2.840.113549.1.9.21',
  pbmac1: '1.2.840.113549.1.5.14',
} as const;

/** Hashes of the MAC. */
const DIGESTS: Readonly<Record<string, string>> = {
  '1.3.14.3.2.26': 'sha1',
  '2.16.840.1.101.3.4.2.4': 'sha224',
  '2.16.840.1.101.3.4.2.1': 'sha256',
  '2.16.840.1.101.3.4.2.2': 'sha384',
  '2.16.840.1.101.3.4.2.3': 'sha512',
};

/** HMACs of PBMAC1. */
const HMACS: Readonly<Record<string, string>> = {
  '1.2.840.113549.2.9': 'sha256',
  '1.2.840.113549.2.10': 'sha384',
  '1.2.840.113549.2.11': 'sha512',
};

/** Bags in bags in bags: nobody writes that. */
const MAX_DEPTH = 4;

export interface Pkcs12Key {
  readonly alias: string | undefined;
  readonly localKeyId: Buffer | undefined;
  /** PKCS#8 DER. The caller overwrites it. */
  readonly pkcs8: Buffer;
}

export interface Pkcs12Certificate {
  readonly localKeyId: Buffer | undefined;
  readonly der: Uint8Array;
}

export interface Pkcs12 {
  readonly keys: readonly Pkcs12Key[];
  readonly certificates: readonly Pkcs12Certificate[];
}

const unsupported = (what: string): never => {
  throw new FormatError('pkcs12', 'unsupported', `Cannot read PKCS#12: ${what}`);
};

/** Asked for when something is found to need it, and once only. */
export interface Pkcs12Passphrase {
  get(): Promise<Passphrase>;
}

/**
 * Opens a store.
 *
 * @returns undefined when the pass phrase is wrong.
 * @throws {FormatError} `pkcs12` or `ber` when the bytes are no such store.
 */
export async function openPkcs12(
  bytes: Buffer,
  passphrase: Pkcs12Passphrase,
): Promise<Pkcs12 | undefined> {
  const [version, info, mac] = childrenOf(readBer(bytes), BER.sequence, 'PFX');
  if (numberOf(version, 'version') !== 3) unsupported('its version is not 3');
  const content = plainContent(info);
  if (content === undefined) return unsupported('it is sealed with a certificate');
  if (mac !== undefined && !(await isIntact(content, mac, await passphrase.get())))
    return undefined;
  const keys: Pkcs12Key[] = [];
  const certificates: Pkcs12Certificate[] = [];
  for (const each of childrenOf(readBer(content), BER.sequence, 'AuthenticatedSafe')) {
    const safe = plainContent(each) ?? (await decryptedContent(each, passphrase));
    if (safe === undefined) return undefined;
    const bags = childrenOf(readBer(safe), BER.sequence, 'SafeContents');
    if (!(await readBags(bags, passphrase, { keys, certificates }, 0))) return undefined;
  }
  return { keys, certificates };
}

/** The bytes of a `ContentInfo` of type data; undefined when it is of another. */
function plainContent(info: Element | undefined): Buffer | undefined {
  const [type, wrapped] = childrenOf(info, BER.sequence, 'ContentInfo');
  if (oidOf(type, 'contentType') !== OID.data) return undefined;
  return octetsOf(childrenOf(wrapped, BER.context0, 'content')[0], 'content');
}

async function decryptedContent(
  info: Element,
  passphrase: Pkcs12Passphrase,
): Promise<Buffer | undefined> {
  const [type, wrapped] = childrenOf(info, BER.sequence, 'ContentInfo');
  const oid = oidOf(type, 'contentType');
  if (oid !== OID.encryptedData) return unsupported(`a part of it is of kind ${oid}`);
  const [encrypted] = childrenOf(wrapped, BER.context0, 'content');
  const [, contentInfo] = childrenOf(encrypted, BER.sequence, 'EncryptedData');
  const [, algorithm, data] = childrenOf(contentInfo, BER.sequence, 'EncryptedContentInfo');
  const sealed = octetsOf(data, 'encryptedContent', BER.implicit0);
  return decryptPbe(algorithm, sealed, await passphrase.get());
}

async function isIntact(content: Buffer, mac: Element, passphrase: Passphrase): Promise<boolean> {
  const [digestInfo, salt, iterations] = childrenOf(mac, BER.sequence, 'MacData');
  const [algorithm, digest] = childrenOf(digestInfo, BER.sequence, 'mac');
  const [kind, parameters] = childrenOf(algorithm, BER.sequence, 'mac algorithm');
  const expected = octetsOf(digest, 'mac');
  const oid = oidOf(kind, 'mac algorithm');
  if (oid === OID.pbmac1) {
    const [derivation, scheme] = childrenOf(parameters, BER.sequence, 'PBMAC1 parameters');
    const hmac = oidOf(childrenOf(scheme, BER.sequence, 'PBMAC1 scheme')[0], 'PBMAC1 scheme');
    const hash = HMACS[hmac] ?? unsupported(`its MAC is made with ${hmac}`);
    const key = await deriveKey(derivation, passphrase.utf8, undefined);
    return equalBytes(createHmac(hash, key).update(content).digest(), expected);
  }
  const hash = DIGESTS[oid] ?? unsupported(`its MAC is made with ${oid}`);
  const from = {
    salt: octetsOf(salt, 'mac salt'),
    iterations: iterations === undefined ? 1 : iterationsOf(iterations, 1_000_000),
  };
  const fits = (bmp: Buffer): boolean => {
    const key = derivePkcs12(hash, 3, from, bmp, expected.length);
    return equalBytes(createHmac(hash, key).update(content).digest(), expected);
  };
  // An empty pass phrase is two zero bytes to some programs, and none to others.
  return fits(passphrase.bmp) || (passphrase.utf8.length === 0 && fits(passphrase.bmp.subarray(2)));
}

interface Found {
  readonly keys: Pkcs12Key[];
  readonly certificates: Pkcs12Certificate[];
}

/** @returns false when the pass phrase is wrong. */
async function readBags(
  bags: readonly Element[],
  passphrase: Pkcs12Passphrase,
  found: Found,
  depth: number,
): Promise<boolean> {
  if (depth > MAX_DEPTH) return unsupported('its bags nest too deep');
  for (const bag of bags) {
    const [id, wrapped, attributes] = childrenOf(bag, BER.sequence, 'SafeBag');
    const [value] = childrenOf(wrapped, BER.context0, 'bagValue');
    const names = attributesOf(attributes);
    switch (oidOf(id, 'bagId')) {
      case OID.keyBag: {
        const { encoded } = expectTag(value, BER.sequence, 'PrivateKeyInfo');
        found.keys.push({ ...names, pkcs8: Buffer.from(encoded) });
        break;
      }
      case OID.shroudedKeyBag: {
        const [algorithm, data] = childrenOf(value, BER.sequence, 'EncryptedPrivateKeyInfo');
        const sealed = octetsOf(data, 'encryptedData');
        const pkcs8 = await decryptPbe(algorithm, sealed, await passphrase.get());
        if (pkcs8 === undefined) return false;
        found.keys.push({ ...names, pkcs8 });
        break;
      }
      case OID.certBag: {
        const [type, content] = childrenOf(value, BER.sequence, 'CertBag');
        if (oidOf(type, 'certId') !== OID.x509Certificate) break;
        const der = octetsOf(childrenOf(content, BER.context0, 'certValue')[0], 'certValue');
        found.certificates.push({ localKeyId: names.localKeyId, der: new Uint8Array(der) });
        break;
      }
      case OID.safeContentsBag: {
        const inner = childrenOf(value, BER.sequence, 'SafeContents');
        if (!(await readBags(inner, passphrase, found, depth + 1))) return false;
        break;
      }
      default:
      // Revocation lists and secrets: nothing that signs.
    }
  }
  return true;
}

function attributesOf(attributes: Element | undefined): {
  alias: string | undefined;
  localKeyId: Buffer | undefined;
} {
  let alias: string | undefined;
  let localKeyId: Buffer | undefined;
  for (const attribute of attributes === undefined
    ? []
    : childrenOf(attributes, BER.set, 'bagAttributes')) {
    const [id, values] = childrenOf(attribute, BER.sequence, 'attribute');
    const [value] = childrenOf(values, BER.set, 'attribute values');
    const oid = oidOf(id, 'attribute');
    if (oid === OID.localKeyId) localKeyId = Buffer.from(octetsOf(value, 'localKeyId'));
    if (oid === OID.friendlyName) {
      const text = Buffer.from(octetsOf(value, 'friendlyName', BER.bmpString));
      alias = text.length % 2 === 0 ? text.swap16().toString('utf16le') : undefined;
    }
  }
  return { alias, localKeyId };
}

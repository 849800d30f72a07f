/** Keys behind `p12:`. */

import { createPublicKey, type KeyObject } from 'node:crypto';
import { UsageError } from '../../core/errors.ts';
import { readCertificateKey } from '../x509.ts';
import { readSecretFile } from './bounded-file.ts';
import { importPrivateKey } from './import-private-key.ts';
import { utf16 } from './jks.ts';
import type { Passphrase } from './pbe.ts';
import { openPkcs12, type Pkcs12, type Pkcs12Key } from './pkcs12.ts';
import type { AskSecret, StoredKey } from './private-key-file.ts';
import type { StoreReference } from './reference.ts';
import {
  asStoreError,
  chainFrom,
  MAX_STORE_SIZE,
  selectEntry,
  wrongPassphrase,
} from './store-entry.ts';

/**
 * Reads a key from a PKCS#12 store.
 *
 * @throws {UsageError} `key` when the store or the key cannot be opened.
 */
export async function openPkcs12Key(reference: StoreReference, ask: AskSecret): Promise<StoredKey> {
  const { path } = reference;
  const bytes = await readSecretFile(path, { what: 'key store', maxSize: MAX_STORE_SIZE });
  try {
    if (bytes.length >= 4 && bytes.readUInt32BE(0) === 0xfeedfeed) {
      throw new UsageError('key', `Cannot use key store ${path}: it is a Java KeyStore`, {
        hint: `Write jks:${path}`,
      });
    }
    return await pkcs12Key(bytes, reference, ask);
  } catch (error) {
    throw asStoreError(error, path);
  } finally {
    bytes.fill(0);
  }
}

/** The key of a store that is in memory. */
export async function pkcs12Key(
  bytes: Buffer,
  reference: StoreReference,
  ask: AskSecret,
): Promise<StoredKey> {
  const { path } = reference;
  let asked: Promise<Passphrase> | undefined;
  const get = (): Promise<Passphrase> => (asked ??= passphraseFrom(path, ask));
  try {
    const store = await openPkcs12(bytes, { get });
    if (store === undefined) throw wrongPassphrase(path);
    try {
      return storedKey(store, selectEntry(store.keys, reference), path);
    } finally {
      for (const { pkcs8 } of store.keys) pkcs8.fill(0);
    }
  } finally {
    const used = await asked?.catch(() => undefined);
    used?.utf8.fill(0);
    used?.bmp.fill(0);
  }
}

async function passphraseFrom(path: string, ask: AskSecret): Promise<Passphrase> {
  const utf8 = await ask(`pass phrase of ${path}`);
  const text = utf16(utf8);
  const bmp = Buffer.concat([text, Buffer.alloc(2)]);
  text.fill(0);
  return { utf8, bmp };
}

function storedKey(
  { certificates }: Pkcs12,
  { pkcs8, localKeyId }: Pkcs12Key,
  path: string,
): StoredKey {
  let privateKey: KeyObject;
  try {
    privateKey = importPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' });
  } catch {
    throw new UsageError('key', `Cannot use key store ${path}: its key does not parse`);
  }
  const publicKey = createPublicKey(privateKey);
  const isOwn = (der: Uint8Array): boolean => readCertificateKey(der).equals(publicKey);
  // The store says which belongs to the key. Where it does not, the certificates do.
  const named = certificates.find(
    (each) => localKeyId !== undefined && each.localKeyId?.equals(localKeyId) === true,
  )?.der;
  const leaf = named ?? certificates.find(({ der }) => isOwn(der))?.der;
  const all = certificates.map(({ der }) => der);
  return { privateKey, certificates: leaf === undefined ? [] : chainFrom(leaf, all) };
}

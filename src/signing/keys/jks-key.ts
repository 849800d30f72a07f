/** Keys behind `jks:`: a Java KeyStore, whichever of its formats the file really is. */

import { UsageError } from '../../core/errors.ts';
import { readSecretFile } from './bounded-file.ts';
import { importPrivateKey } from './import-private-key.ts';
import { decodeJks, isIntactJks, JCEKS_MAGIC, unprotectJksKey, type JksKeyEntry } from './jks.ts';
import { pkcs12Key } from './pkcs12-key.ts';
import type { AskSecret, StoredKey } from './private-key-file.ts';
import type { StoreReference } from './reference.ts';
import { asStoreError, MAX_STORE_SIZE, selectEntry, wrongPassphrase } from './store-entry.ts';

/**
 * Reads a key from a Java KeyStore.
 *
 * @param askKey For the pass phrase of the key, where it is not that of the store.
 * @throws {UsageError} `key` when the store or the key cannot be opened.
 */
export async function openJksKey(
  reference: StoreReference,
  askStore: AskSecret,
  askKey: AskSecret | undefined,
): Promise<StoredKey> {
  const { path } = reference;
  const bytes = await readSecretFile(path, { what: 'key store', maxSize: MAX_STORE_SIZE });
  try {
    if (bytes.length >= 4 && bytes.readUInt32BE(0) === JCEKS_MAGIC) {
      throw new UsageError('key', `Cannot use key store ${path}: it is of type JCEKS`, {
        hint: `Convert it: keytool -importkeystore -srckeystore ${path} -srcstoretype JCEKS -destkeystore NEW.p12 -deststoretype PKCS12`,
      });
    }
    // Since JDK 9, keytool writes PKCS#12 whatever the file is called.
    if (bytes[0] === 0x30) return await pkcs12Key(bytes, reference, askStore);
    const entry = selectEntry(decodeJks(bytes), reference);
    const passphrase = await askStore(`pass phrase of ${path}`);
    try {
      if (!isIntactJks(bytes, passphrase)) throw wrongPassphrase(path);
      return await openEntry(entry, passphrase, path, askKey);
    } finally {
      passphrase.fill(0);
    }
  } catch (error) {
    throw asStoreError(error, path);
  } finally {
    bytes.fill(0);
  }
}

async function openEntry(
  { alias, protectedKey, certificates }: JksKeyEntry,
  storePassphrase: Buffer,
  path: string,
  askKey: AskSecret | undefined,
): Promise<StoredKey> {
  const own = askKey === undefined ? undefined : await askKey(`pass phrase of ${path}#${alias}`);
  const key = unprotectJksKey(protectedKey, own ?? storePassphrase);
  own?.fill(0);
  if (key === undefined) {
    throw new UsageError('key', `Cannot open key ${alias} of ${path}: its pass phrase is wrong`, {
      hint:
        own === undefined
          ? 'It is not that of the store: give that one with --store-pass, and the key’s with --key-pass'
          : 'It may be that of the store: leave --store-pass away, then one serves for both',
    });
  }
  try {
    const privateKey = importPrivateKey({ key, format: 'der', type: 'pkcs8' });
    return { privateKey, certificates };
  } catch {
    throw new UsageError('key', `Cannot use key ${alias} of ${path}: it does not parse`);
  } finally {
    key.fill(0);
  }
}

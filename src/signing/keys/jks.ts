/**
 * Java KeyStore files of type JKS, as JDKs before 9 wrote them without being asked.
 *
 * FORMAT, numbers big-endian:
 * - magic 0xFEEDFEED, version 1 or 2, number of entries
 * - entries: tag (1 private key, 2 trusted certificate), alias, time of creation in ms
 *   - of a key: size and `EncryptedPrivateKeyInfo`, number of certificates, each with type (version 2),
 *     size and bytes
 *   - of a certificate: one of those
 * - SHA-1 of the pass phrase, the words `Mighty Aphrodite` and all of the above
 *
 * @see sun.security.provider.JavaKeyStore and KeyProtector of OpenJDK
 */

import { createHash } from 'node:crypto';
import { FormatError, type FormatErrorCode } from '../../core/errors.ts';
import { equalBytes } from '../../core/digest.ts';
import { BER, childrenOf, octetsOf, oidOf, readBer } from './ber.ts';

export const JKS_MAGIC = 0xfeedfeed;
/** The same layout with other protection, of the JCE. */
export const JCEKS_MAGIC = 0xcececece;

const TAG = { privateKey: 1, trustedCertificate: 2 } as const;
const DIGEST_SIZE = 20;
const WHITENER = 'Mighty Aphrodite';
/** Algorithm of Sun's own key protection. */
const KEY_PROTECTOR_OID = '1.3.6.1.4.1.42.2.17.1.1';
/** More than this is no store of keys that sign. */
const MAX_ENTRIES = 10_000;
const MAX_CHAIN = 100;

export interface JksKeyEntry {
  readonly alias: string;
  /** `EncryptedPrivateKeyInfo` in DER. */
  readonly protectedKey: Buffer;
  /** X.509 DER, the key's own first. */
  readonly certificates: readonly Uint8Array[];
}

const fail = (code: FormatErrorCode, message: string, offset: number, field?: string): never => {
  throw new FormatError('jks', code, `Cannot read JKS: ${message}`, {
    offset,
    ...(field !== undefined && { field }),
  });
};

/** The pass phrase as Java hashes it: UTF-16, big-endian. */
export function utf16(passphrase: Buffer): Buffer {
  const bytes = Buffer.from(passphrase.toString('utf8'), 'utf16le');
  return bytes.swap16();
}

/** Reads values one after the other, none of them behind `end`. */
function reader(bytes: Buffer, end: number) {
  let at = 0;
  const skip = (size: number, field: string): number => {
    if (size > end - at) fail('truncated', `${field} ends early`, at, field);
    at += size;
    return at - size;
  };
  const u32 = (field: string): number => bytes.readUInt32BE(skip(4, field));
  return {
    u32,
    offset: (): number => at,
    skip,
    text(field: string): string {
      const size = bytes.readUInt16BE(skip(2, field));
      const start = skip(size, field);
      // Java's own form of UTF-8, which differs for NUL and beyond the BMP only.
      return bytes.toString('utf8', start, start + size);
    },
    block(field: string): Buffer {
      const size = u32(field);
      const start = skip(size, field);
      return bytes.subarray(start, start + size);
    },
  };
}

/**
 * The private keys of a store, still protected.
 *
 * @throws {FormatError} `jks` when the bytes are no such store.
 */
export function decodeJks(bytes: Buffer): readonly JksKeyEntry[] {
  const end = bytes.length - DIGEST_SIZE;
  if (end < 12) fail('truncated', 'the file is too short', bytes.length);
  const input = reader(bytes, end);
  const magic = input.u32('magic');
  if (magic !== JKS_MAGIC) fail('bad-magic', 'it does not begin with FEEDFEED', 0, 'magic');
  const version = input.u32('version');
  if (version !== 1 && version !== 2) fail('bad-version', `version is ${version}`, 4, 'version');
  const count = input.u32('count');
  if (count > MAX_ENTRIES) fail('too-large', `it claims ${count} entries`, 8, 'count');
  const certificate = (): Uint8Array => {
    if (version === 2) input.text('certificate type');
    return new Uint8Array(input.block('certificate'));
  };
  const entries: JksKeyEntry[] = [];
  for (let index = 0; index < count; index += 1) {
    const tagOffset = input.offset();
    const tag = input.u32('tag');
    const alias = input.text('alias');
    input.skip(8, 'creation date');
    if (tag === TAG.trustedCertificate) {
      certificate();
      continue;
    }
    if (tag !== TAG.privateKey)
      fail('bad-value', `entry ${index} is of kind ${tag}`, tagOffset, 'tag');
    const protectedKey = input.block('key');
    const chainOffset = input.offset();
    const chainSize = input.u32('chain');
    if (chainSize > MAX_CHAIN) fail('too-large', `a chain of ${chainSize}`, chainOffset, 'chain');
    const certificates = Array.from({ length: chainSize }, certificate);
    entries.push({ alias, protectedKey, certificates });
  }
  if (input.offset() !== end) fail('trailing-data', 'bytes follow the entries', input.offset());
  return entries;
}

/** Whether a store is as it was when it was closed with this pass phrase. */
export function isIntactJks(bytes: Buffer, passphrase: Buffer): boolean {
  const end = bytes.length - DIGEST_SIZE;
  const secret = utf16(passphrase);
  const digest = createHash('sha1')
    .update(secret)
    .update(WHITENER, 'utf8')
    .update(bytes.subarray(0, end))
    .digest();
  secret.fill(0);
  return equalBytes(digest, bytes.subarray(end));
}

/**
 * Takes off Sun's key protection: the key is combined with a stream of SHA-1 digests that begin with a
 * salt, and its own digest tells whether the pass phrase was right.
 *
 * @returns PKCS#8 DER, which the caller overwrites; undefined when the pass phrase is wrong.
 * @throws {FormatError} `jks` or `ber` when it is protected in another way.
 */
export function unprotectJksKey(protectedKey: Buffer, passphrase: Buffer): Buffer | undefined {
  const [algorithm, data] = childrenOf(
    readBer(protectedKey),
    BER.sequence,
    'EncryptedPrivateKeyInfo',
  );
  const [oid] = childrenOf(algorithm, BER.sequence, 'algorithm');
  if (oidOf(oid, 'algorithm') !== KEY_PROTECTOR_OID) {
    fail('unsupported', 'a key is protected in an unknown way', 0, 'algorithm');
  }
  const sealed = octetsOf(data, 'encryptedData');
  const size = sealed.length - 2 * DIGEST_SIZE;
  if (size < 1) fail('truncated', 'a protected key is too short', 0, 'encryptedData');
  const secret = utf16(passphrase);
  const key = Buffer.from(sealed.subarray(DIGEST_SIZE, DIGEST_SIZE + size));
  let stream: Buffer = sealed.subarray(0, DIGEST_SIZE);
  for (let at = 0; at < size; at += DIGEST_SIZE) {
    stream = createHash('sha1').update(secret).update(stream).digest();
    const length = Math.min(DIGEST_SIZE, size - at);
    for (let index = 0; index < length; index += 1) {
      key[at + index] = (key[at + index] ?? 0) ^ (stream[index] ?? 0);
    }
  }
  const check = createHash('sha1').update(secret).update(key).digest();
  secret.fill(0);
  if (equalBytes(check, sealed.subarray(-DIGEST_SIZE))) return key;
  key.fill(0);
  return undefined;
}

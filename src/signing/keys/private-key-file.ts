/**
 * Private keys in files: PKCS#8, PKCS#1 and SEC1, as PEM or DER, encrypted or not, readable by their
 * owner only. A PEM file may hold the key's certificates, too.
 *
 * No message ever holds any part of the file's content.
 *
 * @see https://www.rfc-editor.org/rfc/rfc5958 (PKCS#8), rfc8017 A.1.2 (PKCS#1), rfc5915 (SEC1),
 *   rfc1421 4.6.1.1 (`Proc-Type: 4,ENCRYPTED`)
 */

import type { KeyObject, PrivateKeyInput } from 'node:crypto';
import { FormatError, UsageError } from '../../core/errors.ts';
import { decodeCertificatePem } from '../x509.ts';
import { quoteForShell, readSecretFile } from './bounded-file.ts';
import { importPrivateKey } from './import-private-key.ts';

/** RSA-16384 in PKCS#8 takes 12.5 KiB in PEM, and a chain may follow; a file beyond this is something else. */
const MAX_KEY_FILE = 65536;

/** Gives the pass phrase of what is named; called only when one is needed. */
export type AskSecret = (what: string) => Promise<Buffer>;

/** A key as it was kept, with what was kept beside it. */
export interface StoredKey {
  readonly privateKey: KeyObject;
  /** X.509 DER, the key's own first; empty where there is none. */
  readonly certificates: readonly Uint8Array[];
}

const BEGIN = '-----BEGIN ';
const LINE_FEED = 0x0a;
/** The longest label has some twenty characters. */
const MAX_LABEL = 40;

interface PemBlock {
  readonly label: string;
  /** Where it begins and where the next one does, in bytes. */
  readonly start: number;
  readonly end: number;
}

/** The PEM blocks of a file. Its text is never made a string, which could not be overwritten. */
function pemBlocks(bytes: Buffer): readonly PemBlock[] {
  const starts: number[] = [];
  for (let at = bytes.indexOf(BEGIN); at !== -1; at = bytes.indexOf(BEGIN, at + 1)) {
    if (at === 0 || bytes[at - 1] === LINE_FEED) starts.push(at);
  }
  return starts.flatMap((start, index) => {
    const from = start + BEGIN.length;
    const line = bytes.toString('latin1', from, from + MAX_LABEL + '-----'.length);
    const [, label] = /^([A-Z0-9 ]{1,40})-----/.exec(line) ?? [];
    return label === undefined ? [] : [{ label, start, end: starts[index + 1] ?? bytes.length }];
  });
}

/** `Proc-Type` stands right behind the first line. */
const isOldEncryption = (bytes: Buffer, { start, end }: PemBlock): boolean =>
  bytes.subarray(start, end).includes('\nProc-Type: 4,ENCRYPTED');

/**
 * Parses the content of a key file.
 *
 * @param bytes Overwritten by the caller.
 * @param name How errors call it.
 * @param ask Without it, encrypted keys are refused.
 * @throws {UsageError} `key`, which never quotes the content.
 */
export async function parsePrivateKeyFile(
  bytes: Buffer,
  name: string,
  ask?: AskSecret,
): Promise<StoredKey> {
  if (bytes[0] === 0x30) return { privateKey: await parseDer(bytes, name, ask), certificates: [] };
  if (bytes.length >= 4 && [0xfeedfeed, 0xcececece].includes(bytes.readUInt32BE(0))) {
    throw new UsageError('key', `Cannot use key ${name}: it is a Java KeyStore`, {
      hint: `Write jks:${name}`,
    });
  }
  const blocks = pemBlocks(bytes);
  const labels = blocks.map((each) => each.label);
  const [block, ...others] = blocks.filter((each) => each.label.endsWith('PRIVATE KEY'));
  if (labels.includes('OPENSSH PRIVATE KEY')) {
    throw new UsageError('key', `Cannot use key ${name}: it is an OpenSSH key`, {
      hint: 'Convert a copy with: ssh-keygen -p -m PKCS8 -f COPY',
    });
  }
  if (block === undefined || others.length > 0) {
    const found = labels.length === 0 ? 'no PEM block' : labels.join(', ');
    throw new UsageError(
      'key',
      `Cannot use key ${name}: one private key in PEM or DER is needed, found ${found}`,
      { hint: 'A file that begins with "-----BEGIN PRIVATE KEY-----" is needed' },
    );
  }
  const isEncrypted = block.label === 'ENCRYPTED PRIVATE KEY' || isOldEncryption(bytes, block);
  const input = { key: bytes.subarray(block.start, block.end), format: 'pem' } as const;
  return {
    privateKey: isEncrypted
      ? await decrypt(input, name, ask)
      : parse(input, name, `its ${block.label} block`),
    certificates: blocks
      .filter((each) => each.label === 'CERTIFICATE')
      .flatMap(({ start, end }) => certificatesOf(bytes.toString('latin1', start, end), name)),
  };
}

function certificatesOf(pem: string, name: string): readonly Uint8Array[] {
  try {
    return decodeCertificatePem(pem);
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    throw new UsageError('key', `Cannot use the certificate in key file ${name}`, {
      cause,
      hint: 'Take it out, or name another one with --cert',
    });
  }
}

function parse(input: PrivateKeyInput, name: string, what: string): KeyObject {
  try {
    return importPrivateKey(input);
  } catch {
    // OpenSSL's reason is left out on purpose: it may describe the content.
    throw new UsageError('key', `Cannot use key ${name}: ${what} does not parse`);
  }
}

async function decrypt(
  input: PrivateKeyInput,
  name: string,
  ask: AskSecret | undefined,
): Promise<KeyObject> {
  if (ask === undefined) {
    throw new UsageError('key', `Cannot use key ${name}: it is encrypted`, {
      hint: 'Decrypt it with: openssl pkey -in KEY -out PLAIN-KEY',
    });
  }
  const passphrase = await ask(`pass phrase of ${name}`);
  try {
    return importPrivateKey({ ...input, passphrase });
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'ERR_OSSL_EVP_UNSUPPORTED' || code === 'ERR_OSSL_UNSUPPORTED') {
      throw new UsageError(
        'key',
        `Cannot use key ${name}: it is encrypted in a way that OpenSSL 3 has given up, or damaged`,
        {
          hint: 'Encrypt it anew: openssl pkcs8 -topk8 -provider legacy -provider default -in KEY',
        },
      );
    }
    throw new UsageError('key', `Cannot decrypt key ${name}: the pass phrase is wrong`, {
      hint: 'Or the file is damaged, which looks the same',
    });
  } finally {
    passphrase.fill(0);
  }
}

const TAG = { integer: 0x02, octetString: 0x04, oid: 0x06, sequence: 0x30 } as const;

/** The tags of the first two fields of a SEQUENCE, and of the first field of a SEQUENCE in front. */
function fieldsOf(der: Buffer): { first: number; version: number; second: number } | undefined {
  const body = headerOf(der, 0);
  // DER fills the file exactly; OpenSSL would pass over what follows.
  if (body === undefined || body.end !== der.length) return undefined;
  const first = headerOf(der, body.start);
  if (first === undefined) return undefined;
  const second = headerOf(der, first.end);
  if (second === undefined) return undefined;
  return { first: first.tag, version: der[first.start] ?? -1, second: second.tag };
}

function headerOf(
  der: Buffer,
  at: number,
): { tag: number; start: number; end: number } | undefined {
  const [tag, length] = [der[at], der[at + 1]];
  if (tag === undefined || length === undefined) return undefined;
  const more = length < 0x80 ? 0 : length - 0x80;
  if (more > 3 || length === 0x80 || at + 2 + more > der.length) return undefined;
  const start = at + 2 + more;
  const size = more === 0 ? length : der.readUIntBE(at + 2, more);
  return start + size > der.length ? undefined : { tag, start, end: start + size };
}

function parseDer(der: Buffer, name: string, ask: AskSecret | undefined): Promise<KeyObject> {
  const fields = fieldsOf(der);
  const input = (type: 'pkcs1' | 'pkcs8' | 'sec1'): PrivateKeyInput => ({
    key: der,
    format: 'der',
    type,
  });
  const plain = (type: 'pkcs1' | 'pkcs8' | 'sec1'): Promise<KeyObject> =>
    Promise.resolve(parse(input(type), name, `what looks like ${type.toUpperCase()} in DER`));
  if (fields?.first === TAG.sequence && fields.second === TAG.octetString) {
    return decrypt(input('pkcs8'), name, ask);
  }
  if (fields?.first === TAG.integer) {
    if (fields.version === 3 && fields.second === TAG.sequence) {
      throw new UsageError('key', `Cannot use key ${name}: it is a PKCS#12 store`, {
        hint: `Write p12:${name}`,
      });
    }
    if (fields.second === TAG.sequence) return plain('pkcs8');
    if (fields.second === TAG.octetString) return plain('sec1');
    if (fields.second === TAG.integer) return plain('pkcs1');
  }
  throw new UsageError('key', `Cannot use key ${name}: it is no private key in DER`, {
    hint: 'PKCS#8, PKCS#1 and SEC1 are understood; a certificate or public key cannot sign',
  });
}

/**
 * Reads a private key from a file.
 *
 * @param ask Without it, encrypted keys are refused.
 * @throws {UsageError} `key` when the file is missing, others may read it, or it holds no such key.
 */
export async function readKeyFile(path: string, ask?: AskSecret): Promise<StoredKey> {
  const bytes = await readSecretFile(path, {
    what: 'key file',
    maxSize: MAX_KEY_FILE,
    missing: `Make one with: microbuild keys generate ${quoteForShell(path)}`,
  });
  try {
    return await parsePrivateKeyFile(bytes, path, ask);
  } finally {
    bytes.fill(0);
  }
}

/**
 * Reads a private key that is not encrypted.
 *
 * @throws {UsageError} `key` when the file is missing, others may read it, or it holds no such key.
 */
export async function readPrivateKey(path: string): Promise<KeyObject> {
  return (await readKeyFile(path)).privateKey;
}

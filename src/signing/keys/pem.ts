/**
 * Private keys in PEM files: PKCS#8 or PKCS#1, never encrypted, readable by their owner only.
 *
 * No message ever holds any part of the file's content.
 */

import { createPrivateKey, type KeyObject } from 'node:crypto';
import { open } from 'node:fs/promises';
import { UsageError } from '../../core/errors.ts';

/** RSA-8192 in PKCS#8 takes 6.4 KiB; a file beyond this is something else. */
const MAX_PEM_SIZE = 65536;

function octal(mode: number): string {
  return `0${(mode & 0o7777).toString(8).padStart(3, '0')}`;
}

function quoteForShell(path: string): string {
  return /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", String.raw`'\''`)}'`;
}

/** The text of a key file, after a check of who else may read it. */
async function readKeyFile(path: string): Promise<string> {
  let handle: Awaited<ReturnType<typeof open>>;
  try {
    handle = await open(path, 'r');
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown error';
    throw new UsageError('key', `Cannot read key file ${path}: ${code}`, {
      cause,
      hint:
        code === 'ENOENT'
          ? `Make one with: microbuild keys generate ${quoteForShell(path)}`
          : 'The key must be readable for the user who builds',
    });
  }
  try {
    // Asked of the open file, so that the file that is checked is the file that is read.
    const { mode, size } = await handle.stat();
    if ((mode & 0o077) !== 0) {
      throw new UsageError(
        'key',
        `Cannot use key file ${path}: its mode is ${octal(mode)}, others than its owner may use it`,
        { hint: `Run: chmod 600 ${quoteForShell(path)}` },
      );
    }
    if (size > MAX_PEM_SIZE) {
      throw new UsageError('key', `Cannot use key file ${path}: ${size} bytes is not a PEM key`);
    }
    const buffer = Buffer.alloc(MAX_PEM_SIZE);
    const { bytesRead } = await handle.read(buffer, 0, MAX_PEM_SIZE, 0);
    const text = buffer.toString('latin1', 0, bytesRead);
    buffer.fill(0);
    return text;
  } finally {
    await handle.close();
  }
}

/** The labels of the PEM blocks in a text. */
const labelsOf = (pem: string): string[] =>
  [...pem.matchAll(/^-----BEGIN ([A-Z0-9 ]{1,40})-----/gm)].map((match) => match[1] ?? '');

/**
 * Parses a PEM text that holds one private key.
 *
 * @param name How errors call it.
 * @throws {UsageError} `key`, which never quotes the text.
 */
export function parsePrivateKey(pem: string, name: string): KeyObject {
  const labels = labelsOf(pem);
  const keys = labels.filter((label) => label.endsWith('PRIVATE KEY'));
  if (keys.includes('ENCRYPTED PRIVATE KEY') || /^Proc-Type: 4,ENCRYPTED/m.test(pem)) {
    throw new UsageError('key', `Cannot use key ${name}: it is encrypted`, {
      hint: 'Decrypt it with: openssl pkey -in KEY -out PLAIN-KEY',
    });
  }
  if (keys.includes('OPENSSH PRIVATE KEY')) {
    throw new UsageError('key', `Cannot use key ${name}: it is an OpenSSH key`, {
      hint: 'Convert a copy with: ssh-keygen -p -m PKCS8 -f COPY',
    });
  }
  if (keys.length !== 1) {
    const found = labels.length === 0 ? 'no PEM block' : labels.join(', ');
    throw new UsageError(
      'key',
      `Cannot use key ${name}: one private key in PEM is needed, found ${found}`,
      { hint: 'A file that begins with "-----BEGIN PRIVATE KEY-----" is needed' },
    );
  }
  try {
    return createPrivateKey(pem);
  } catch {
    // OpenSSL's reason is left out on purpose: it may describe the content.
    throw new UsageError('key', `Cannot use key ${name}: its ${keys[0]} block does not parse`);
  }
}

/**
 * Reads one private key from a PEM file.
 *
 * @throws {UsageError} `key` when the file is missing, others may read it, or it holds no such key.
 */
export async function readPrivateKey(path: string): Promise<KeyObject> {
  return parsePrivateKey(await readKeyFile(path), path);
}

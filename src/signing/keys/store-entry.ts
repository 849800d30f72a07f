/** What key stores have in common: entries with names, of which one is wanted. */

import { FormatError, UsageError } from '../../core/errors.ts';
import { readCertificate } from '../x509.ts';
import type { StoreReference } from './reference.ts';

/** A key store is a few kilobytes a key; this is room for hundreds. */
export const MAX_STORE_SIZE = 1 << 22;

/** An entry that holds a private key. */
export interface StoreEntry {
  /** Undefined where the store gives it no name. */
  readonly alias: string | undefined;
}

const printable = (text: string): string => text.replaceAll(/\p{Cc}/gu, '?');

/**
 * The entry that a reference means. Names are compared as Java does: upper and lower case are the same.
 *
 * @throws {UsageError} `key` when there is none, or more than one could be meant.
 */
export function selectEntry<T extends StoreEntry>(
  entries: readonly T[],
  { kind, path, alias }: StoreReference,
): T {
  const wanted = alias?.toLowerCase();
  const fitting =
    wanted === undefined
      ? entries
      : entries.filter((entry) => entry.alias?.toLowerCase() === wanted);
  const [first, second] = fitting;
  if (first !== undefined && second === undefined) return first;
  const names = entries.map((entry) => printable(entry.alias ?? '(no name)')).join(', ');
  if (entries.length === 0) {
    throw new UsageError('key', `Cannot use key store ${path}: it holds no private key`, {
      hint: 'A store with certificates only can be trusted, but cannot sign',
    });
  }
  if (first === undefined) {
    throw new UsageError('key', `Cannot use key store ${path}: it has no key ${alias ?? ''}`, {
      hint: `It has: ${names}`,
    });
  }
  throw new UsageError('key', `Cannot use key store ${path}: it holds ${fitting.length} keys`, {
    hint: `Write ${kind}:${path}#ALIAS with one of: ${names}`,
  });
}

/** Tells what is wrong with a store's bytes by the name of its file. */
export function asStoreError(cause: unknown, path: string): unknown {
  if (!(cause instanceof FormatError)) return cause;
  return new UsageError('key', `Cannot use key store ${path}: ${cause.message}`, {
    cause,
    ...(cause.hint !== undefined && { hint: cause.hint }),
  });
}

export const wrongPassphrase = (path: string): UsageError =>
  new UsageError('key', `Cannot open key store ${path}: the pass phrase is wrong`, {
    hint: 'Or the file is damaged, which looks the same',
  });

/** The most certificates in a row; real chains have three or four. */
const MAX_CHAIN = 10;

/**
 * The certificate of a key and those that issued it, as far as they are among `certificates`.
 *
 * @param leaf X.509 DER.
 * @throws {FormatError} `x509` when one of them is no certificate.
 */
export function chainFrom(
  leaf: Uint8Array,
  certificates: readonly Uint8Array[],
): readonly Uint8Array[] {
  const others = certificates.map((der) => ({ der, parsed: readCertificate(der) }));
  const chain = [leaf];
  let last = readCertificate(leaf);
  while (chain.length < MAX_CHAIN && !last.checkIssued(last)) {
    const current = last;
    const issuer = others.find(({ parsed }) => current.checkIssued(parsed));
    if (issuer === undefined || chain.includes(issuer.der)) break;
    chain.push(issuer.der);
    last = issuer.parsed;
  }
  return chain;
}

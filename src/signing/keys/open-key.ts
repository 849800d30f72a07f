/** From a reference to a key, to something that signs. The one place that knows where keys may be. */

import { readFile } from 'node:fs/promises';
import { UsageError } from '../../core/errors.ts';
import { keySigner, type Signer } from '../signer.ts';
import { decodeCertificatePem, readCertificate } from '../x509.ts';
import { readPrivateKey } from './pem.ts';

export interface OpenKeyOptions {
  /** File with the certificate (PEM or DER), or its chain (PEM), the key's own first. */
  readonly certificate?: string | undefined;
  /** Where the pass phrase or PIN is: `env:NAME`, `file:PATH`, `stdin` or `prompt`. */
  readonly passphrase?: string | undefined;
  readonly env: NodeJS.ProcessEnv;
  readonly signal?: AbortSignal | undefined;
}

/** A key that is ready to sign. */
export interface OpenedKey {
  /** The reference as it may be printed: it holds no secret. */
  readonly reference: string;
  readonly signer: Signer;
  /** X.509 DER, the key's own first; empty where none is known. */
  readonly certificates: readonly Uint8Array[];
  /** Lets go of token sessions and programs. */
  close(): Promise<void>;
}

/**
 * Opens a key by its reference.
 *
 * @param reference `file:PATH` or just a path.
 * @throws {UsageError} `key`, never with any part of a secret.
 */
export async function openKey(reference: string, options: OpenKeyOptions): Promise<OpenedKey> {
  const path = reference.startsWith('file:') ? reference.slice('file:'.length) : reference;
  const signer = keySigner(await readPrivateKey(path));
  const certificates =
    options.certificate === undefined ? [] : await readCertificates(options.certificate);
  const [own] = certificates;
  if (own !== undefined && !readCertificate(own).publicKey.equals(signer.publicKey)) {
    throw new UsageError(
      'key',
      `Cannot use certificate ${options.certificate}: it is not of key ${reference}`,
    );
  }
  return { reference, signer, certificates, close: () => Promise.resolve() };
}

async function readCertificates(path: string): Promise<readonly Uint8Array[]> {
  const bytes = new Uint8Array(await readFile(path));
  // DER starts with a SEQUENCE, PEM with text.
  if (bytes[0] !== 0x30) return decodeCertificatePem(Buffer.from(bytes).toString('latin1'));
  readCertificate(bytes);
  return [bytes];
}

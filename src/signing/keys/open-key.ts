/** From a reference to a key, to something that signs. The one place that knows where keys may be. */

import type { LoadCryptoki } from '../../formats/pkcs11/cryptoki.ts';
import { keySigner, type Signer } from '../signer.ts';
import { readCertificateFile, requireOwnCertificate } from './certificates.ts';
import { readKeyFile, type AskSecret, type StoredKey } from './private-key-file.ts';
import { parseKeyReference, type KeyReference } from './reference.ts';
import { readSecret } from './secret.ts';

export interface OpenKeyOptions {
  /** File with the certificate (PEM or DER), or its chain (PEM), the key's own first. */
  readonly certificate?: string | undefined;
  /** Where the pass phrase or PIN is: `env:NAME`, `file:PATH`, `stdin` or `prompt`. */
  readonly passphrase?: string | undefined;
  /** Where the pass phrase of a key store is, if it is not that of the key. */
  readonly storePassphrase?: string | undefined;
  readonly env: NodeJS.ProcessEnv;
  readonly signal?: AbortSignal | undefined;
  /** What loads the modules of tokens: the library of `native`, which this layer does not know. */
  readonly loadCryptoki?: LoadCryptoki | undefined;
}

/** What a kind of key gives: `openKey` adds the rest. */
export interface KeyMaterial {
  /** The reference as it may be printed, where it is not what was given. */
  readonly reference?: string;
  readonly signer: Signer;
  /** X.509 DER that came with the key, its own first; empty where none did. */
  readonly certificates: readonly Uint8Array[];
  /** Lets go of token sessions and programs. */
  close(): Promise<void>;
}

/** A key that is ready to sign. */
export interface OpenedKey extends KeyMaterial {
  /** The reference as it may be printed: it holds no secret. */
  readonly reference: string;
}

/**
 * Opens a key by its reference, see reference.ts.
 *
 * A certificate that is named replaces those that come with the key. Either must be the key's own.
 *
 * @throws {UsageError} `key`, never with any part of a secret.
 */
export async function openKey(reference: string, options: OpenKeyOptions): Promise<OpenedKey> {
  const material = await openMaterial(parseKeyReference(reference), options);
  try {
    const { certificate } = options;
    const certificates =
      certificate === undefined ? material.certificates : await readCertificateFile(certificate);
    requireOwnCertificate(
      certificates,
      material.signer.publicKey,
      certificate ?? 'of the key store',
      reference,
    );
    return { reference, ...material, certificates };
  } catch (error) {
    await material.close();
    throw error;
  }
}

async function openMaterial(
  reference: KeyReference,
  options: OpenKeyOptions,
): Promise<KeyMaterial> {
  const { passphrase, storePassphrase, env, signal } = options;
  const askKey: AskSecret = (what) =>
    readSecret({ source: passphrase, option: '--key-pass', what, env, signal });
  const askStore: AskSecret = (what) =>
    storePassphrase === undefined
      ? askKey(what)
      : readSecret({ source: storePassphrase, option: '--store-pass', what, env, signal });
  const bothGiven = passphrase !== undefined && storePassphrase !== undefined;
  switch (reference.kind) {
    case 'file':
      return inMemory(await readKeyFile(reference.path, askKey));
    // Each of the others is loaded on demand: most keys are files, and none of this loads at once.
    case 'p12': {
      const { openPkcs12Key } = await import('./pkcs12-key.ts');
      return inMemory(await openPkcs12Key(reference, askStore));
    }
    case 'jks': {
      const { openJksKey } = await import('./jks-key.ts');
      return inMemory(await openJksKey(reference, askStore, bothGiven ? askKey : undefined));
    }
    case 'helper': {
      const { openHelperKey } = await import('./helper-key.ts');
      return openHelperKey(reference, options);
    }
    case 'pkcs11': {
      const { openPkcs11Key } = await import('./pkcs11.ts');
      return openPkcs11Key(reference.uri, options);
    }
  }
}

const inMemory = ({ privateKey, certificates }: StoredKey): KeyMaterial => ({
  signer: keySigner(privateKey),
  certificates,
  close: () => Promise.resolve(),
});

/**
 * Keys that never leave their token: found by a PKCS#11 URI, used through the module that it names.
 *
 * @see https://www.rfc-editor.org/rfc/rfc7512
 */

import type { KeyObject } from 'node:crypto';
import { UsageError } from '../../core/errors.ts';
import { CKF, CKU } from '../../formats/pkcs11/constants.ts';
import { CryptokiError } from '../../formats/pkcs11/cryptoki.ts';
import type { SignatureOptions, Signer } from '../signer.ts';
import { readCertificateKey } from '../x509.ts';
import { readCertificateFile, requireOwnCertificate } from './certificates.ts';
import type { OpenedKey, OpenKeyOptions } from './open-key.ts';
import { withToken } from './pkcs11-error.ts';
import { planSignature } from './pkcs11-mechanism.ts';
import { loadModule } from './pkcs11-module.ts';
import { findCertificates, findPrivateKey, findPublicKey, type TokenKey } from './pkcs11-object.ts';
import { findToken, openTokenSession, type FoundToken, type TokenSession } from './pkcs11-token.ts';
import { formatPkcs11Uri, parsePkcs11Uri, type Pkcs11Uri } from './pkcs11-uri.ts';
import { readSecret } from './secret.ts';

/**
 * Opens the one key that a PKCS#11 URI names.
 *
 * @throws {UsageError} `key`, never with any part of a secret.
 */
export async function openPkcs11Key(uri: string, options: OpenKeyOptions): Promise<OpenedKey> {
  const { env, signal, loadCryptoki } = options;
  const parsed = parsePkcs11Uri(uri);
  if (parsed.pinFile !== undefined && options.passphrase !== undefined) {
    throw new UsageError('key', 'Cannot use PKCS#11 URI: the PIN has two sources', {
      hint: 'Give pin-source or --key-pass, not both',
    });
  }
  if (loadCryptoki === undefined) {
    throw new UsageError('key', 'Cannot use PKCS#11 keys here: nothing loads modules', {
      hint: 'Pass loadCryptoki to openKey',
    });
  }
  const given =
    options.certificate === undefined ? [] : await readCertificateFile(options.certificate);
  const cryptoki = await loadModule(parsed, loadCryptoki, { env, signal });
  const closers: (() => Promise<void>)[] = [() => cryptoki.release()];
  try {
    const token = await withToken('look for tokens', () => findToken(cryptoki, parsed));
    const pin = pinOf(parsed, token, options);
    closers.push(() => pin.forget());
    const session = await openTokenSession(cryptoki, token, (work) => pin.use(work));
    closers.push(() => session.close());
    return await withToken(`look into ${token.name}`, async () => {
      const key = await findPrivateKey(session, parsed);
      if (!key.alwaysAuthenticate) await pin.forget();
      const found = given.length > 0 ? given : await findCertificates(session, key);
      const publicKey = await findPublicKey(session, key, found);
      const reference = formatPkcs11Uri({
        criteria: { token: token.info.label },
        ...(key.label !== '' && { object: key.label }),
        ...(key.id.length > 0 && { id: key.id }),
      });
      requireOwnCertificate(given, publicKey, options.certificate ?? '', reference);
      return {
        reference,
        signer: tokenSigner(session, key, publicKey, pin),
        certificates: isOf(found, publicKey) ? found : [],
        close: () => closeAll(closers),
      };
    });
  } catch (error) {
    await closeAll(closers);
    throw error;
  }
}

/** In the reverse of the order in which they were opened, each of them whatever happens to another. */
async function closeAll(closers: (() => Promise<void>)[]): Promise<void> {
  for (let close = closers.pop(); close !== undefined; close = closers.pop()) {
    await close().catch((error: unknown) => {
      // The session of a token that is gone is closed already, and what was signed is signed.
      if (!(error instanceof CryptokiError)) throw error;
    });
  }
}

/** A certificate with the same id need not be the key’s. */
function isOf(certificates: readonly Uint8Array[], publicKey: KeyObject): boolean {
  const [own] = certificates;
  return own !== undefined && readCertificateKey(own).equals(publicKey);
}

interface Pin {
  /** Runs work with the PIN, which is kept when it is right. */
  use(work: (pin: Uint8Array) => Promise<void>): Promise<void>;
  forget(): Promise<void>;
}

function pinOf(
  { pinFile }: Pkcs11Uri,
  { name }: FoundToken,
  { passphrase, env, signal }: OpenKeyOptions,
): Pin {
  const source = pinFile === undefined ? passphrase : `file:${pinFile}`;
  let kept: Promise<Buffer> | undefined;
  const read = async (): Promise<Buffer> => {
    const pin = await readSecret({
      source,
      option: '--key-pass',
      what: `PIN of ${name}`,
      env,
      signal,
    });
    if (pin.length > 0) return pin;
    // Some tokens would count it as a wrong one.
    throw new UsageError('key', `Cannot use the PIN of ${name}: it is empty`);
  };
  const forget = async (): Promise<void> => {
    const pin = await kept?.catch(() => undefined);
    pin?.fill(0);
    kept = undefined;
  };
  return {
    forget,
    async use(work) {
      try {
        await work(await (kept ??= read()));
      } catch (error) {
        await forget();
        throw error;
      }
    },
  };
}

function tokenSigner(
  { cryptoki, session, token }: TokenSession,
  key: TokenKey,
  publicKey: KeyObject,
  pin: Pin,
): Signer {
  let mechanisms: Promise<ReadonlySet<number>> | undefined;
  /** A session does one thing at a time. */
  let turn: Promise<unknown> = Promise.resolve();
  /** After a wrong PIN, nothing is tried again. */
  let refused: unknown;
  const authenticate = async (): Promise<void> => {
    const isKeypad = (token.info.flags & CKF.PROTECTED_AUTHENTICATION_PATH) !== 0;
    const login = (value: Uint8Array | undefined): Promise<void> =>
      cryptoki.login(session, CKU.CONTEXT_SPECIFIC, value);
    try {
      await (isKeypad ? login(undefined) : pin.use(login));
    } catch (error) {
      refused = error;
      throw error;
    }
  };
  const sign = async (data: Uint8Array, options: SignatureOptions): Promise<Uint8Array> => {
    if (refused !== undefined) throw refused;
    const known = await (mechanisms ??= cryptoki.mechanisms(token.slot));
    const { mechanism, input, toSignature } = planSignature(publicKey, data, options, known);
    await cryptoki.signInit(session, mechanism, key.handle);
    if (key.alwaysAuthenticate) await authenticate();
    return toSignature(await cryptoki.sign(session, input));
  };
  return {
    publicKey,
    sign(data, options) {
      const name = key.label === '' ? 'a key' : `key "${key.label}"`;
      const action = `sign with ${name} of ${token.name}`;
      const signature = turn.then(() => withToken(action, () => sign(data, options)));
      turn = signature.catch(() => undefined);
      return signature;
    },
  };
}

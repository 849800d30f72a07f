/** Finds the one token that a PKCS#11 URI names, and logs into it. */

import { UsageError } from '../../core/errors.ts';
import { CKF, CKU } from '../../formats/pkcs11/constants.ts';
import type { Cryptoki, TokenInfo } from '../../formats/pkcs11/cryptoki.ts';
import { withToken } from './pkcs11-error.ts';
import { formatPkcs11Uri, type Pkcs11Uri, type TokenCriteria } from './pkcs11-uri.ts';

export interface FoundToken {
  readonly slot: bigint;
  readonly info: TokenInfo;
  /** How errors call it. */
  readonly name: string;
}

export interface TokenSession {
  readonly cryptoki: Cryptoki;
  readonly token: FoundToken;
  readonly session: bigint;
  /** Logs out, unless another key of the token is still in use, and closes the session. */
  close(): Promise<void>;
}

/** Errors list no more than so many tokens or keys. */
const MAX_LISTED = 10;

export function listed(items: readonly string[]): string {
  const more = items.length - MAX_LISTED;
  const shown = items.slice(0, MAX_LISTED).join(', ');
  return more > 0 ? `${shown} and ${more} more` : shown;
}

/** @throws {UsageError} `key` when no token fits, or several do. */
export async function findToken(cryptoki: Cryptoki, uri: Pkcs11Uri): Promise<FoundToken> {
  const { criteria } = uri;
  const initialized: (FoundToken & { readonly fits: boolean })[] = [];
  for (const slot of await cryptoki.slots()) {
    const info = await cryptoki.tokenInfo(slot);
    if ((info.flags & CKF.TOKEN_INITIALIZED) === 0) continue;
    const fits = await isMatch(cryptoki, slot, info, criteria);
    initialized.push({ slot, info, fits, name: `token "${info.label}"` });
  }
  const found = initialized.filter(({ fits }) => fits);
  const [first] = found;
  if (first !== undefined && found.length === 1) return first;
  const shown = (first === undefined ? initialized : found).map(({ info }) => uriOf(info));
  if (first === undefined) {
    const there = shown.length === 0 ? 'has none' : `has ${listed(shown)}`;
    throw new UsageError(
      'key',
      `Cannot find the token of the PKCS#11 URI: ${cryptoki.path} ${there}`,
      {
        hint:
          shown.length === 0
            ? 'Put the token in, or make one: softhsm2-util --init-token --free --label NAME'
            : 'Name one of these tokens: token=LABEL or serial=NUMBER',
      },
    );
  }
  throw new UsageError('key', `Cannot choose between ${found.length} tokens: ${listed(shown)}`, {
    hint: 'Say which with token=LABEL or serial=NUMBER',
  });
}

const uriOf = ({ label, serial, model, manufacturer }: TokenInfo): string =>
  formatPkcs11Uri({ criteria: { token: label, serial, model, manufacturer } });

async function isMatch(
  cryptoki: Cryptoki,
  slot: bigint,
  info: TokenInfo,
  criteria: TokenCriteria,
): Promise<boolean> {
  const version = criteria['library-version'];
  const facts: readonly (readonly [wanted: string | undefined, actual: string])[] = [
    [criteria.token, info.label],
    [criteria.manufacturer, info.manufacturer],
    [criteria.serial, info.serial],
    [criteria.model, info.model],
    [criteria['library-manufacturer'], cryptoki.info.manufacturer],
    [criteria['library-description'], cryptoki.info.description],
    // A version without a minor number is that of minor number 0.
    [version?.includes('.') === false ? `${version}.0` : version, cryptoki.info.version],
  ];
  if (facts.some(([wanted, actual]) => wanted !== undefined && wanted !== actual)) return false;
  const slotId = criteria['slot-id'];
  if (slotId !== undefined && BigInt(slotId) !== slot) return false;
  const description = criteria['slot-description'];
  const manufacturer = criteria['slot-manufacturer'];
  if (description === undefined && manufacturer === undefined) return true;
  const slotInfo = await cryptoki.slotInfo(slot);
  return (
    (description ?? slotInfo.description) === slotInfo.description &&
    (manufacturer ?? slotInfo.manufacturer) === slotInfo.manufacturer
  );
}

/**
 * Being logged in is a state of process and token, not of a session. Keys of one token share it, so that
 * a wrong PIN is tried once for all of them.
 */
interface Login {
  users: number;
  readonly done: Promise<void>;
}

const logins = new Map<string, Login>();

/**
 * Opens a session and logs in where the token asks for it.
 *
 * @param withPin Runs work with the PIN; not called where none is needed.
 * @throws {UsageError} `key`. A wrong PIN is never tried again.
 */
export async function openTokenSession(
  cryptoki: Cryptoki,
  token: FoundToken,
  withPin: (work: (pin: Uint8Array | undefined) => Promise<void>) => Promise<void>,
): Promise<TokenSession> {
  const { slot, info, name } = token;
  const session = await withToken(`open ${name}`, () => cryptoki.openSession(slot));
  const closeSession = (): Promise<void> => cryptoki.closeSession(session);
  if ((info.flags & CKF.LOGIN_REQUIRED) === 0) {
    return { cryptoki, token, session, close: closeSession };
  }
  const id = `${slot} ${cryptoki.path}`;
  const logIn = async (): Promise<void> => {
    refuseLocked(token);
    const attempt = (pin: Uint8Array | undefined): Promise<void> =>
      withToken(`log into ${name}`, () => cryptoki.login(session, CKU.USER, pin));
    // A token with a keypad asks for the PIN itself.
    if ((info.flags & CKF.PROTECTED_AUTHENTICATION_PATH) !== 0) await attempt(undefined);
    else await withPin(attempt);
  };
  const login: Login = logins.get(id) ?? { users: 0, done: logIn() };
  logins.set(id, login);
  login.users += 1;
  const close = async (): Promise<void> => {
    login.users -= 1;
    if (login.users > 0) return closeSession();
    if (logins.get(id) === login) logins.delete(id);
    try {
      await cryptoki.logout(session);
    } finally {
      await closeSession();
    }
  };
  try {
    await login.done;
    return { cryptoki, token, session, close };
  } catch (error) {
    login.users -= 1;
    // The next one may come with another PIN.
    if (logins.get(id) === login) logins.delete(id);
    await closeSession().catch(() => undefined); // what went wrong first is what matters
    throw error;
  }
}

function refuseLocked({ info, name }: FoundToken): void {
  if ((info.flags & CKF.USER_PIN_LOCKED) !== 0) {
    throw new UsageError('key', `Cannot log into ${name}: its PIN is locked`, {
      hint: 'Its owner can unlock it with the PIN of the security officer (SO PIN)',
    });
  }
  if ((info.flags & CKF.USER_PIN_FINAL_TRY) !== 0) {
    throw new UsageError(
      'key',
      `Cannot log into ${name}: one more wrong PIN would lock it, and that risk is not taken here`,
      { hint: 'Log in once with its own tools, as with: pkcs11-tool --login --test' },
    );
  }
}

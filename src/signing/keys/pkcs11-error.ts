/** What a module answered, as an error that says what to do. */

import { UsageError } from '../../core/errors.ts';
import { CKR } from '../../formats/pkcs11/constants.ts';
import { CryptokiError } from '../../formats/pkcs11/cryptoki.ts';

const REMOVED = 'Is the token still there? Put it in, or start what serves it, and try again';
const LOCKED = 'Its owner can unlock it with the PIN of the security officer (SO PIN)';

const HINTS: ReadonlyMap<number, string> = new Map([
  [
    CKR.PIN_INCORRECT,
    'It was tried once and is not tried again: tokens lock after a few wrong PINs. Correct it before the next run',
  ],
  [CKR.PIN_INVALID, 'The PIN holds characters that the token does not take'],
  [CKR.PIN_LEN_RANGE, 'The PIN is shorter or longer than the token takes'],
  [CKR.PIN_EXPIRED, 'Set a new PIN with the tools of the token'],
  [CKR.PIN_LOCKED, LOCKED],
  [CKR.USER_PIN_NOT_INITIALIZED, 'Set a PIN first: pkcs11-tool --init-pin'],
  [CKR.USER_ANOTHER_ALREADY_LOGGED_IN, 'Another user of the token is logged in: log out there'],
  [CKR.USER_NOT_LOGGED_IN, 'The token has logged out: try again'],
  [CKR.KEY_FUNCTION_NOT_PERMITTED, 'The key was made for another use: its CKA_SIGN is false'],
  [CKR.MECHANISM_INVALID, 'The token cannot make this kind of signature with this key'],
  [CKR.MECHANISM_PARAM_INVALID, 'The token cannot make this kind of signature with this key'],
  [CKR.TOKEN_NOT_PRESENT, REMOVED],
  [CKR.TOKEN_NOT_RECOGNIZED, REMOVED],
  [CKR.DEVICE_REMOVED, REMOVED],
  [CKR.DEVICE_ERROR, REMOVED],
  [CKR.SESSION_HANDLE_INVALID, REMOVED],
  [CKR.SESSION_CLOSED, REMOVED],
  [CKR.OBJECT_HANDLE_INVALID, REMOVED],
  [CKR.KEY_HANDLE_INVALID, REMOVED],
  [CKR.SLOT_ID_INVALID, REMOVED],
  [CKR.SESSION_COUNT, 'The token has too many sessions: end other programs that use it'],
  [CKR.FUNCTION_CANCELED, 'The question on the token was answered with no'],
]);

const SLOW = 'The token may wait for a touch or a PIN on its own keypad, or be gone';

/**
 * Runs what talks to a token.
 *
 * @param action As in `Cannot ACTION`.
 * @throws {UsageError} `key` for what a module refuses.
 */
export async function withToken<T>(action: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (!(cause instanceof CryptokiError)) throw cause;
    const hint = cause.value === undefined ? SLOW : HINTS.get(cause.value);
    throw new UsageError('key', `Cannot ${action}: ${cause.message}`, {
      cause,
      ...(hint !== undefined && { hint }),
    });
  }
}

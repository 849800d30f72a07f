/**
 * What all commands that sign have in common: how a key is named and opened, and what happens around
 * each signature. A command gets its keys from the session and nowhere else.
 */

import type { Options } from 'yargs';
import { UsageError } from '../../core/errors.ts';
import { openKey, type OpenedKey } from '../../signing/keys/open-key.ts';
import { SIGNING_PROFILES, type ReviewSubject } from '../../signing/policy/release.ts';
import type { CommandArguments, CommandContext, CommandResult } from '../command.ts';

/** Of every command that signs, with however many keys. */
export const signingOptions = {
  profile: {
    type: 'string',
    choices: SIGNING_PROFILES,
    default: 'development',
    describe:
      'What may be signed: release refuses published and development keys, debuggable APKs, what is not signed, and rollback indexes below the last released',
  },
} as const satisfies Record<string, Options>;

/** Of every command that signs with one key. */
export const keyOptions = {
  key: {
    type: 'string',
    describe: 'Key that signs: a PEM or DER file, or file:, p12:, jks:, pkcs11: or helper:',
  },
  cert: {
    type: 'string',
    describe: 'Certificate of the key, PEM or DER; default: what the key store holds',
  },
  'key-pass': {
    type: 'string',
    describe: 'Pass phrase or PIN: env:NAME, file:PATH, stdin or prompt',
  },
  ...signingOptions,
} as const satisfies Record<string, Options>;

export interface SigningKeyOptions {
  readonly certificate?: string | undefined;
  readonly passphrase?: string | undefined;
}

export interface SigningSession {
  /**
   * Opens a key. All keys are closed when the session ends.
   *
   * @param reference Undefined where none was given: an error, but when requests are prepared for the
   *   key of the certificate.
   * @param artefact What it will sign, as requests and the audit log name it: a file's name.
   */
  key(
    reference: string | undefined,
    artefact: string,
    options?: SigningKeyOptions,
  ): Promise<OpenedKey>;
  /**
   * Asks the profile whether this may be signed. To be called before the first signature, once for
   * each APK and each vbmeta image.
   *
   * @throws {VerificationError} `release-policy`, with all reasons against it.
   */
  review(subject: ReviewSubject): Promise<void>;
}

export interface SigningJob {
  /** Files that are read and must be the same when signatures are attached later. */
  readonly inputs: readonly string[];
}

/**
 * Runs what signs. It must write aside and publish at its very end, and it must ask for signatures that
 * do not depend on each other at the same time.
 */
export async function withSigning(
  _job: SigningJob,
  _args: CommandArguments,
  context: CommandContext,
  work: (session: SigningSession) => Promise<CommandResult>,
): Promise<CommandResult> {
  const opened: OpenedKey[] = [];
  try {
    return await work({
      async key(reference, _artefact, options = {}) {
        if (reference === undefined) {
          throw new UsageError('usage', 'Cannot sign: no key is given', {
            hint: 'Name it with --key: a file, or p12:, jks:, pkcs11: or helper:',
          });
        }
        const key = await openKey(reference, {
          ...options,
          env: context.env,
          signal: context.signal,
        });
        opened.push(key);
        return key;
      },
      review: () => Promise.resolve(),
    });
  } finally {
    await Promise.all(opened.map((key) => key.close()));
  }
}

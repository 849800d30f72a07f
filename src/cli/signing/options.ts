/** The options of commands that sign. */

import type { Options } from 'yargs';
import { AUDIT_LOG } from '../../signing/audit.ts';
import { RELEASE_LOG } from '../../signing/policy/last-releases.ts';
import { SIGNING_PROFILES } from '../../signing/policy/release.ts';

const path = { type: 'string', requiresArg: true } as const;

/** Of every command that signs, with however many keys. */
export const signingOptions = {
  prepare: {
    ...path,
    describe:
      'Sign elsewhere: write what is to be signed into this new folder, and nothing else; --key may be a public key then',
  },
  attach: {
    ...path,
    describe: 'Finish what was prepared in this folder, with the signatures that are in it now',
  },
  profile: {
    type: 'string',
    choices: SIGNING_PROFILES,
    default: 'development',
    describe:
      'What may be signed: release refuses published and development keys, debuggable APKs, what is not signed, and rollback indexes below the last released',
  },
  'release-log': {
    ...path,
    describe: `File of the rollback indexes released last, of profile release; default: ${RELEASE_LOG}`,
  },
  'audit-log': {
    ...path,
    describe: `File that gets one line of JSON for each signature: who, key, digest, verdict; default for a release: ${AUDIT_LOG} beside its release log, else none`,
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

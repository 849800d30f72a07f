/** `microbuild keys info`: what a key is, as far as that is no secret. */

import { describeKey } from '../../../signing/keys/describe-key.ts';
import type { CommandDefinition } from '../../command.ts';
import { formatKey, keyPositional, openPublicHalf, publicKeyOptions } from './options.ts';

export const infoCommand: CommandDefinition = {
  name: 'info',
  summary: 'Show kind, certificate and digests of a key, and whether everybody has it',
  positionals: keyPositional,
  options: publicKeyOptions,
  examples: [
    ['keys info release.pem --cert release.crt', 'a key in a file'],
    ['keys info p12:release.p12#upload --key-pass env:STORE_PASS', 'one of a key store'],
    ['keys info release.crt --json', 'a certificate'],
  ],
  async run(args, context) {
    const key = await openPublicHalf(args, context);
    const facts = describeKey(key.publicKey, key.certificates);
    const isCertificate = facts.certificates.length > 0;
    const what = key.isPrivate ? 'private key' : isCertificate ? 'certificate' : 'public key';
    return {
      text: `${key.reference}: ${what}\n${formatKey(facts)}`,
      json: { reference: key.reference, private: key.isPrivate, ...facts },
    };
  },
};

/** `microbuild keys fingerprint`: all digests that a key is known by, in the forms that others ask for. */

import { describeKey } from '../../../signing/keys/describe-key.ts';
import type { CommandDefinition } from '../../command.ts';
import { keyPositional, openPublicHalf, publicKeyOptions } from './options.ts';

export const fingerprintCommand: CommandDefinition = {
  name: 'fingerprint',
  summary: 'Print the digests of a certificate, its public key and its AVB key',
  positionals: keyPositional,
  options: publicKeyOptions,
  examples: [
    ['keys fingerprint release.crt', 'what trust.payload of a recipe and --trust take'],
    ['keys fingerprint pkcs11:token=release;object=apk --json', 'of a key in a token'],
  ],
  async run(args, context) {
    const { publicKey, certificates, reference } = await openPublicHalf(args, context);
    const facts = describeKey(publicKey, certificates);
    const [certificate] = facts.certificates;
    const lines = [
      ...(certificate === undefined
        ? []
        : [
            `certificate  sha256:${certificate.sha256}`,
            `certificate  sha512:${certificate.sha512}`,
          ]),
      `public key   sha256:${facts.publicKey.sha256}`,
      `public key   sha512:${facts.publicKey.sha512}`,
      ...(facts.avb === null
        ? []
        : [`avb key      sha256:${facts.avb.sha256}`, `avb key      sha1:${facts.avb.sha1}`]),
    ];
    return {
      text: lines.join('\n'),
      json: {
        reference,
        certificate:
          certificate === undefined
            ? null
            : { sha256: certificate.sha256, sha512: certificate.sha512 },
        publicKey: facts.publicKey,
        avb: facts.avb,
      },
    };
  },
};

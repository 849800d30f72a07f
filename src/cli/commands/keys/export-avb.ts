/** `microbuild keys export-avb`: the public key as devices hold it. */

import { UsageError } from '../../../core/errors.ts';
import { writeFileAtomic } from '../../../io/atomic-output.ts';
import { avbPublicKey } from '../../../signing/avb/public-key.ts';
import { describeKey } from '../../../signing/keys/describe-key.ts';
import type { CommandDefinition } from '../../command.ts';
import { expectOutputs } from '../output-files.ts';
import { requiredText } from '../avb/options.ts';
import { filesOf, keyPositional, openPublicHalf, publicKeyOptions } from './options.ts';

export const exportAvbCommand: CommandDefinition = {
  name: 'export-avb',
  summary: 'Write the public key in AVB’s encoding, as avbtool extract_public_key does',
  positionals: keyPositional,
  options: {
    output: {
      type: 'string',
      alias: 'o',
      demandOption: true,
      requiresArg: true,
      describe: 'Where it goes',
    },
    ...publicKeyOptions,
  },
  examples: [
    ['keys export-avb release.pem -o release.avbpubkey', 'for --trust'],
    ['keys export-avb pkcs11:token=release;object=image -o image.avbpubkey', 'of a key in a token'],
  ],
  async run(args, context) {
    const output = requiredText(args, 'output');
    await expectOutputs([['--output', output]], filesOf(args));
    const { reference, publicKey } = await openPublicHalf(args, context);
    const { kind, avb } = describeKey(publicKey, []);
    if (avb === null) {
      throw new UsageError(
        'key',
        `Cannot export ${reference} for AVB: it is a key of type ${kind}`,
        {
          hint: 'AVB takes RSA keys of 2048, 4096 or 8192 bits with exponent 65537, and ML-DSA',
        },
      );
    }
    const blob = avbPublicKey(publicKey);
    await writeFileAtomic(output, blob);
    return {
      text: `${output}: ${blob.length} bytes\n  sha256     ${avb.sha256}`,
      json: { output, size: blob.length, ...avb },
    };
  },
};

/** `microbuild keys certificate`: a certificate for a key that has none, as keys in tokens often do. */

import { writeFileAtomic } from '../../../io/atomic-output.ts';
import { describeCertificate } from '../../../signing/keys/describe-key.ts';
import { createSelfSignedCertificate, encodeCertificatePem } from '../../../signing/x509.ts';
import type { CommandDefinition } from '../../command.ts';
import { keyOptions, withSigning } from '../../signing/session.ts';
import { expectOutputs } from '../output-files.ts';
import { lastText, requiredText } from '../avb/options.ts';
import { certificateOptions, certificateRequest } from './certificate-options.ts';
import { filesOf, formatCertificate } from './options.ts';

const { cert: _cert, ...options } = keyOptions;

export const certificateCommand: CommandDefinition = {
  name: 'certificate',
  summary: 'Make a self-signed certificate for a key that is there already',
  positionals: {},
  options: {
    ...options,
    output: {
      type: 'string',
      alias: 'o',
      demandOption: true,
      requiresArg: true,
      describe: 'Where it goes, as PEM',
    },
    ...certificateOptions,
  },
  examples: [
    [
      "keys certificate --key pkcs11:token=release;object=apk --key-pass prompt --subject 'Example' -o apk.crt",
      'for a key in a token',
    ],
    [
      'keys certificate --key helper:kms-sign?public-key=apk.pub --subject Example -o apk.crt',
      'for a key of a service',
    ],
  ],
  run(args, context) {
    const output = requiredText(args, 'output');
    const reference = lastText(args, 'key');
    return withSigning({ inputs: [] }, args, context, async (session) => {
      const request = certificateRequest(args);
      if (reference !== undefined) await expectOutputs([['--output', output]], filesOf(args));
      const { signer } = await session.key(reference, output, {
        passphrase: lastText(args, 'key-pass'),
        storePassphrase: lastText(args, 'store-pass'),
      });
      const der = await createSelfSignedCertificate(signer, request);
      await writeFileAtomic(output, encodeCertificatePem(der));
      const facts = describeCertificate(der);
      return { text: `${output}\n${formatCertificate(facts)}`, json: { output, ...facts } };
    });
  },
};

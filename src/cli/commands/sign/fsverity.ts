/** `microbuild sign fsverity`: built-in signatures of files, as `fsverity sign` makes them. */

import { basename } from 'node:path';
import { toHex } from '../../../core/digest.ts';
import { UsageError } from '../../../core/errors.ts';
import { writeFileSynced } from '../../../io/atomic-output.ts';
import { replaceFiles } from '../../../io/replace-files.ts';
import { signFsVerity } from '../../../signing/fs-verity.ts';
import type { CommandArguments, CommandDefinition } from '../../command.ts';
import { engineOption } from '../../engine.ts';
import { keyOptions, withSigning } from '../../signing/session.ts';
import { lastText, textOption } from '../avb/options.ts';
import {
  digestFiles,
  filesPositional,
  FS_VERITY_SIGNATURE_SUFFIX as SUFFIX,
  parameterOptions,
} from '../fsverity-files.ts';
import { expectOutputs } from '../output-files.ts';
import { certificateId } from '../trusted-certificates.ts';
import { certificateOf } from './certificate.ts';

/** Where the signature of each file goes. */
function outputsOf(args: CommandArguments): readonly string[] {
  const paths = args.list('files');
  const output = lastText(args, 'output');
  if (output === undefined) return paths.map((path) => `${path}${SUFFIX}`);
  if (paths.length === 1) return [output];
  throw new UsageError('usage', `Cannot write ${paths.length} signatures to --output ${output}`, {
    hint: `Leave it away: the signature of FILE becomes FILE${SUFFIX}`,
  });
}

/** How requests and the audit log name what is signed. */
function artefactOf(paths: readonly string[]): string {
  const [first = '', ...more] = paths;
  return more.length === 0 ? basename(first) : `${basename(first)} and ${more.length} more`;
}

export const signFsverityCommand: CommandDefinition = {
  name: 'fsverity',
  summary: 'Sign files for fs-verity: PKCS #7 over their digests, as fsverity sign writes it',
  positionals: filesPositional,
  options: {
    ...keyOptions,
    ...parameterOptions,
    'store-pass': textOption('Pass phrase of the key store, where it is not that of the key'),
    output: textOption(`The signature of the one FILE; default: FILE${SUFFIX}, for each`, {
      alias: 'o',
    }),
    engine: engineOption,
  },
  examples: [
    [
      'sign fsverity app.apk --key release.pem --cert release.crt -o app.sig',
      'for fsverity enable app.apk --signature app.sig',
    ],
    [
      `sign fsverity *.so --key release.pem --cert release.crt --hash-alg sha512`,
      `each to its own FILE${SUFFIX}`,
    ],
  ],
  async run(args, context) {
    const inputs = args.list('files');
    const outputs = outputsOf(args);
    await expectOutputs(
      outputs.map((output) => ['--output', output]),
      [...inputs, lastText(args, 'key'), lastText(args, 'cert')],
    );
    return withSigning({ inputs }, args, context, async (session) => {
      const files = await digestFiles(context, args, inputs);
      // One key for all: to ask for its pass phrase, or to log in to its token, once is enough.
      const key = await session.key(lastText(args, 'key'), artefactOf(inputs), {
        certificate: lastText(args, 'cert'),
        passphrase: lastText(args, 'key-pass'),
        storePassphrase: lastText(args, 'store-pass'),
      });
      const certificate = certificateOf(key);
      const signatures = await Promise.all(
        files.map((file) => signFsVerity(file, { signer: key.signer, certificate })),
      );
      await replaceFiles(outputs, async (temporaries) => {
        for (const [index, signature] of signatures.entries()) {
          await writeFileSynced(temporaries[index] ?? '', signature);
        }
      });
      const signed = files.map((file, index) => ({ ...file, output: outputs[index] ?? '' }));
      return {
        text: signed
          .map(({ output, algorithm, digest }) => `${output}: ${algorithm}:${toHex(digest)}`)
          .join('\n'),
        json: signed.map(({ path, output, algorithm, digest }) => ({
          path,
          output,
          algorithm,
          digest: toHex(digest),
          certificate: certificateId(certificate),
        })),
      };
    });
  },
};

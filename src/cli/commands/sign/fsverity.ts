/** `microbuild sign fsverity`: built-in signatures of files, as `fsverity sign` makes them. */

import { basename } from 'node:path';
import { toHex } from '../../../core/digest.ts';
import { UsageError } from '../../../core/errors.ts';
import { writeFileSynced } from '../../../io/atomic-output.ts';
import { openFileSource } from '../../../io/byte-source.ts';
import { replaceFiles } from '../../../io/replace-files.ts';
import { signFsVerity, type FsVerityFileDigest } from '../../../signing/fs-verity.ts';
import { certificateDigest } from '../../../signing/x509.ts';
import { fsVerityDigest } from '../../../verity/fs-verity.ts';
import type { CommandArguments, CommandContext, CommandDefinition } from '../../command.ts';
import { engineOption, openEngine, type Engine } from '../../engine.ts';
import { keyOptions, withSigning } from '../../signing/session.ts';
import { lastText, textOption } from '../avb/options.ts';
import { parameterOptions, parametersOf, type Parameters } from '../fsverity.ts';
import { expectOutputs } from '../output-files.ts';
import { step } from '../verity-options.ts';
import { certificateOf } from './certificate.ts';

interface SignedFile {
  readonly path: string;
  readonly output: string;
}

const SUFFIX = '.fsverity-sig';

/** Where the signature of each file goes. */
function filesOf(args: CommandArguments): readonly SignedFile[] {
  const paths = args.list('files');
  const output = lastText(args, 'output');
  if (output === undefined) return paths.map((path) => ({ path, output: `${path}${SUFFIX}` }));
  const [path = '', ...more] = paths;
  if (more.length === 0) return [{ path, output }];
  throw new UsageError('usage', `Cannot write ${paths.length} signatures to --output ${output}`, {
    hint: `Leave it away: the signature of FILE becomes FILE${SUFFIX}`,
  });
}

/** How requests and the audit log name what is signed. */
function artefactOf(paths: readonly string[]): string {
  const [first = '', ...more] = paths;
  return more.length === 0 ? basename(first) : `${basename(first)} and ${more.length} more`;
}

async function digestFile(
  context: CommandContext,
  path: string,
  parameters: Parameters,
  { hasher }: Engine,
): Promise<FsVerityFileDigest> {
  const { signal } = context;
  const source = await openFileSource(path);
  try {
    const { digest } = await step(context, `Digest ${path}`, source.size, (onProgress) =>
      fsVerityDigest(source, { ...parameters, hasher, signal, onProgress }),
    );
    return { algorithm: parameters.algorithm, digest };
  } finally {
    await source.close();
  }
}

async function digestFiles(
  context: CommandContext,
  args: CommandArguments,
  files: readonly SignedFile[],
): Promise<readonly (SignedFile & FsVerityFileDigest)[]> {
  const parameters = parametersOf(args);
  const engine = await openEngine(lastText(args, 'engine'));
  try {
    const digests: (SignedFile & FsVerityFileDigest)[] = [];
    for (const file of files) {
      digests.push({ ...file, ...(await digestFile(context, file.path, parameters, engine)) });
    }
    return digests;
  } finally {
    await engine.close();
  }
}

export const signFsverityCommand: CommandDefinition = {
  name: 'fsverity',
  summary: 'Sign files for fs-verity: PKCS #7 over their digests, as fsverity sign writes it',
  positionals: { files: { type: 'string', array: true, describe: 'Files' } },
  options: {
    ...keyOptions,
    ...parameterOptions,
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
    const files = filesOf(args);
    const inputs = files.map(({ path }) => path);
    await expectOutputs(
      files.map(({ output }) => ['--output', output]),
      [...inputs, lastText(args, 'key'), lastText(args, 'cert')],
    );
    return withSigning({ inputs }, args, context, async (session) => {
      const digested = await digestFiles(context, args, files);
      // One key for all: to ask for its pass phrase, or to log in to its token, once is enough.
      const key = await session.key(lastText(args, 'key'), artefactOf(inputs), {
        certificate: lastText(args, 'cert'),
        passphrase: lastText(args, 'key-pass'),
      });
      const certificate = certificateOf(key);
      const certificateSha256 = toHex(certificateDigest(certificate, 'sha256'));
      const signed = await Promise.all(
        digested.map(async (file) => {
          const signature = await signFsVerity(file, { signer: key.signer, certificate });
          return { ...file, signature };
        }),
      );
      await replaceFiles(
        signed.map(({ output }) => output),
        async (temporaries) => {
          for (const [index, { signature }] of signed.entries()) {
            await writeFileSynced(temporaries[index] ?? '', signature);
          }
        },
      );
      return {
        text: signed
          .map(({ output, algorithm, digest }) => `${output}: ${algorithm}:${toHex(digest)}`)
          .join('\n'),
        json: signed.map(({ path, output, algorithm, digest }) => ({
          path,
          output,
          algorithm,
          digest: toHex(digest),
          certificateSha256,
        })),
      };
    });
  },
};

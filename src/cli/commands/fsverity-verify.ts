/** `microbuild fsverity verify`: what the kernel does with a built-in signature, where there is no such kernel. */

import { toHex } from '../../core/digest.ts';
import { FormatError, UsageError, VerificationError } from '../../core/errors.ts';
import { verifyFsVerity } from '../../signing/fs-verity.ts';
import type { CommandArguments, CommandContext, CommandDefinition } from '../command.ts';
import { engineOption } from '../engine.ts';
import { EXIT } from '../exit-code.ts';
import {
  digestFiles,
  filesPositional,
  FS_VERITY_SIGNATURE_SUFFIX,
  parameterOptions,
  type DigestedFile,
} from './fsverity-files.ts';
import {
  certificateId,
  readSignature,
  trustedCertificates,
  trustOption,
} from './trusted-certificates.ts';
import { lastText, textOption } from './verity-options.ts';

interface Verdict extends DigestedFile {
  readonly signature: string;
  readonly certificate: string | undefined;
  readonly reason: string | undefined;
}

function signatureOf(args: CommandArguments, path: string): string {
  const signature = lastText(args, 'signature');
  if (signature === undefined) return `${path}${FS_VERITY_SIGNATURE_SUFFIX}`;
  if (args.list('files').length === 1) return signature;
  throw new UsageError('usage', `Cannot verify several files with --signature ${signature}`, {
    hint: `Leave it away: the signature of FILE is FILE${FS_VERITY_SIGNATURE_SUFFIX}`,
  });
}

async function verdictOn(
  file: DigestedFile,
  signature: string,
  trusted: readonly Uint8Array[],
): Promise<Verdict> {
  const bytes = await readSignature(signature);
  try {
    const certificate = certificateId(verifyFsVerity(file, bytes, trusted));
    return { ...file, signature, certificate, reason: undefined };
  } catch (error) {
    if (!(error instanceof FormatError || error instanceof VerificationError)) throw error;
    return { ...file, signature, certificate: undefined, reason: error.message };
  }
}

async function verifyFiles(
  args: CommandArguments,
  context: CommandContext,
): Promise<readonly Verdict[]> {
  const paths = args.list('files');
  const signatures = paths.map((path) => signatureOf(args, path));
  const trusted = await trustedCertificates(args, signatures[0] ?? '');
  const files = await digestFiles(context, args, paths);
  const verdicts: Verdict[] = [];
  for (const [index, file] of files.entries()) {
    verdicts.push(await verdictOn(file, signatures[index] ?? '', trusted));
  }
  return verdicts;
}

export const verifyFsverityCommand: CommandDefinition = {
  name: 'verify',
  summary: 'Verify built-in signatures of files with trusted certificates, as the kernel does',
  positionals: filesPositional,
  options: {
    ...parameterOptions,
    signature: textOption(
      `The signature of the one FILE; default: FILE${FS_VERITY_SIGNATURE_SUFFIX}`,
    ),
    trust: trustOption,
    engine: engineOption,
  },
  examples: [
    [
      'fsverity verify app.apk --signature app.sig --trust release.crt',
      'exit code 3 when it is not',
    ],
    ['fsverity verify *.so --trust old.crt --trust new.crt', 'while keys change'],
  ],
  verifying: true,
  async run(args, context) {
    const { terminal } = context;
    const verdicts = await verifyFiles(args, context);
    const isOk = verdicts.every(({ reason }) => reason === undefined);
    return {
      text: verdicts
        .map(({ path, certificate, reason }) =>
          reason === undefined
            ? `${terminal.style('green', 'ok')}      ${path}: signed by ${certificate}`
            : `${terminal.style(['red', 'bold'], 'BROKEN')}  ${path}: ${reason}`,
        )
        .join('\n'),
      json: verdicts.map(({ path, signature, algorithm, digest, certificate, reason }) => ({
        path,
        signature,
        algorithm,
        digest: toHex(digest),
        verified: reason === undefined,
        ...(certificate !== undefined && { certificate }),
        ...(reason !== undefined && { reason }),
      })),
      exitCode: isOk ? EXIT.ok : EXIT.verification,
    };
  },
};

/** What the verbs of fs-verity share: the parameters of its trees, and the digests of files. */

import type { Options } from 'yargs';
import { UsageError } from '../../core/errors.ts';
import { openFileSource } from '../../io/byte-source.ts';
import { fsVerityDigest, type FsVerityAlgorithm } from '../../verity/fs-verity.ts';
import type { CommandArguments, CommandContext } from '../command.ts';
import { openEngine } from '../engine.ts';
import { lastText, optionalSalt, optionalSize, step, textOption } from './verity-options.ts';

export const parameterOptions: Readonly<Record<string, Options>> = {
  'hash-alg': textOption('Hash algorithm: sha256 (default) or sha512'),
  'block-size': textOption('Bytes a block, of data and tree; default 4096'),
  salt: textOption('In hexadecimal, at most 32 bytes'),
};

export interface Parameters {
  readonly algorithm: FsVerityAlgorithm;
  readonly blockSize: number;
  readonly salt: Uint8Array;
}

export function parametersOf(args: CommandArguments): Parameters {
  const algorithm = lastText(args, 'hash-alg') ?? 'sha256';
  if (algorithm !== 'sha256' && algorithm !== 'sha512') {
    throw new UsageError(
      'usage',
      `Cannot use --hash-alg ${algorithm}: fs-verity does not have it`,
      {
        hint: 'It has sha256 and sha512',
      },
    );
  }
  const blockSize = optionalSize(args, 'block-size') ?? 4096;
  return { algorithm, blockSize, salt: optionalSalt(args) ?? new Uint8Array(0) };
}

/** What the name of a file's signature ends with. */
export const FS_VERITY_SIGNATURE_SUFFIX = '.fsverity-sig';

export const filesPositional = {
  files: { type: 'string', array: true, describe: 'Files' },
} as const;

export interface DigestedFile {
  readonly path: string;
  readonly algorithm: FsVerityAlgorithm;
  readonly digest: Uint8Array;
}

/** The file digests of files, by the parameters and the engine that are given. */
export async function digestFiles(
  context: CommandContext,
  args: CommandArguments,
  paths: readonly string[],
): Promise<readonly DigestedFile[]> {
  const parameters = parametersOf(args);
  const { signal } = context;
  const engine = await openEngine(lastText(args, 'engine'));
  try {
    const digested: DigestedFile[] = [];
    for (const path of paths) {
      const source = await openFileSource(path);
      try {
        const { digest } = await step(context, `Digest ${path}`, source.size, (onProgress) =>
          fsVerityDigest(source, { ...parameters, hasher: engine.hasher, signal, onProgress }),
        );
        digested.push({ path, algorithm: parameters.algorithm, digest });
      } finally {
        await source.close();
      }
    }
    return digested;
  } finally {
    await engine.close();
  }
}

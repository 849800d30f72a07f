/** fs-verity: digests of files, with the names of the fsverity program where it has them. */

import { readFile } from 'node:fs/promises';
import { toHex } from '../../core/digest.ts';
import { UsageError } from '../../core/errors.ts';
import { openFileSource } from '../../io/byte-source.ts';
import { writeFileAtomic } from '../../io/atomic-output.ts';
import { formattedDigest, fsVerityDigest } from '../../verity/fs-verity.ts';
import type { CommandContext, CommandDefinition, CommandGroup } from '../command.ts';
import { engineOption, openEngine, type Engine } from '../engine.ts';
import {
  filesPositional,
  parameterOptions,
  parametersOf,
  type Parameters,
} from './fsverity-files.ts';
import { expectOutputs } from './output-files.ts';
import { expectFile, openWorkFiles } from './verity-files.ts';
import { lastText, step, textOption } from './verity-options.ts';

const digestCommand: CommandDefinition = {
  name: 'digest',
  summary: 'Compute the digest that the kernel would measure of files',
  positionals: filesPositional,
  options: {
    ...parameterOptions,
    'out-merkle-tree': textOption('Write the Merkle tree to this file'),
    'out-descriptor': textOption('Write the descriptor to this file'),
    compact: { type: 'boolean', default: false, describe: 'Print the digest alone' },
    'for-builtin-sig': {
      type: 'boolean',
      default: false,
      describe: 'Print what a built-in signature signs: the digest with its header',
    },
    engine: engineOption,
  },
  examples: [
    ['fsverity digest app.apk', 'as the fsverity program prints it'],
    ['fsverity digest *.so --hash-alg sha512 --salt 1234', 'of several files'],
    ['fsverity digest app.apk --out-merkle-tree tree --out-descriptor descriptor', 'metadata too'],
  ],
  async run(args, context) {
    const paths = args.list('files');
    const parameters = parametersOf(args);
    const tree = lastText(args, 'out-merkle-tree');
    const descriptor = lastText(args, 'out-descriptor');
    if (paths.length > 1 && (tree ?? descriptor) !== undefined) {
      throw new UsageError(
        'usage',
        'Only one file can be named with --out-merkle-tree or -descriptor',
      );
    }
    await expectOutputs(
      [
        ['--out-merkle-tree', tree],
        ['--out-descriptor', descriptor],
      ],
      paths,
    );
    const engine = await openEngine(lastText(args, 'engine'));
    if (engine.name === 'system' && (tree ?? descriptor) !== undefined) {
      throw new UsageError('usage', 'The system engine gives digests only', {
        hint: 'Leave --engine system away to get tree and descriptor',
      });
    }
    const files: { path: string; digest: string; signed: string }[] = [];
    try {
      for (const path of paths) {
        const digest = await digestFile(context, path, parameters, { engine, tree, descriptor });
        const signed = toHex(formattedDigest(parameters.algorithm, digest));
        files.push({ path, digest: toHex(digest), signed });
      }
    } finally {
      await engine.close();
    }
    const forSignature = args.flag('for-builtin-sig');
    const { algorithm, blockSize, salt } = parameters;
    return {
      text: files
        .map(({ path, digest, signed }) => {
          const shown = forSignature ? signed : digest;
          if (args.flag('compact')) return shown;
          return forSignature ? `${shown} ${path}` : `${algorithm}:${shown} ${path}`;
        })
        .join('\n'),
      json: files.map(({ path, digest, signed }) => ({
        path,
        algorithm,
        blockSize,
        salt: toHex(salt),
        digest,
        ...(forSignature ? { formattedDigest: signed } : {}),
      })),
    };
  },
};

interface Outputs {
  readonly engine: Engine;
  readonly tree: string | undefined;
  readonly descriptor: string | undefined;
}

async function digestFile(
  context: CommandContext,
  path: string,
  parameters: Parameters,
  { engine, tree, descriptor }: Outputs,
): Promise<Uint8Array> {
  const { signal } = context;
  if (engine.name === 'system') {
    await expectFile(path);
    const { digestWithLibfsverity } = await import('../../native/libfsverity.ts');
    return digestWithLibfsverity(path, parameters);
  }
  const source = await openFileSource(path);
  const outputs = openWorkFiles();
  try {
    const treeFile = tree === undefined ? undefined : await outputs.create(tree);
    const result = await step(context, `Digest ${path}`, source.size, (onProgress) =>
      fsVerityDigest(source, {
        ...parameters,
        tree: treeFile,
        hasher: engine.hasher,
        signal,
        onProgress,
      }),
    );
    await outputs.commit();
    if (descriptor !== undefined) await writeFileAtomic(descriptor, result.descriptor);
    return result.digest;
  } finally {
    await outputs.discard();
    await source.close();
  }
}

const measureCommand: CommandDefinition = {
  name: 'measure',
  summary: 'Ask the kernel for the digest of verity files',
  positionals: filesPositional,
  options: {},
  examples: [['fsverity measure app.apk', 'compare it with what was signed']],
  async run(args) {
    const { measureFsVerity } = await import('../../native/fs-verity-ioctl.ts');
    const files: { path: string; algorithm: string; digest: string }[] = [];
    for (const path of args.list('files')) {
      const { algorithm, digest } = await measureFsVerity(path);
      files.push({ path, algorithm, digest: toHex(digest) });
    }
    return {
      text: files.map(({ path, algorithm, digest }) => `${algorithm}:${digest} ${path}`).join('\n'),
      json: files,
    };
  },
};

const enableCommand: CommandDefinition = {
  name: 'enable',
  summary: 'Make a file a verity file: read-only from then on, and checked by the kernel',
  positionals: { file: { type: 'string', describe: 'File, on ext4, f2fs or btrfs with verity' } },
  options: {
    ...parameterOptions,
    signature: textOption('File of a built-in signature (PKCS#7, DER)'),
  },
  examples: [['fsverity enable app.apk --salt 1234', 'there is no way back but to copy the file']],
  async run(args) {
    const { enableFsVerity } = await import('../../native/fs-verity-ioctl.ts');
    const path = args.text('file');
    const signature = lastText(args, 'signature');
    const parameters = parametersOf(args);
    await enableFsVerity(path, {
      ...parameters,
      signature: signature === undefined ? undefined : await readFile(signature),
    });
    return { text: '', json: { path, ...parameters, salt: toHex(parameters.salt) } };
  },
};

export const fsverityCommands: CommandGroup = {
  name: 'fsverity',
  summary:
    'Digests of single files (fs-verity): compute, ask the kernel, and make files verity files',
  commands: [digestCommand, measureCommand, enableCommand],
};

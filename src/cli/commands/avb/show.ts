/** Verbs that show what a vbmeta says, and prove it. */

import { toHex } from '../../../core/digest.ts';
import { FormatError, UsageError, VerificationError } from '../../../core/errors.ts';
import { dumpVbmeta } from '../../../formats/avb/dump.ts';
import { readVbmeta } from '../../../formats/avb/footer.ts';
import { infoText } from '../../../formats/avb/info.ts';
import { decodeVbmeta } from '../../../formats/avb/vbmeta.ts';
import { openImage } from '../../../signing/avb/edit-image.ts';
import { readAvbKey } from '../../../signing/avb/key-file.ts';
import {
  chainedKernelCmdline,
  chainedVbmetaDigest,
  partitionDigests,
} from '../../../signing/avb/loaded-vbmeta.ts';
import {
  verifyImage as verify,
  type ExpectedChain,
  type VerifiedPart,
} from '../../../signing/avb/verify-image.ts';
import type { CommandArguments, CommandDefinition } from '../../command.ts';
import { EXIT } from '../../exit-code.ts';
import { errorToJson, renderError } from '../../render/error.ts';
import { printable } from '../../terminal.ts';
import { avbEngineOption, imageFinder, partitionImageOptions, step, withEngine } from './images.ts';
import {
  flagOption,
  imageOption,
  lastText,
  listOption,
  outputOption,
  requiredText,
  textOption,
} from './options.ts';
import { writeFileAtomic } from '../../../io/atomic-output.ts';
import { textResult } from './output.ts';
import { parseChain } from './signing.ts';

export const infoImage: CommandDefinition = {
  name: 'info_image',
  summary: 'Show footer, header and descriptors of an image',
  positionals: {},
  options: {
    image: imageOption('A vbmeta image, or an image with footer'),
    output: outputOption,
    output_pubkey: textOption('Write the public key to this file'),
    cert: { ...flagOption('Show the certificates in the public key metadata'), alias: 'atx' },
  },
  examples: [
    ['avb info_image --image vbmeta.img', 'the text of avbtool'],
    ['avb info_image --image boot.img --json', 'all fields with their offsets'],
  ],
  async run(args) {
    const { source, isSparse } = await openImage(requiredText(args, 'image'));
    try {
      const { bytes, footer } = await readVbmeta(source);
      const vbmeta = decodeVbmeta(bytes, { anyVersion: true });
      const text = infoText(
        { vbmeta, footer, imageSize: source.size, isSparse },
        args.flag('cert'),
      );
      const keyPath = lastText(args, 'output_pubkey');
      if (keyPath !== undefined && vbmeta.publicKey.length > 0) {
        await writeFileAtomic(keyPath, vbmeta.publicKey);
      }
      const json = await dumpVbmeta(source, { anyVersion: true });
      return await textResult(text, json, lastText(args, 'output'));
    } finally {
      await source.close();
    }
  },
};

/** The lines that avbtool prints for what was proved. */
function lineOf(part: VerifiedPart): string {
  switch (part.kind) {
    case 'image': {
      const key = part.key === undefined ? 'embedded public key' : `key at ${part.key}`;
      return `Verifying image ${part.image} using ${key}`;
    }
    case 'vbmeta':
      return `vbmeta: Successfully verified ${part.hasFooter ? 'footer and ' : ''}${part.algorithm} vbmeta struct in ${part.image}`;
    case 'hash':
      return `${part.partition}: Successfully verified ${part.hashAlgorithm} hash of ${part.image} for image of ${part.imageSize} bytes`;
    case 'hashtree':
      return part.isZeroed
        ? `${part.partition}: skipping verification since hashtree is zeroed and --accept_zeroed_hashtree was given`
        : `${part.partition}: Successfully verified ${part.hashAlgorithm} hashtree of ${part.image} for image of ${part.imageSize} bytes`;
    case 'chain':
      return part.isExpected
        ? `${part.partition}: Successfully verified chain partition descriptor matches expected data`
        : `${part.partition}: Chained but ROLLBACK_SLOT (which is ${part.rollbackIndexLocation}) and KEY (which has sha1 ${part.publicKeySha1}) not specified`;
  }
}

async function expectedChains(args: CommandArguments): Promise<Map<string, ExpectedChain>> {
  const expected = new Map<string, ExpectedChain>();
  for (const text of args.list('expected_chain_partition')) {
    const { partition, location, publicKey } = await parseChain(text);
    expected.set(partition, { rollbackIndexLocation: location, publicKey });
  }
  return expected;
}

export const verifyImage: CommandDefinition = {
  name: 'verify_image',
  summary: 'Verify a vbmeta and every partition image that it describes',
  positionals: {},
  options: {
    image: imageOption('A vbmeta image, or an image with footer'),
    key: textOption('Every vbmeta must be signed with this key (public or private)'),
    expected_chain_partition: listOption('A chained partition, as NAME:LOCATION:KEY'),
    follow_chain_partitions: flagOption('Verify the images of chained partitions, too'),
    accept_zeroed_hashtree: flagOption('Do not mind an emptied hash tree'),
    ...partitionImageOptions,
    ...avbEngineOption,
  },
  examples: [
    ['avb verify_image --image vbmeta.img --key release.pub', 'exit code 3 when it does not hold'],
    ['avb verify_image --image vbmeta.img --follow_chain_partitions', 'and what it chains to'],
  ],
  verifying: true,
  async run(args, context) {
    const path = requiredText(args, 'image');
    const keyPath = lastText(args, 'key');
    const chains = await expectedChains(args);
    const options = {
      ...(keyPath !== undefined && { key: (await readAvbKey(keyPath)).blob, keyName: keyPath }),
      expectedChains: chains,
      followChains: args.flag('follow_chain_partitions'),
      acceptZeroedHashtree: args.flag('accept_zeroed_hashtree'),
      signal: context.signal,
    };
    const parts: VerifiedPart[] = [];
    const lines: string[] = [];
    const report = (part: VerifiedPart): void => {
      // Followed images stand apart from what chained them.
      if (part.kind === 'image' && parts.length > 0) lines.push('--');
      parts.push(part);
      lines.push(printable(lineOf(part)));
    };
    try {
      await step(context, `Verify ${path}`, path, () =>
        withEngine(args, ({ hasher }) =>
          verify(path, imageFinder(args, path), { ...options, hasher }, report),
        ),
      );
      return { text: lines.join('\n'), json: { verified: true, parts } };
    } catch (error) {
      if (!(error instanceof VerificationError || error instanceof FormatError)) throw error;
      context.terminal.err(renderError(error, context.terminal, context.verbose));
      return {
        text: lines.join('\n'),
        json: { verified: false, parts, error: errorToJson(error, EXIT.verification) },
        exitCode: EXIT.verification,
      };
    }
  },
};

export const printPartitionDigests: CommandDefinition = {
  name: 'print_partition_digests',
  summary: 'Print the digests that a vbmeta and those it chains to hold',
  positionals: {},
  options: {
    image: imageOption('A vbmeta image, or an image with footer'),
    output: outputOption,
    ...partitionImageOptions,
  },
  examples: [['avb print_partition_digests --image vbmeta.img --json', 'for a program']],
  async run(args, { json }) {
    const path = requiredText(args, 'image');
    const partitions = await partitionDigests(path, imageFinder(args, path));
    const output = lastText(args, 'output');
    const result = { partitions };
    if (json && output !== undefined) {
      await writeFileAtomic(output, JSON.stringify(result, undefined, 2));
      return { text: '', json: result };
    }
    const text = partitions.map(({ name, digest }) => `${printable(name)}: ${digest}\n`).join('');
    return textResult(text, result, output);
  },
};

export const calculateVbmetaDigest: CommandDefinition = {
  name: 'calculate_vbmeta_digest',
  summary: 'Print the digest of a vbmeta and those it chains to, as a boot loader hands it on',
  positionals: {},
  options: {
    image: imageOption('A vbmeta image, or an image with footer'),
    hash_algorithm: textOption('sha256, sha512 or sha1', { default: 'sha256' }),
    output: outputOption,
    ...partitionImageOptions,
  },
  examples: [['avb calculate_vbmeta_digest --image vbmeta.img', 'what bootconfig pins']],
  async run(args) {
    const path = requiredText(args, 'image');
    const algorithm = lastText(args, 'hash_algorithm') ?? 'sha256';
    if (algorithm !== 'sha1' && algorithm !== 'sha256' && algorithm !== 'sha512') {
      throw new UsageError(
        'usage',
        `Cannot use hash algorithm "${algorithm}": sha256, sha512 and sha1 are known`,
      );
    }
    const digest = toHex(await chainedVbmetaDigest(path, imageFinder(args, path), algorithm));
    return textResult(`${digest}\n`, { algorithm, digest }, lastText(args, 'output'));
  },
};

export const calculateKernelCmdline: CommandDefinition = {
  name: 'calculate_kernel_cmdline',
  summary: 'Print the kernel command line that a boot loader takes from a vbmeta',
  positionals: {},
  options: {
    image: imageOption('A vbmeta image, or an image with footer'),
    hashtree_disabled: flagOption('As if hash trees were disabled'),
    output: outputOption,
    ...partitionImageOptions,
  },
  examples: [['avb calculate_kernel_cmdline --image vbmeta.img', 'with hash trees']],
  async run(args) {
    const path = requiredText(args, 'image');
    const disabled = args.flag('hashtree_disabled');
    const cmdline = await chainedKernelCmdline(path, imageFinder(args, path), disabled);
    const output = lastText(args, 'output');
    if (output === undefined) return { text: printable(cmdline), json: { cmdline } };
    await writeFileAtomic(output, cmdline);
    return { text: '', json: { cmdline } };
  },
};

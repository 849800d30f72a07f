/** Making vbmeta images, and putting them behind partition images. */

import { writeFileAtomic } from '../../../io/atomic-output.ts';
import { toHex } from '../../../core/digest.ts';
import { UsageError } from '../../../core/errors.ts';
import { alignUp } from '../../../core/math.ts';
import { orderDescriptors } from '../../../formats/avb/order.ts';
import { addHashFooterToFile } from '../../../signing/avb/hash-footer.ts';
import { addHashtreeFooterToFile } from '../../../signing/avb/hashtree-footer.ts';
import { MAX_METADATA_SIZE, maxHashtreeImageSize } from '../../../signing/avb/max-image-size.ts';
import { signVbmeta } from '../../../signing/avb/sign.ts';
import { isTreeAlgorithm } from '../../../signing/avb/verify-hashtree.ts';
import { parseHex } from './hex.ts';
import { avbEngineOption, step, withEngine } from './images.ts';
import type {
  CommandArguments,
  CommandContext,
  CommandDefinition,
  CommandResult,
} from '../../command.ts';
import { flagOption, lastText, requiredText, sizeOf, textOption } from './options.ts';
import { footerOptions, requiredMinorOf, signingOptions, signingRequest } from './signing.ts';

async function requiredVersion(args: CommandArguments, usesFlags: boolean): Promise<CommandResult> {
  const version = `1.${await requiredMinorOf(args, usesFlags)}`;
  return { text: version, json: { requiredLibavbVersion: version } };
}

/** A file padded with zeros to a multiple of `size`, or as it is when that is 0. */
export function padTo(data: Uint8Array, size: number): Uint8Array {
  if (size === 0) return data;
  const padded = new Uint8Array(alignUp(data.length, size));
  padded.set(data);
  return padded;
}

export const paddingOption = textOption('Pad the output to a multiple of this many bytes', {
  default: '0',
});

const MAX_PADDING = 1 << 26;

export function paddingOf(args: CommandArguments): number {
  const padding = sizeOf(args, 'padding_size') ?? 0;
  if (padding <= MAX_PADDING) return padding;
  throw new UsageError(
    'usage',
    `Cannot pad to ${padding} bytes: at most ${MAX_PADDING} are sensible`,
  );
}

export const makeVbmetaImage: CommandDefinition = {
  name: 'make_vbmeta_image',
  summary: 'Make a vbmeta image of descriptors, signed',
  positionals: {},
  options: {
    output: textOption('Where the vbmeta image goes'),
    padding_size: paddingOption,
    ...signingOptions,
  },
  examples: [
    [
      'avb make_vbmeta_image --output vbmeta.img --include_descriptors_from_image boot.img --algorithm SHA256_RSA4096 --key key.pem',
      'one signature for several partitions',
    ],
  ],
  async run(args, context) {
    if (args.flag('print_required_libavb_version')) return requiredVersion(args, false);
    const output = requiredText(args, 'output');
    const padding = paddingOf(args);
    const { vbmeta: signing, descriptors } = await signingRequest(args, context);
    const vbmeta = await signVbmeta({
      ...signing,
      descriptors: orderDescriptors(undefined, descriptors),
    });
    await writeFileAtomic(output, padTo(vbmeta, padding));
    return { text: '', json: { output, vbmetaSize: vbmeta.length } };
  },
};

const imageOptions = {
  image: textOption('The image, changed in place'),
  salt: textOption('In hexadecimal; default derived from the content'),
};

function saltOf(args: CommandArguments): { salt?: Uint8Array } {
  const text = lastText(args, 'salt');
  return text === undefined ? {} : { salt: parseHex(text, 'salt') };
}

function warnOfSha1(algorithm: string, { reporter }: CommandContext): void {
  if (algorithm !== 'sha1') return;
  reporter.report({
    kind: 'warning',
    message: 'sha1 is broken: somebody can make two images with one digest',
    hint: 'Use --hash_algorithm sha256',
  });
}

export const addHashFooter: CommandDefinition = {
  name: 'add_hash_footer',
  summary: 'Put the digest of an image and a signed vbmeta behind it, in place',
  positionals: {},
  options: {
    ...imageOptions,
    partition_size: textOption('Size of the partition, a multiple of 4096'),
    dynamic_partition_size: flagOption('Take the size that the image needs'),
    partition_name: textOption('Name of the partition, without slot'),
    hash_algorithm: textOption('sha256, sha512 or sha1', { default: 'sha256' }),
    ...footerOptions,
    ...signingOptions,
  },
  examples: [
    [
      'avb add_hash_footer --image boot.img --partition_name boot --dynamic_partition_size --algorithm SHA256_RSA4096 --key key.pem',
      'sign a kernel',
    ],
  ],
  async run(args, context) {
    const isDynamic = args.flag('dynamic_partition_size');
    const partitionSize = sizeOf(args, 'partition_size');
    const isPrintingVersion = args.flag('print_required_libavb_version');
    if (!isDynamic && partitionSize === undefined) {
      throw new UsageError('usage', 'Give --partition_size or --dynamic_partition_size');
    }
    if (isDynamic && args.flag('calc_max_image_size')) {
      throw new UsageError(
        'usage',
        'Cannot use --calc_max_image_size with --dynamic_partition_size: any image fits',
      );
    }
    if (isPrintingVersion) {
      return requiredVersion(
        args,
        args.flag('use_persistent_digest') || args.flag('do_not_use_ab'),
      );
    }
    if (args.flag('calc_max_image_size')) {
      const max = (partitionSize ?? 0) - MAX_METADATA_SIZE;
      if (max < 0) {
        throw new UsageError(
          'usage',
          `Cannot use partition size ${partitionSize}: ${MAX_METADATA_SIZE} bytes or more are needed`,
        );
      }
      return { text: `${max}`, json: { maxImageSize: max } };
    }
    const hashAlgorithm = lastText(args, 'hash_algorithm') ?? 'sha256';
    if (hashAlgorithm !== 'sha1' && hashAlgorithm !== 'sha256' && hashAlgorithm !== 'sha512') {
      throw new UsageError(
        'usage',
        `Cannot use hash algorithm "${hashAlgorithm}" for a hash footer: sha256, sha512 and sha1 are known`,
      );
    }
    warnOfSha1(hashAlgorithm, context);
    const image = requiredText(args, 'image');
    const partitionName = requiredText(args, 'partition_name');
    const salt = saltOf(args);
    const request = await signingRequest(args, context);
    const added = await step(context, `Hash ${image}`, image, () =>
      addHashFooterToFile(image, {
        partitionName,
        partitionSize: isDynamic ? 'dynamic' : (partitionSize ?? 0),
        hashAlgorithm,
        ...salt,
        persistentDigest: args.flag('use_persistent_digest'),
        doNotUseAb: args.flag('do_not_use_ab'),
        append: !args.flag('do_not_append_vbmeta_image'),
        ...request,
        signal: context.signal,
      }),
    );
    await writeVbmetaBeside(args, added.vbmeta);
    const { digest, salt: used } = added.descriptor;
    return {
      text: '',
      json: {
        image,
        partitionSize: added.partitionSize,
        hashAlgorithm,
        digest: toHex(digest),
        salt: toHex(used),
      },
    };
  },
};

async function writeVbmetaBeside(args: CommandArguments, vbmeta: Uint8Array): Promise<void> {
  const output = lastText(args, 'output_vbmeta_image');
  if (output !== undefined) await writeFileAtomic(output, vbmeta);
}

export const addHashtreeFooter: CommandDefinition = {
  name: 'add_hashtree_footer',
  summary: 'Put a dm-verity tree, its parity and a signed vbmeta behind an image, in place',
  positionals: {},
  options: {
    ...imageOptions,
    partition_size: textOption('Size of the partition; default right behind the footer', {
      default: '0',
    }),
    partition_name: textOption('Name of the partition, without slot', { default: '' }),
    hash_algorithm: textOption('sha256, sha512, blake2b-256 or sha1 (default of avbtool)', {
      default: 'sha256',
    }),
    block_size: textOption('Bytes a block, of data and tree', { default: '4096' }),
    generate_fec: flagOption('Make parity for error correction: the default'),
    do_not_generate_fec: flagOption('Make no parity'),
    fec_num_roots: textOption('Parity bytes of a codeword, 2 to 24', { default: '2' }),
    setup_as_rootfs_from_kernel: flagOption('Add the command line that makes it the root'),
    no_hashtree: flagOption('Leave the tree out; the descriptor has the root digest'),
    check_at_most_once: flagOption('The kernel checks a block when it is first read only'),
    ...avbEngineOption,
    ...footerOptions,
    ...signingOptions,
  },
  examples: [
    [
      'avb add_hashtree_footer --image system.img --partition_name system --algorithm SHA256_RSA4096 --key key.pem',
      'protect a file system',
    ],
    [
      'avb add_hashtree_footer --partition_size 0x10000000 --calc_max_image_size',
      'how large it may be',
    ],
  ],
  async run(args, context) {
    const persistentDigest = args.flag('use_persistent_digest');
    const doNotUseAb = args.flag('do_not_use_ab');
    const checkAtMostOnce = args.flag('check_at_most_once');
    if (args.flag('print_required_libavb_version')) {
      return requiredVersion(args, persistentDigest || doNotUseAb || checkAtMostOnce);
    }
    const algorithm = lastText(args, 'hash_algorithm') ?? 'sha256';
    if (!isTreeAlgorithm(algorithm)) {
      throw new UsageError(
        'usage',
        `Cannot use hash algorithm "${algorithm}" for a hash tree: sha256, sha512, blake2b-256 and sha1 are known`,
      );
    }
    const blockSize = sizeOf(args, 'block_size') ?? 4096;
    const hasFec = !args.flag('do_not_generate_fec');
    const fecRoots = hasFec ? (sizeOf(args, 'fec_num_roots') ?? 2) : undefined;
    const partitionSize = sizeOf(args, 'partition_size') ?? 0;
    const noHashtree = args.flag('no_hashtree');
    if (args.flag('calc_max_image_size')) {
      const space = noHashtree ? undefined : { algorithm, blockSize, fecRoots };
      const max = partitionSize === 0 ? 0 : maxHashtreeImageSize(partitionSize, space);
      return { text: `${max}`, json: { maxImageSize: max } };
    }
    warnOfSha1(algorithm, context);
    const image = requiredText(args, 'image');
    const salt = saltOf(args);
    const request = await signingRequest(args, context);
    const added = await step(context, `Hash tree of ${image}`, image, (onProgress) =>
      withEngine(args, ({ hasher, fecEncoder }) =>
        addHashtreeFooterToFile(image, {
          partitionName: lastText(args, 'partition_name') ?? '',
          partitionSize: partitionSize === 0 ? undefined : partitionSize,
          hashAlgorithm: algorithm,
          blockSize,
          ...salt,
          fecRoots,
          fecEncoder,
          noHashtree,
          persistentDigest,
          doNotUseAb,
          checkAtMostOnce,
          asRootfs: args.flag('setup_as_rootfs_from_kernel'),
          append: !args.flag('do_not_append_vbmeta_image'),
          ...request,
          hasher,
          onProgress,
          signal: context.signal,
        }),
      ),
    );
    await writeVbmetaBeside(args, added.vbmeta);
    const { rootDigest, salt: used, treeOffset, treeSize, fecOffset, fecSize } = added.descriptor;
    return {
      text: '',
      json: {
        image,
        partitionSize: added.partitionSize,
        hashAlgorithm: algorithm,
        rootDigest: toHex(rootDigest),
        salt: toHex(used),
        treeOffset,
        treeSize,
        fecOffset,
        fecSize,
      },
    };
  },
};

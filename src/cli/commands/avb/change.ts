/** Verbs that change what stands behind an image, without signing. */

import { UsageError } from '../../../core/errors.ts';
import {
  appendVbmetaToFile,
  eraseFooter as eraseFooterOf,
  readVbmetaBytes,
  resizeImage as resize,
  zeroHashtree as zero,
} from '../../../signing/avb/change-footer.ts';
import { findFooter } from '../../../signing/avb/image-footer.ts';
import type { CommandArguments, CommandDefinition } from '../../command.ts';
import { openForReading } from './images.ts';
import { flagOption, imageOption, required, requiredText, sizeOf, textOption } from './options.ts';
import { writeFileAtomic } from '../../../io/atomic-output.ts';
import { paddingOf, paddingOption, padTo } from './vbmeta.ts';

const partitionSizeOption = textOption('Size of the partition, a multiple of 4096', required);

/** @throws {UsageError} when it is missing. */
function partitionSizeOf(args: CommandArguments): number {
  const size = sizeOf(args, 'partition_size');
  if (size !== undefined) return size;
  throw new UsageError('usage', 'Missing required argument: partition_size');
}

export const appendVbmetaImage: CommandDefinition = {
  name: 'append_vbmeta_image',
  summary: 'Put a vbmeta image that exists behind an image, in place',
  positionals: {},
  options: {
    image: imageOption('The image, changed in place'),
    partition_size: partitionSizeOption,
    vbmeta_image: textOption('The vbmeta image, or an image with a footer', required),
  },
  examples: [
    [
      'avb append_vbmeta_image --image boot.img --vbmeta_image vbmeta.img --partition_size 0x400000',
      'carry the vbmeta in the boot partition',
    ],
  ],
  async run(args) {
    const image = requiredText(args, 'image');
    const vbmetaImage = await openForReading.open(requiredText(args, 'vbmeta_image'));
    try {
      const vbmeta = await readVbmetaBytes(vbmetaImage);
      await appendVbmetaToFile(image, vbmeta, partitionSizeOf(args));
      return { text: '', json: { image, vbmetaSize: vbmeta.length } };
    } finally {
      await vbmetaImage.close();
    }
  },
};

export const eraseFooter: CommandDefinition = {
  name: 'erase_footer',
  summary: 'Cut an image back to what it was before it had a footer',
  positionals: {},
  options: {
    image: imageOption('The image, changed in place'),
    keep_hashtree: flagOption('Keep hash tree and parity'),
  },
  examples: [['avb erase_footer --image system.img', 'the image alone']],
  async run(args) {
    const image = requiredText(args, 'image');
    await eraseFooterOf(image, args.flag('keep_hashtree'));
    return { text: '', json: { image } };
  },
};

export const zeroHashtree: CommandDefinition = {
  name: 'zero_hashtree',
  summary: 'Empty hash tree and parity of an image; a device can make them again',
  positionals: {},
  options: { image: imageOption('The image, changed in place') },
  examples: [['avb zero_hashtree --image system.img', 'an image that compresses better']],
  async run(args) {
    const image = requiredText(args, 'image');
    await zero(image);
    return { text: '', json: { image } };
  },
};

export const resizeImage: CommandDefinition = {
  name: 'resize_image',
  summary: 'Move the footer of an image to the end of a larger or smaller partition',
  positionals: {},
  options: {
    image: imageOption('The image, changed in place'),
    partition_size: partitionSizeOption,
  },
  examples: [['avb resize_image --image system.img --partition_size 0x10000000', '256 MiB']],
  async run(args) {
    const image = requiredText(args, 'image');
    const partitionSize = partitionSizeOf(args);
    await resize(image, partitionSize);
    return { text: '', json: { image, partitionSize } };
  },
};

export const extractVbmetaImage: CommandDefinition = {
  name: 'extract_vbmeta_image',
  summary: 'Write the vbmeta of an image with footer to a file of its own',
  positionals: {},
  options: {
    image: imageOption('Image with a footer'),
    output: textOption('Where the vbmeta goes', required),
    padding_size: paddingOption,
  },
  examples: [['avb extract_vbmeta_image --image boot.img --output vbmeta.img', 'as it was signed']],
  async run(args) {
    const path = requiredText(args, 'image');
    const output = requiredText(args, 'output');
    const padding = paddingOf(args);
    const image = await openForReading.open(path);
    try {
      if ((await findFooter(image)) === undefined) {
        throw new UsageError('input', `Cannot extract vbmeta of ${path}: it has no AVB footer`);
      }
      const vbmeta = await readVbmetaBytes(image);
      await writeFileAtomic(output, padTo(vbmeta, padding));
      return { text: '', json: { output, vbmetaSize: vbmeta.length } };
    } finally {
      await image.close();
    }
  },
};

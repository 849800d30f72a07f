/** `microbuild avb`: everything that AOSP's avbtool does with images, under its names. */

import { UsageError } from '../../../core/errors.ts';
import type { CommandDefinition, CommandGroup } from '../../command.ts';
import { expectOutputs } from '../output-files.ts';
import {
  appendVbmetaImage,
  eraseFooter,
  extractVbmetaImage,
  resizeImage,
  zeroHashtree,
} from './change.ts';
import {
  extractPublicKey,
  extractPublicKeyDigest,
  generateTestImage,
  makeCertificate,
  makeCertMetadata,
  makeCertPermanentAttributes,
  makeCertUnlockCredential,
  setAbMetadata,
  version,
} from './keys.ts';
import {
  calculateKernelCmdline,
  calculateVbmetaDigest,
  infoImage,
  printPartitionDigests,
  verifyImage,
} from './show.ts';
import { closeKeys } from './opened-keys.ts';
import { lastText } from './options.ts';
import { addHashFooter, addHashtreeFooter, makeVbmetaImage } from './vbmeta.ts';

/** Options that name files to be written, and those that name files to be read, of all verbs. */
const OUTPUTS = ['output', 'output_vbmeta_image', 'output_pubkey'];
const INPUTS = [
  'image',
  'vbmeta_image',
  'include_descriptors_from_image',
  'setup_rootfs_from_kernel',
  'key',
  'public_key_metadata',
  'subject',
  'subject_key',
  'authority_key',
  'root_authority_key',
  'product_id',
  'intermediate_key_certificate',
  'product_key_certificate',
  'unlock_key_certificate',
  'unlock_key',
  'challenge',
];

/**
 * The codecs refuse values that do not fit with a RangeError; where they come from the command line,
 * that is what must be changed. No output replaces what is read.
 */
const withChecks = (command: CommandDefinition): CommandDefinition => ({
  ...command,
  async run(args, context) {
    await expectOutputs(
      OUTPUTS.map((name) => [`--${name}`, lastText(args, name)]),
      INPUTS.flatMap((name) => args.optionalText(name) ?? []),
    );
    try {
      return await command.run(args, context);
    } catch (cause) {
      if (!(cause instanceof RangeError) || !cause.message.startsWith('Cannot ')) throw cause;
      throw new UsageError('usage', cause.message, { cause });
    } finally {
      await closeKeys(context);
    }
  },
});

export const avbCommands: CommandGroup = {
  name: 'avb',
  summary: 'Make, change, show and verify Android Verified Boot images: the verbs of avbtool',
  commands: [
    infoImage,
    verifyImage,
    makeVbmetaImage,
    addHashFooter,
    addHashtreeFooter,
    appendVbmetaImage,
    eraseFooter,
    zeroHashtree,
    extractVbmetaImage,
    resizeImage,
    printPartitionDigests,
    calculateVbmetaDigest,
    calculateKernelCmdline,
    extractPublicKey,
    extractPublicKeyDigest,
    makeCertificate,
    makeCertPermanentAttributes,
    makeCertMetadata,
    makeCertUnlockCredential,
    setAbMetadata,
    generateTestImage,
    version,
  ].map(withChecks),
};

/** `microbuild avb`: everything that AOSP's avbtool does with images, under its names. */

import { UsageError } from '../../../core/errors.ts';
import type { CommandDefinition, CommandGroup } from '../../command.ts';
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
import { addHashFooter, addHashtreeFooter, makeVbmetaImage } from './vbmeta.ts';

/**
 * The codecs refuse values that do not fit with a RangeError; where they come from the command line,
 * that is what must be changed.
 */
const withUsageErrors = (command: CommandDefinition): CommandDefinition => ({
  ...command,
  async run(args, context) {
    try {
      return await command.run(args, context);
    } catch (cause) {
      if (!(cause instanceof RangeError) || !cause.message.startsWith('Cannot ')) throw cause;
      throw new UsageError('usage', cause.message, { cause });
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
  ].map(withUsageErrors),
};

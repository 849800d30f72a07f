/** `microbuild sign`: one command for each kind of thing that carries a signature. */

import type { CommandGroup } from '../../command.ts';
import { signApkCommand } from './apk.ts';
import { signBundleCommand } from './bundle.ts';
import {
  compareSignaturesCommand,
  extractSignatureCommand,
  replaceSignatureCommand,
} from './detached.ts';
import { signDsseCommand } from './dsse.ts';
import { signFsverityCommand } from './fsverity.ts';
import { signImageCommand } from './image.ts';
import { impliedSigning } from './implied.ts';
import { signRootHashCommand } from './root-hash.ts';

export const signCommands: CommandGroup = {
  name: 'sign',
  summary: 'Sign, or sign anew, what exists: APKs, images, bundles, files',
  commands: [
    signApkCommand,
    signImageCommand,
    signBundleCommand,
    signDsseCommand,
    signRootHashCommand,
    signFsverityCommand,
    extractSignatureCommand,
    replaceSignatureCommand,
    compareSignaturesCommand,
  ],
  implied: impliedSigning(() => signCommands),
};

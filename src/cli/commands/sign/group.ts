/** `microbuild sign`: one command for each kind of thing that carries a signature. */

import type { CommandGroup } from '../../command.ts';
import { signDsseCommand } from './dsse.ts';
import { signImageCommand } from './image.ts';
import { impliedSigning } from './implied.ts';

export const signCommands: CommandGroup = {
  name: 'sign',
  summary: 'Sign, or sign anew, what exists: APKs, images, bundles, files',
  commands: [signImageCommand, signDsseCommand],
  implied: impliedSigning(() => signCommands),
};

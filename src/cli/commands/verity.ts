/** dm-verity: hash trees and parity of images, with veritysetup's names where it has them. */

import type { CommandGroup } from '../command.ts';
import { dumpCommand } from './verity-dump.ts';
import { formatCommand } from './verity-format.ts';
import { repairCommand } from './verity-repair.ts';
import { verifyVerityCommand } from './verity-verify.ts';

export const verityCommands: CommandGroup = {
  name: 'verity',
  summary: 'Hash trees of images (dm-verity): make, check, show, and correct by parity',
  commands: [formatCommand, verifyVerityCommand, dumpCommand, repairCommand],
};

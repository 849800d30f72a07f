/** `microbuild keys`: make keys, and show and convert what they are known by. */

import type { CommandGroup } from '../../command.ts';
import { certificateCommand } from './certificate.ts';
import { exportAvbCommand } from './export-avb.ts';
import { fingerprintCommand } from './fingerprint.ts';
import { generateCommand } from './generate.ts';
import { infoCommand } from './info.ts';
import { lineageCommand } from './lineage.ts';
import { rotateCommand } from './rotate.ts';

export const keysCommands: CommandGroup = {
  name: 'keys',
  summary: 'Make keys, show them, rotate them',
  commands: [
    generateCommand,
    certificateCommand,
    infoCommand,
    fingerprintCommand,
    exportAvbCommand,
    rotateCommand,
    lineageCommand,
  ],
};

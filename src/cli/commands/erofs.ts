import type { CommandGroup } from '../command.ts';
import { erofsCheckCommand } from './erofs-check.ts';
import { erofsCreateCommand } from './erofs-create.ts';

export const erofsGroup: CommandGroup = {
  name: 'erofs',
  summary: 'Make and check EROFS images',
  commands: [erofsCreateCommand, erofsCheckCommand],
};

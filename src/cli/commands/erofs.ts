import type { CommandGroup } from '../command.ts';
import { erofsCreateCommand } from './erofs-create.ts';

export const erofsGroup: CommandGroup = {
  name: 'erofs',
  summary: 'Make EROFS images',
  commands: [erofsCreateCommand],
};

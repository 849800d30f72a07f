/** `microbuild instance`: the identities of machines over many boots. None of their secrets is printed. */

import type { CommandGroup } from '../../command.ts';
import { instanceListCommand } from './list.ts';
import { instanceRemoveCommand } from './remove.ts';
import { instanceShowCommand } from './show.ts';

export const instanceCommands: CommandGroup = {
  name: 'instance',
  summary: 'List, show and destroy the instances whose secrets guests get',
  commands: [instanceListCommand, instanceShowCommand, instanceRemoveCommand],
};

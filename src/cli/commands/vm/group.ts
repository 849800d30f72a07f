/** `microbuild vm`: the words of Android's `vm` tool, for people who know them. */

import type { CommandGroup } from '../../command.ts';
import { createIdsigCommand } from './create-idsig.ts';
import { vmListCommand } from './list.ts';
import { runAppCommand } from './run-app.ts';

export const vmCommands: CommandGroup = {
  name: 'vm',
  summary: 'The words of Android’s vm tool: run-app, create-idsig, list',
  commands: [runAppCommand, createIdsigCommand, vmListCommand],
};

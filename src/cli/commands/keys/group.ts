/** `microbuild keys`: make keys, and show and convert what they are known by. */

import type { CommandGroup } from '../../command.ts';

export const keysCommands: CommandGroup = {
  name: 'keys',
  summary: 'Make keys, show them, rotate them',
  commands: [],
};

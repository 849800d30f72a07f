/** Which commands there are, in the order of the help. */

import type { CommandDefinition, CommandGroup } from './command.ts';
import { avbCommands } from './commands/avb/group.ts';
import { callCommand } from './commands/call.ts';
import { imageCommand } from './commands/image.ts';
import { inspectCommand } from './commands/inspect.ts';
import { lockCommand } from './commands/lock.ts';
import { runCommand } from './commands/run.ts';
import { schemaCommand } from './commands/schema.ts';
import { verifyCommand } from './commands/verify.ts';

export const commands: readonly (CommandDefinition | CommandGroup)[] = [
  imageCommand,
  runCommand,
  callCommand,
  verifyCommand,
  inspectCommand,
  avbCommands,
  lockCommand,
  schemaCommand,
];

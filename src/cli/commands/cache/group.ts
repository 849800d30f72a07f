/** `microbuild cache`: what steps made before, kept so that they need not run again. */

import type { CommandGroup } from '../../command.ts';
import { cacheClearCommand } from './clear.ts';
import { cacheInfoCommand } from './info.ts';
import { cachePruneCommand } from './prune.ts';
import { cacheVerifyCommand } from './verify.ts';

export const cacheCommands: CommandGroup = {
  name: 'cache',
  summary: 'Show, shrink, check and empty the cache of what steps made',
  commands: [cacheInfoCommand, cachePruneCommand, cacheVerifyCommand, cacheClearCommand],
};

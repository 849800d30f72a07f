import { psCommand } from '../ps.ts';
import type { CommandDefinition } from '../../command.ts';

export const vmListCommand: CommandDefinition = {
  ...psCommand,
  name: 'list',
  summary: 'List the running VMs, as microbuild ps does',
  examples: [['vm list', 'name, state, process, CID, uptime, memory, bundle']],
};

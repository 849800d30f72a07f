import { removeInstance, statePath } from '../../../runner/instance/folder.ts';
import type { CommandDefinition } from '../../command.ts';

export const instanceRemoveCommand: CommandDefinition = {
  name: 'remove',
  summary: 'Destroy an instance: its secrets cannot be made again, what is sealed stays sealed',
  positionals: { name: { type: 'string', describe: 'Name of the instance: that of its VM' } },
  options: {},
  examples: [['instance remove hello', 'the next run of hello starts a new instance']],
  async run(args, { env }) {
    const name = args.text('name');
    await removeInstance(statePath(env), name);
    return { text: `removed ${name}`, json: { removed: name } };
  },
};

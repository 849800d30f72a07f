import { listInstances, statePath } from '../../../runner/instance/folder.ts';
import type { CommandDefinition } from '../../command.ts';
import { printable } from '../../terminal.ts';
import { describeInstance, type InstanceDescription } from './describe.ts';

export const instanceListCommand: CommandDefinition = {
  name: 'list',
  summary: 'List the instances of this host',
  positionals: {},
  options: {},
  examples: [
    ['instance list', 'name, whether it runs, and the newest packages that it has run'],
    ['instance list --json', 'the same for programs'],
  ],
  async run(_args, { env }) {
    const instances = (await listInstances(statePath(env))).map(describeInstance);
    const width = Math.max(0, ...instances.map(({ name }) => name.length));
    return {
      text:
        instances.length === 0
          ? 'there is no instance'
          : instances.map((each) => `${each.name.padEnd(width)}  ${summarize(each)}`).join('\n'),
      json: { instances },
    };
  },
};

function summarize({ new: isNew, usedBy, packages, problem }: InstanceDescription): string {
  if (problem !== null) return printable(problem);
  const packageNames = packages.map((each) => `${each.package} ${each.versionCode}`);
  return [
    usedBy === null ? 'idle' : `run by process ${usedBy}`,
    ...(isNew ? ['new'] : packageNames),
  ].join(', ');
}

import { registryPath } from '../../runner/registry.ts';
import { stopVm } from '../../runner/stop.ts';
import type { CommandDefinition } from '../command.ts';
import { namedVm } from '../running.ts';

export const stopCommand: CommandDefinition = {
  name: 'stop',
  summary: 'End a running VM',
  positionals: { vm: { type: 'string', describe: 'Name of the VM' } },
  options: {
    timeout: {
      type: 'number',
      default: 10,
      describe: 'Seconds that its runner gets before the VM is killed',
    },
  },
  examples: [
    ['stop hello', 'its runner ends it and cleans up; the guest is not asked, as on Android'],
    ['stop hello --timeout 0', 'by force, at once'],
  ],
  async run(args, { env }) {
    const name = args.text('vm');
    const vm = await namedVm(name, 'any', 'stop', env);
    if (!vm.running) {
      return { text: `${name} is not running`, json: { name, wasRunning: false, forced: false } };
    }
    const { forced } = await stopVm(vm, args.number('timeout') * 1000, registryPath(env));
    return {
      text: forced ? `${name} was killed` : `${name} has stopped`,
      json: { name, wasRunning: true, forced },
    };
  },
};

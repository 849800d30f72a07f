import { setTimeout as sleep } from 'node:timers/promises';
import { FileFollower } from '../../runner/file-follower.ts';
import { isAlive } from '../../runner/process-identity.ts';
import { findVm, registryPath } from '../../runner/registry.ts';
import { readOlderLog } from '../../runner/rotating-log.ts';
import type { CommandDefinition } from '../command.ts';
import { guestOutput } from '../guest-output.ts';
import { namedVm } from '../running.ts';

const POLL_MILLISECONDS = 100;

export const logsCommand: CommandDefinition = {
  name: 'logs',
  summary: 'Print what a VM’s payload printed, or its console',
  positionals: { vm: { type: 'string', describe: 'Name of the VM; it may have ended' } },
  options: {
    follow: {
      type: 'boolean',
      default: false,
      alias: 'f',
      describe: 'Go on until the VM has ended',
    },
    console: {
      type: 'boolean',
      default: false,
      describe: 'The console, where the kernel and the guest’s own programs speak',
    },
  },
  examples: [
    ['logs hello', 'what the payload wrote to stdout and stderr'],
    ['logs hello -f', 'the same, and what it writes from now on'],
    ['logs hello --console', 'the guest’s console: for a VM that does not come up'],
  ],
  async run(args, { env, signal, json }) {
    const vm = await namedVm(args.text('vm'), 'any', 'read the logs of', env);
    const path = args.flag('console') ? vm.consoleFile : vm.logFile;
    let text = '';
    const output = json
      ? (chunk: Uint8Array) => {
          text += Buffer.from(chunk).toString('utf8');
        }
      : guestOutput();
    await readOlderLog(path, output);
    const follower = new FileFollower(path, output);
    if (args.flag('follow')) {
      const runner = { pid: vm.runnerPid, start: vm.runnerStart };
      const isOver = async (): Promise<boolean> =>
        !isAlive(runner) || (await findVm(vm.name, registryPath(env)))?.state === 'DEAD';
      while (!signal.aborted && !(await isOver())) {
        await sleep(POLL_MILLISECONDS, undefined, { signal }).catch(() => undefined);
      }
    }
    await follower.stop();
    return { text: '', json: { name: vm.name, text } };
  },
};

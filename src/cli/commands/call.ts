import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BUNDLE_FILES } from '../../bundle/layout.ts';
import { UsageError } from '../../core/errors.ts';
import { callMethod } from '../../runner/aidl/call.ts';
import { parseAidl } from '../../runner/aidl/parse.ts';
import { toJsonValue } from '../../runner/aidl/values.ts';
import { findVm, listVms } from '../../runner/registry.ts';
import { openRpcClient } from '../../runner/rpc/client.ts';
import { connectVsock } from '../../runner/vsock.ts';
import type { CommandDefinition } from '../command.ts';
import { findInterface, parseArguments, parseMethodName, readInterfaces } from '../interfaces.ts';

export const callCommand: CommandDefinition = {
  name: 'call',
  summary: 'Call one Binder RPC method of a running payload',
  positionals: {
    vm: { type: 'string', describe: 'Name of the running VM' },
    port: { type: 'number', describe: 'vsock port that the payload serves' },
    method: { type: 'string', describe: 'INTERFACE.METHOD, such as IHello.hello' },
    args: { type: 'string', array: true, required: false, describe: 'Arguments, each as JSON' },
  },
  options: {
    aidl: { type: 'string', describe: 'The interface’s .aidl file; default: those of the bundle' },
    timeout: { type: 'number', default: 30, describe: 'Seconds to wait for the answer' },
  },
  examples: [
    [`call hello 5678 IHello.hello '"world"'`, 'prints the answer as JSON'],
    ['call hello 5678 IFoo.get --aidl IFoo.aidl', 'with an interface of your own'],
  ],
  async run(args, { signal }) {
    const name = args.text('vm');
    const vm = await findVm(name);
    if (vm === undefined || !vm.running) {
      const running = (await listVms()).filter((each) => each.running).map((each) => each.name);
      throw new UsageError('input', `Cannot call "${name}": no such VM is running`, {
        hint:
          running.length === 0
            ? 'Start one with microbuild run BUNDLE'
            : `Running: ${running.join(', ')}`,
      });
    }
    const { iface, method } = parseMethodName(args.text('method'));
    const file = args.optionalText('aidl');
    const interfaces =
      file === undefined
        ? await readInterfaces(join(vm.runDir, BUNDLE_FILES.interfaces))
        : [parseAidl(await readFile(file, 'utf8'), file)];
    const description = findInterface(interfaces, iface);
    const values = parseArguments(args.list('args'));
    const limit = AbortSignal.any([signal, AbortSignal.timeout(args.number('timeout') * 1000)]);
    const stream = await connectVsock(vm.hostSocket, args.number('port'), { signal: limit });
    const client = await openRpcClient(stream, { signal: limit });
    try {
      const answer = toJsonValue(
        await callMethod(client.root, description, method, values, { signal: limit }),
      );
      return { text: JSON.stringify(answer), json: { answer } };
    } finally {
      client.close();
    }
  },
};

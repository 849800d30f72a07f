import { join } from 'node:path';
import { BUNDLE_FILES } from '../../bundle/layout.ts';
import { UsageError } from '../../core/errors.ts';
import { answerToJson, callMethod, getMethod } from '../../runner/aidl/call.ts';
import { describeInterface } from '../../runner/aidl/listing.ts';
import type { InterfaceDescription } from '../../runner/aidl/types.ts';
import { findVm, listVms, type FoundVm } from '../../runner/registry.ts';
import { openRpcClient, type RpcClient } from '../../runner/rpc/client.ts';
import { connectVsock } from '../../runner/vsock.ts';
import type { CommandArguments, CommandDefinition, CommandResult } from '../command.ts';
import {
  findInterface,
  interfacesOf,
  parseArguments,
  parseMethodName,
  readArguments,
  readInterfaces,
} from '../interfaces.ts';

export const callCommand: CommandDefinition = {
  name: 'call',
  summary: 'Call one Binder RPC method of a running payload',
  positionals: {
    vm: { type: 'string', describe: 'Name of the running VM' },
    port: { type: 'number', describe: 'vsock port that the payload serves' },
    method: {
      type: 'string',
      required: false,
      describe: 'INTERFACE.METHOD, such as IHello.hello; not with --list',
    },
    args: {
      type: 'string',
      array: true,
      required: false,
      describe: 'Arguments, each as JSON: in and inout ones in order, of an out array its length',
    },
  },
  options: {
    list: { type: 'boolean', default: false, describe: 'Show the methods of what the port serves' },
    aidl: {
      type: 'string',
      array: true,
      nargs: 1,
      describe: 'An .aidl file of the interface; default: those of the bundle',
    },
    include: {
      alias: 'I',
      type: 'string',
      array: true,
      nargs: 1,
      describe: 'Folder below which imports of --aidl files lie, by package',
    },
    'args-file': { type: 'string', describe: 'File with the arguments as one JSON array' },
    timeout: { type: 'number', default: 30, describe: 'Seconds to wait for the answer' },
  },
  examples: [
    [`call hello 5678 IHello.hello '"world"'`, 'prints the answer as JSON'],
    ['call --list hello 5678', 'shows what can be called'],
    ['call hello 5678 IFoo.get --aidl IFoo.aidl', 'with an interface of your own'],
    [`call hello 5678 IFoo.put '{"name": "a", "kind": "SMALL"}'`, 'with a parcelable'],
  ],
  async run(args, { signal }) {
    const wanted = args.optionalText('method');
    if (args.flag('list') === (wanted !== undefined)) {
      throw new UsageError('usage', 'Cannot tell what to do: name a method, or use --list', {
        hint: 'Write it as in IHello.hello',
      });
    }
    const vm = await runningVm(args.text('vm'));
    const interfaces = await knownInterfaces(args, vm.runDir);
    const limit = AbortSignal.any([signal, AbortSignal.timeout(args.number('timeout') * 1000)]);
    const open = async (): Promise<RpcClient> => {
      const stream = await connectVsock(vm.hostSocket, args.number('port'), { signal: limit });
      return openRpcClient(stream, { signal: limit });
    };
    if (wanted === undefined) return listMethods(interfaces, open, limit);
    const { iface, method: name } = parseMethodName(wanted);
    const description = findInterface(interfaces, iface);
    const method = getMethod(description, name);
    const values = await givenValues(args);
    const client = await open();
    try {
      const answer = answerToJson(
        method,
        await callMethod(client.root, description, name, values, { signal: limit }),
      );
      return { text: JSON.stringify(answer), json: { answer } };
    } finally {
      client.close();
    }
  },
};

async function runningVm(name: string): Promise<FoundVm> {
  const vm = await findVm(name);
  if (vm?.running === true) return vm;
  const running = (await listVms()).filter((each) => each.running).map((each) => each.name);
  throw new UsageError('input', `Cannot call "${name}": no such VM is running`, {
    hint:
      running.length === 0
        ? 'Start one with microbuild run BUNDLE'
        : `Running: ${running.join(', ')}`,
  });
}

async function knownInterfaces(
  args: CommandArguments,
  runDir: string,
): Promise<readonly InterfaceDescription[]> {
  const files = args.list('aidl');
  return files.length === 0
    ? readInterfaces(join(runDir, BUNDLE_FILES.interfaces))
    : interfacesOf(files, args.list('include'));
}

async function givenValues(args: CommandArguments): Promise<readonly unknown[]> {
  const texts = args.list('args');
  const file = args.optionalText('args-file');
  if (file === undefined) return parseArguments(texts);
  if (texts.length === 0) return readArguments(file);
  throw new UsageError('usage', 'Cannot use arguments and --args-file together');
}

/** What the root object says it is, with the methods that the files say it has. */
async function listMethods(
  interfaces: readonly InterfaceDescription[],
  open: () => Promise<RpcClient>,
  signal: AbortSignal,
): Promise<CommandResult> {
  const client = await open();
  let descriptor: string;
  try {
    descriptor = await client.root.interfaceDescriptor({ signal });
  } finally {
    client.close();
  }
  const description = interfaces.find((each) => each.descriptor === descriptor);
  if (description === undefined) {
    throw new UsageError('input', `Cannot list the methods of ${descriptor}: no file declares it`, {
      hint: 'Name its file with --aidl FILE',
    });
  }
  return describeInterface(description);
}

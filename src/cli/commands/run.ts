import { cp, mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { BUNDLE_FILES, DISK_SERIALS } from '../../bundle/layout.ts';
import { materializeBundle, type MaterializedBundle } from '../../bundle/materialize.ts';
import { openBundle, type Bundle } from '../../bundle/open.ts';
import { verifyBundle, type ChainLink } from '../../bundle/verify.ts';
import { cpuCount } from '../../bundle/vm-config.ts';
import { MicrobuildError, ToolError, UsageError } from '../../core/errors.ts';
import type { BuildEvent, Reporter } from '../../core/events.ts';
import { measureTscKhz } from '../../native/clock.ts';
import { loadNativeLibrary } from '../../native/library.ts';
import { callMethod } from '../../runner/aidl/call.ts';
import { toJsonValue } from '../../runner/aidl/values.ts';
import { FileFollower } from '../../runner/file-follower.ts';
import { ensurePrivateFolder, registryPath } from '../../runner/registry.ts';
import { openRpcClient } from '../../runner/rpc/client.ts';
import { startVm, type Vm, type VmOptions } from '../../runner/session.ts';
import { describeFailure, verdictExitCode, type Verdict } from '../../runner/verdict.ts';
import type {
  CommandArguments,
  CommandContext,
  CommandDefinition,
  CommandResult,
} from '../command.ts';
import { bundleHasher } from '../engine.ts';
import { EXIT } from '../exit-code.ts';
import { findInterface, parseArguments, parseMethodName, readInterfaces } from '../interfaces.ts';
import { renderChain } from '../render/chain.ts';
import { errorToJson, renderError } from '../render/error.ts';
import { formatTime } from '../terminal.ts';
import { trustedKey, trustOptions } from '../trust.ts';

/** How long the TSC is watched to learn its frequency: long enough for six digits. */
const TSC_CALIBRATION_MS = 20;

export const runCommand: CommandDefinition = {
  name: 'run',
  summary: 'Verify a bundle, boot it, and return its payload’s exit code',
  positionals: { bundle: { type: 'string', describe: 'Bundle: folder or .mbundle file' } },
  options: {
    ...trustOptions,
    verify: {
      type: 'string',
      choices: ['full', 'boot'],
      default: 'full',
      describe:
        'Before the start check every link, or (boot) kernel and initrd and leave the rest to the guest',
    },
    name: { type: 'string', describe: 'Name of the VM; default: the bundle’s' },
    memory: { type: 'number', describe: 'Memory in MiB; default: the bundle’s' },
    cpus: { type: 'number', describe: 'Number of CPUs; default: the bundle’s' },
    accel: {
      type: 'string',
      choices: ['auto', 'kvm', 'tcg'],
      default: 'auto',
      describe: 'KVM where a probe machine ran, else emulation',
    },
    machine: {
      type: 'string',
      choices: ['microvm', 'q35'],
      describe: 'QEMU machine; default: the fastest that is safe',
    },
    timeout: { type: 'number', describe: 'End the VM after this many seconds, with exit code 124' },
    console: { type: 'boolean', default: false, describe: 'Print the guest’s console on stderr' },
    call: {
      type: 'string',
      describe:
        'Once the payload is ready call INTERFACE.METHOD, print the answer, and stop the VM',
    },
    arg: {
      type: 'array',
      string: true,
      default: [],
      describe: 'Argument of --call, as JSON; may be repeated',
    },
  },
  examples: [
    ['run out/hello', 'verifies, boots, runs until the payload ends'],
    [`run out/hello --call IHello.hello --arg '"world"'`, 'boots, calls one method, stops'],
    ['run out/hello --trust release.avbpubkey --timeout 60', 'a release, at most a minute'],
  ],
  verifying: true,
  async run(args, context) {
    const path = args.text('bundle');
    const trusted = await trustedKey(args.optionalText('trust'), path, context.env);
    const bundle = await openBundle(path);
    let scratch: string | undefined;
    try {
      const started = performance.now();
      const links: ChainLink[] = [];
      const verified = await verifyBundle(bundle, {
        trustedKey: trusted.key,
        minimumRollbackIndex: BigInt(args.number('minimum-rollback-index')),
        level: args.text('verify') === 'boot' ? 'boot' : 'full',
        hasher: await bundleHasher(),
        signal: context.signal,
        onLink: (link) => links.push(link),
      });
      const milliseconds = performance.now() - started;
      const detail = `${links.length} links, debug level ${verified.debugLevel}`;
      context.reporter.report({ kind: 'vm-phase', phase: 'verified', detail, milliseconds });
      const files = await materializeBundle(bundle, async () => {
        const registry = registryPath(context.env);
        await ensurePrivateFolder(registry);
        scratch = await mkdtemp(join(registry, '.bundle-'));
        return scratch;
      });
      return await boot(bundle, files, links, args, context);
    } finally {
      if (scratch !== undefined) await rm(scratch, { recursive: true, force: true });
      await bundle.close();
    }
  },
};

async function boot(
  bundle: Bundle,
  files: MaterializedBundle,
  links: readonly ChainLink[],
  args: CommandArguments,
  context: CommandContext,
): Promise<CommandResult> {
  const { terminal } = context;
  const call = await plannedCall(bundle, files, args);
  const phases = new Map<string, number>();
  const reporter: Reporter = {
    report(event: BuildEvent) {
      if (event.kind === 'vm-phase') phases.set(event.phase, event.milliseconds);
      context.reporter.report(event);
    },
  };
  const timeout = args.optionalNumber('timeout');
  const vm = await startVm(await vmOptions(bundle, files, args), {
    reporter,
    signal: context.signal,
    timeouts: timeout === undefined ? {} : { totalMilliseconds: timeout * 1000 },
  });
  const follower = args.flag('console')
    ? new FileFollower(vm.consoleFile, (chunk) => process.stderr.write(chunk))
    : undefined;
  try {
    await cp(files.interfaces, join(vm.runDir, BUNDLE_FILES.interfaces), {
      recursive: true,
    }).catch(ignoreMissing);
    const answer = call === undefined ? undefined : await callWhenReady(vm, call);
    const verdict = answer === undefined ? await vm.verdict : await vm.stop();
    const timings = Object.fromEntries([...phases].map(([phase, ms]) => [phase, Math.round(ms)]));
    const json = {
      verdict,
      timings,
      links,
      ...(answer === undefined ? {} : { answer: answer.value }),
    };
    if (answer !== undefined) {
      return {
        text: [
          `chain of trust, checked before the start (the guest checks it again):`,
          renderChain(links, terminal),
          `ready after ${formatTime(phases.get('ready') ?? 0)}, answered in ${formatTime(answer.milliseconds)}`,
          `${call?.description.descriptor}.${call?.method} answers: ${JSON.stringify(answer.value)}`,
        ].join('\n'),
        json,
      };
    }
    if (verdict.kind !== 'finished') terminal.err(describeFailure(verdict));
    if (context.signal.aborted) return { text: '', json, exitCode: EXIT.interrupted };
    return { text: summary(verdict, phases), json, exitCode: verdictExitCode(verdict) };
  } catch (error) {
    const verdict = await vm.stop();
    if (!isRunnerFailure(error)) throw error;
    terminal.err(renderError(error, terminal, context.verbose));
    return {
      text: '',
      json: { verdict, error: errorToJson(error, EXIT.runner) },
      exitCode: EXIT.runner,
    };
  } finally {
    await follower?.stop();
  }
}

/** A program or a connection of the runner's failed, not the bundle and not the command line. */
const isRunnerFailure = (error: unknown): boolean =>
  error instanceof ToolError || (error instanceof MicrobuildError && error.code.startsWith('rpc-'));

const ignoreMissing = (error: NodeJS.ErrnoException): void => {
  if (error.code !== 'ENOENT') throw error;
};

function summary(verdict: Verdict, phases: ReadonlyMap<string, number>): string {
  if (verdict.kind !== 'finished') return '';
  const ready = phases.get('ready');
  const when = ready === undefined ? '' : `, ready after ${formatTime(ready)}`;
  return `payload finished with exit code ${verdict.exitCode}${when}`;
}

async function vmOptions(
  bundle: Bundle,
  { kernel, initrd }: MaterializedBundle,
  args: CommandArguments,
): Promise<VmOptions> {
  const { config } = bundle;
  const disk = async (index: 0 | 1, serial: string): Promise<VmOptions['disks'][number]> => {
    const place = await bundle.place(config.disks[index]?.image ?? '');
    return bundle.isArchive ? { ...place, serial } : { path: place.path, serial };
  };
  const machine = args.optionalText('machine');
  const native = await loadNativeLibrary();
  const tscKhz = native && (await measureTscKhz(native, TSC_CALIBRATION_MS));
  return {
    name: args.optionalText('name') ?? config.name,
    kernel,
    initrd,
    disks: [await disk(0, DISK_SERIALS.os), await disk(1, DISK_SERIALS.payload)],
    memoryMib: args.optionalNumber('memory') ?? config.memory_mib,
    cpus: args.optionalNumber('cpus') ?? cpuCount(config.cpu_topology, availableParallelism()),
    accelerator: args.text('accel') as 'auto' | 'kvm' | 'tcg',
    ...(machine === undefined ? {} : { machine: machine as 'q35' | 'microvm' }),
    ...(tscKhz === undefined ? {} : { tscKhz }),
  };
}

interface PlannedCall {
  readonly description: ReturnType<typeof findInterface>;
  readonly method: string;
  readonly values: readonly unknown[];
  readonly port: number;
}

/** What `--call` asks for, checked before anything starts. */
async function plannedCall(
  bundle: Bundle,
  files: MaterializedBundle,
  args: CommandArguments,
): Promise<PlannedCall | undefined> {
  const wanted = args.optionalText('call');
  if (wanted === undefined) return undefined;
  const { iface, method } = parseMethodName(wanted);
  const port = bundle.manifest.payload.rpcPort;
  if (port === null) {
    throw new UsageError('usage', 'Cannot use --call: the bundle names no RPC port', {
      hint: 'Set vm.rpcPort in the recipe',
    });
  }
  const interfaces = await readInterfaces(files.interfaces);
  return {
    description: findInterface(interfaces, iface),
    method,
    values: parseArguments(args.list('arg')),
    port,
  };
}

async function callWhenReady(
  vm: Vm,
  call: PlannedCall,
): Promise<{ value: unknown; milliseconds: number } | undefined> {
  if (!(await vm.reached('ready'))) return undefined;
  const started = performance.now();
  const client = await openRpcClient(await vm.connect(call.port));
  try {
    const value = await callMethod(client.root, call.description, call.method, call.values);
    return { value: toJsonValue(value), milliseconds: performance.now() - started };
  } finally {
    client.close();
  }
}

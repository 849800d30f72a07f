import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { DISK_SERIALS } from '../../bundle/layout.ts';
import { materializeInterfaces } from '../../bundle/materialize.ts';
import { openBundle, selectPayload, type Bundle } from '../../bundle/open.ts';
import { pinnedVbmetaDigest } from '../../bundle/pinned-vbmeta.ts';
import { verifyBundle, type ChainLink, type VerifiedBundle } from '../../bundle/verify.ts';
import { cpuCount } from '../../bundle/vm-config.ts';
import { UsageError } from '../../core/errors.ts';
import { measureTscKhz } from '../../native/clock.ts';
import { loadNativeLibrary } from '../../native/library.ts';
import { parseForward } from '../../runner/forward.ts';
import { openInstance } from '../../runner/instance/instance.ts';
import { ensurePrivateFolder, registryPath } from '../../runner/registry.ts';
import { sealedCopy, type SealedCopy } from '../../runner/sealed-copy.ts';
import { findPrograms, type VmOptions, type VmTimeouts } from '../../runner/session.ts';
import { VMM_NAMES } from '../../runner/vmm/named.ts';
import type { Machine, VmmName } from '../../runner/vmm/vmm.ts';
import type {
  CommandArguments,
  CommandContext,
  CommandDefinition,
  CommandResult,
} from '../command.ts';
import { bundleHasher } from '../engine.ts';
import { bootVm } from '../run/boot.ts';
import { isInBackground, runInBackground } from '../run/background.ts';
import { composeOptions, withComposed } from '../run/compose.ts';
import { planCall } from '../run/planned-call.ts';
import { printCommand } from '../run/print.ts';
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
    payload: {
      type: 'string',
      requiresArg: true,
      describe: 'Run this one of the bundle’s further payloads; default: its default one',
    },
    name: {
      type: 'string',
      describe: 'Name of the VM; default: the bundle’s, with --payload followed by its name',
    },
    memory: { type: 'number', describe: 'Memory in MiB; default: the bundle’s' },
    cpus: { type: 'number', describe: 'Number of CPUs; default: the bundle’s' },
    vmm: {
      type: 'string',
      choices: VMM_NAMES,
      default: 'qemu',
      describe: 'Virtual machine monitor; only qemu can emulate, the others need KVM',
    },
    accel: {
      type: 'string',
      choices: ['auto', 'kvm', 'tcg'],
      default: 'auto',
      describe: 'KVM where a probe machine ran, else emulation',
    },
    machine: {
      type: 'string',
      choices: ['microvm', 'q35', 'virt'],
      describe: 'QEMU machine; default: the fastest that is safe',
    },
    wait: {
      type: 'string',
      choices: ['exit', 'ready'],
      default: 'exit',
      describe:
        'Return when the VM has ended, or (ready) when its payload serves and leave it running',
    },
    detach: {
      type: 'boolean',
      default: false,
      describe: 'Return when the VM is started and leave it running',
    },
    timeout: { type: 'number', describe: 'End the VM after this many seconds, with exit code 124' },
    instance: {
      type: 'string',
      describe:
        'Folder of the VM’s identity, from which its secrets come; default: one for each name',
    },
    ephemeral: {
      type: 'boolean',
      default: false,
      describe: 'A new identity that is written nowhere: its secrets end with the VM',
    },
    'start-timeout': {
      type: 'number',
      describe:
        'End the VM when its payload is not started after this many seconds; default 30, emulated 300',
    },
    forward: {
      type: 'array',
      string: true,
      nargs: 1,
      default: [],
      describe: 'PORT:PATH: serve a vsock port of the guest at a Unix socket; may be repeated',
    },
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
    ...composeOptions,
    'print-cmd': {
      type: 'boolean',
      default: false,
      describe: 'Print the commands that would be started, for a shell, and start nothing',
    },
  },
  rest: 'Arguments for the virtual machine monitor, as they are',
  examples: [
    ['run out/hello', 'verifies, boots, runs until the payload ends'],
    [`run out/hello --call IHello.hello --arg '"world"'`, 'boots, calls one method, stops'],
    ['run out/hello --trust release.avbpubkey --timeout 60', 'a release, at most a minute'],
    ['run out/hello --wait ready --forward 5678:hello.sock', 'leaves it running, with a socket'],
    ['run out/vendor --payload probe', 'another payload of the bundle'],
    ['run out/hello --apk other.apk', 'another payload of a signer that the bundle trusts'],
    ['run out/hello --print-cmd', 'what would be started'],
    ['run out/hello -- -d guest_errors', 'with more arguments for QEMU'],
  ],
  verifying: true,
  async run(args, context) {
    const inBackground = args.flag('detach') || args.text('wait') === 'ready';
    checkCombination(args, inBackground);
    const forwards = args.list('forward').map(parseForward);
    if (inBackground && !isInBackground(context.env)) {
      return runInBackground(args.text('wait') === 'ready' ? 'ready' : 'running', context);
    }
    const opened = await openBundle(args.text('bundle'));
    try {
      const bundle = selectPayload(opened, args.optionalText('payload'));
      const options = { ...(await vmOptions(bundle, args, context)), forwards };
      if (args.flag('print-cmd')) return await printCommand(options, context);
      // What cannot be started need not be verified.
      findPrograms(options);
      return await withComposed(bundle, args, context, (composed) =>
        verifyAndBoot(composed, options, args, context),
      );
    } finally {
      await opened.close();
    }
  },
};

/** @throws {UsageError} for options that contradict each other. */
function checkCombination(args: CommandArguments, inBackground: boolean): void {
  if (args.optionalText('payload') !== undefined && args.optionalText('apk') !== undefined) {
    throw new UsageError('usage', 'Cannot use --payload and --apk: choose one');
  }
  if (args.flag('print-cmd') && args.optionalText('apk') !== undefined) {
    throw new UsageError(
      'usage',
      'Cannot use --print-cmd with --apk: its disk is made for the run',
    );
  }
  const given = ['console', 'print-cmd'].filter((name) => args.flag(name));
  if (args.optionalText('call') !== undefined) given.push('call');
  if (args.flag('ephemeral') && args.optionalText('instance') !== undefined) {
    throw new UsageError('usage', 'Cannot use --instance and --ephemeral: choose one');
  }
  const [other] = given;
  if (!inBackground || other === undefined) return;
  const how = args.flag('detach') ? '--detach' : '--wait ready';
  throw new UsageError('usage', `Cannot use --${other} with ${how}`, {
    hint: 'A machine in the background is looked at with microbuild logs, console and call',
  });
}

async function verifyAndBoot(
  bundle: Bundle,
  named: VmOptions,
  args: CommandArguments,
  context: CommandContext,
): Promise<CommandResult> {
  const registry = registryPath(context.env);
  await ensurePrivateFolder(registry);
  const copies: SealedCopy[] = [];
  let scratch: string | undefined;
  try {
    // What is verified is what is started: nobody can change these copies, or the open disks' names.
    const copy = async (source: Bundle['kernel']): Promise<SealedCopy> => {
      const sealed = await sealedCopy(source, registry);
      copies.push(sealed);
      return sealed;
    };
    const kernel = await copy(bundle.kernel);
    const initrd = await copy(bundle.initrd);
    const sealed = { ...bundle, kernel: kernel.source, initrd: initrd.source };
    const links: ChainLink[] = [];
    const { key } = await trustedKey(args.optionalText('trust'), bundle.path, context.env);
    const verified = await verify(sealed, key, links, args, context);
    const interfaces = await materializeInterfaces(bundle, async () => {
      scratch = await mkdtemp(join(registry, `.scratch-${process.pid}-`));
      return scratch;
    });
    const wanted = args.optionalText('call');
    const { rpcPort } = bundle.manifest.payload;
    const call =
      wanted === undefined
        ? undefined
        : await planCall(wanted, args.list('arg'), rpcPort, interfaces);
    const options: VmOptions = {
      ...named,
      kernel: { descriptor: kernel.descriptor },
      initrd: { descriptor: initrd.descriptor },
      disks: openDisks(bundle),
      debuggable: verified.debugLevel === 'full',
      openInstance: async () =>
        openInstance({
          name: named.name,
          folder: args.optionalText('instance'),
          ephemeral: args.flag('ephemeral'),
          measurements: {
            vbmetaDigest: await pinnedVbmetaDigest(initrd.source),
            kernelDigest: verified.kernelDigest,
            initrdDigest: verified.initrdDigest,
            publicKey: key,
            rollbackIndex: verified.rollbackIndex,
          },
          debuggable: verified.debugLevel === 'full',
          env: context.env,
        }),
    };
    const timeouts = vmTimeouts(args);
    const job = { options, timeouts, links, interfaces, call, console: args.flag('console') };
    return await bootVm(job, context);
  } finally {
    if (scratch !== undefined) await rm(scratch, { recursive: true, force: true });
    for (const sealed of copies) await sealed.close();
  }
}

async function verify(
  bundle: Bundle,
  trusted: Uint8Array,
  links: ChainLink[],
  args: CommandArguments,
  context: CommandContext,
): Promise<VerifiedBundle> {
  const started = performance.now();
  const verified = await verifyBundle(bundle, {
    trustedKey: trusted,
    minimumRollbackIndex: BigInt(args.number('minimum-rollback-index')),
    level: args.text('verify') === 'boot' ? 'boot' : 'full',
    hasher: await bundleHasher(),
    signal: context.signal,
    onLink: (link) => links.push(link),
  });
  const milliseconds = performance.now() - started;
  const detail = `${links.length} links, debug level ${verified.debugLevel}`;
  context.reporter.report({ kind: 'vm-phase', phase: 'verified', detail, milliseconds });
  return verified;
}

const seconds = (value: number | undefined): number | undefined =>
  value === undefined ? undefined : value * 1000;

const vmTimeouts = (args: CommandArguments): VmTimeouts => ({
  totalMilliseconds: seconds(args.optionalNumber('timeout')),
  startMilliseconds: seconds(args.optionalNumber('start-timeout')),
});

/** The disks as they are open here, which is as they were verified. */
function openDisks({ os, payload, isArchive }: Bundle): VmOptions['disks'] {
  const disk = ({ source }: Bundle['os'], serial: string): VmOptions['disks'][number] => {
    const { file, size, name } = source;
    if (file === undefined) throw new TypeError(`${name} is not open`);
    const part = isArchive ? { offset: file.offset, size } : {};
    return { file: { descriptor: file.fd }, ...part, serial };
  };
  return [disk(os, DISK_SERIALS.os), disk(payload, DISK_SERIALS.payload)];
}

/** What the command line and the bundle say, with the bundle's files by their names. */
async function vmOptions(
  bundle: Bundle,
  args: CommandArguments,
  context: CommandContext,
): Promise<VmOptions> {
  const { config } = bundle;
  const at = async (name: string): Promise<string> => (await bundle.place(name)).path;
  const disk = async (index: 0 | 1, serial: string): Promise<VmOptions['disks'][number]> => {
    const { path, offset, size } = await bundle.place(config.disks[index]?.image ?? '');
    return bundle.isArchive ? { file: path, offset, size, serial } : { file: path, serial };
  };
  if (bundle.isArchive && args.flag('print-cmd')) {
    throw new UsageError(
      'usage',
      'Cannot print the command: kernel and initrd have no names in it',
      {
        hint: `Unpack it first: tar -xf ${bundle.path} -C FOLDER`,
      },
    );
  }
  const vmm = args.text('vmm') as VmmName;
  const { arch } = bundle.manifest;
  const native = vmm === 'qemu' && arch === 'x86_64' ? await loadNativeLibrary() : undefined;
  return {
    arch,
    name: args.optionalText('name') ?? config.name,
    vmm,
    kernel: await at(config.kernel),
    initrd: await at(config.initrd),
    disks: [await disk(0, DISK_SERIALS.os), await disk(1, DISK_SERIALS.payload)],
    memoryMib: args.optionalNumber('memory') ?? config.memory_mib,
    cpus: args.optionalNumber('cpus') ?? cpuCount(config.cpu_topology, availableParallelism()),
    accelerator: args.text('accel') as 'auto' | 'kvm' | 'tcg',
    machine: args.optionalText('machine') as Machine | undefined,
    tscKhz: native && (await measureTscKhz(native, TSC_CALIBRATION_MS)),
    extraArguments: context.rest,
    bundle: bundle.path,
  };
}

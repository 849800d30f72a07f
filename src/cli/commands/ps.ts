import { residentBytes } from '../../runner/process-identity.ts';
import { type FoundVm, listVms, registryPath } from '../../runner/registry.ts';
import { sweepRegistry } from '../../runner/sweep.ts';
import type { CommandDefinition } from '../command.ts';
import { formatDuration, formatSize, printable, type Terminal } from '../terminal.ts';

export const psCommand: CommandDefinition = {
  name: 'ps',
  summary: 'List the running VMs',
  positionals: {},
  options: {
    all: { type: 'boolean', default: false, alias: 'a', describe: 'Also those that have ended' },
  },
  examples: [
    ['ps', 'name, state, process, CID, uptime, the guest’s memory, what its process uses, bundle'],
    ['ps --all', 'also how each of the others ended'],
    ['ps --json', 'the same for programs'],
  ],
  async run(args, { env, terminal }) {
    const registry = registryPath(env);
    await sweepRegistry(registry);
    const all = await listVms(registry);
    const vms = args.flag('all') ? all : all.filter(({ running }) => running);
    const now = Date.now();
    const rows = vms.map((vm) => rowOf(vm, now));
    return {
      text: rows.length === 0 ? 'no VM is running' : table([HEADINGS, ...rows], terminal),
      json: { vms: vms.map((vm) => jsonOf(vm, now)) },
    };
  },
};

const HEADINGS = ['NAME', 'STATE', 'PID', 'CID', 'UPTIME', 'MEMORY', 'RESIDENT', 'BUNDLE'];

/** How long it runs, or ran. */
const uptimeOf = (vm: FoundVm, now: number): number =>
  Math.max(0, (vm.running ? now : (vm.endedAt ?? vm.startedAt)) - vm.startedAt);

function rowOf(vm: FoundVm, now: number): string[] {
  const resident = vm.running ? residentBytes(vm.pid) : undefined;
  return [
    vm.name,
    vm.running ? vm.state : endOf(vm),
    vm.running ? String(vm.pid) : '-',
    String(vm.cid),
    formatDuration(uptimeOf(vm, now)),
    `${vm.memoryMib} MiB`,
    resident === undefined ? '-' : formatSize(resident),
    printable(vm.bundle ?? '-'),
  ];
}

function endOf({ exitCode, death }: FoundVm): string {
  return exitCode === undefined ? `DEAD (${death ?? 'UNKNOWN'})` : `DEAD (exit code ${exitCode})`;
}

function jsonOf(vm: FoundVm, now: number): object {
  const { pidStart: _pid, runnerStart: _runner, backendStart: _backend, ...shown } = vm;
  const residentMemory = vm.running ? residentBytes(vm.pid) : undefined;
  return { ...shown, uptimeMilliseconds: uptimeOf(vm, now), residentMemory };
}

function table(rows: readonly (readonly string[])[], terminal: Terminal): string {
  const widths = HEADINGS.map((_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? '').length)),
  );
  return rows
    .map((row, i) => {
      const line = row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd();
      return i === 0 ? terminal.style('bold', line) : line;
    })
    .join('\n');
}

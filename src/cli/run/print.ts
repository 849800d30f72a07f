/** `run --print-cmd`: what would be started, for a shell; nothing is. */

import { registryPath, runDirOf } from '../../runner/registry.ts';
import { formatCommand } from '../../runner/command-line.ts';
import { prepareVm, type VmOptions } from '../../runner/session.ts';
import { planMonitor, runFiles } from '../../runner/vm-options.ts';
import { LIMITS } from '../../runner/vmm/vmm.ts';
import { vsockBackendCommand } from '../../runner/vsock.ts';
import type { CommandContext, CommandResult } from '../command.ts';

export async function printCommand(
  options: VmOptions,
  { env, reporter }: CommandContext,
): Promise<CommandResult> {
  const prepared = await prepareVm(options, { env, reporter }, 'print');
  const { vmm, program, backend } = prepared;
  const runDir = runDirOf(options.name, registryPath(env));
  const { spec } = planMonitor(options, vmm, { ...prepared, runDir }, 'paths');
  const { arguments: args, files } = vmm.command(spec);
  const { vhostSocket, hostSocket, cid } = spec.vsock;
  const backendCommand =
    backend === undefined
      ? undefined
      : vsockBackendCommand(backend, cid, {
          vhostSocket,
          hostSocket,
          logFile: runFiles(runDir).vsockLog,
        });
  const commands = [backendCommand, [program, ...args]].filter((each) => each !== undefined);
  if (vmm.limits.includes('disk-serials')) {
    reporter.report({ kind: 'warning', message: `${vmm.name} cannot ${LIMITS['disk-serials']}` });
  }
  const limits = vmm.limits.map((limit) => ({ limit, meaning: LIMITS[limit] }));
  const text = [
    ...files.map(({ path, content }) => `cat > ${formatCommand([path])} <<'EOF'\n${content}EOF`),
    ...commands.map((argv, i) => formatCommand(argv) + (i < commands.length - 1 ? ' &' : '')),
  ].join('\n');
  return { text, json: { vmm: vmm.name, commands, files, limits } };
}

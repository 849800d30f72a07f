import type { Socket } from 'node:net';
import { readTail } from '../../runner/child.ts';
import { sayControl } from '../../runner/control.ts';
import type { CommandDefinition } from '../command.ts';
import { guestOutput } from '../guest-output.ts';
import { namedVm } from '../running.ts';

/** Ctrl-], as with telnet and virsh. */
const DETACH = 0x1d;
const CTRL_C = 0x03;
/** How much of what was said before is shown first. */
const BACKLOG_BYTES = 4096;

export const consoleCommand: CommandDefinition = {
  name: 'console',
  summary: 'Attach to the serial console of a running VM',
  positionals: { vm: { type: 'string', describe: 'Name of the running VM' } },
  options: {},
  examples: [
    ['console hello', 'shows the console; Ctrl-] detaches. A debuggable guest takes input, too'],
  ],
  async run(args, { env, signal, terminal }) {
    const vm = await namedVm(args.text('vm'), 'running', 'attach to', env);
    const { socket, answer } = await sayControl(vm.runDir, 'console');
    const isWritable = answer['input'] === true;
    terminal.err(
      isWritable
        ? `attached to ${vm.name}: Ctrl-] detaches`
        : `attached to ${vm.name}, which takes no input: it is not debuggable. Ctrl-] detaches`,
    );
    const output = guestOutput();
    await output(Buffer.from(`${await readTail(vm.consoleFile, BACKLOG_BYTES)}\n`));
    const leave = typeInto(socket, isWritable);
    const end = (): void => void socket.destroy();
    signal.addEventListener('abort', end, { once: true });
    let isOver = true;
    try {
      for await (const chunk of socket) await output(chunk as Uint8Array);
      isOver = !socket.destroyed || socket.readableEnded;
    } catch {
      isOver = false;
    } finally {
      leave();
      signal.removeEventListener('abort', end);
    }
    terminal.err(isOver ? `${vm.name} has ended` : `detached from ${vm.name}, which runs on`);
    return { text: '', json: { name: vm.name, ended: isOver } };
  },
};

/** Passes on what is typed, up to the detach key. @returns what gives the terminal back. */
function typeInto(socket: Socket, isWritable: boolean): () => void {
  const { stdin } = process;
  // Input out of a pipe is for guests that take it; there is no key to detach then.
  if (!stdin.isTTY && !isWritable) return () => undefined;
  const onData = (chunk: Buffer): void => {
    const at = stdin.isTTY
      ? chunk.findIndex((byte) => byte === DETACH || (!isWritable && byte === CTRL_C))
      : -1;
    if (isWritable) socket.write(at < 0 ? chunk : chunk.subarray(0, at));
    if (at >= 0) socket.destroy();
  };
  if (stdin.isTTY) stdin.setRawMode(true);
  stdin.on('data', onData);
  return () => {
    stdin.off('data', onData);
    if (stdin.isTTY) stdin.setRawMode(false);
    stdin.pause();
  };
}

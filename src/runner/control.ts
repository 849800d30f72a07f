/**
 * The runner's control socket, by which other commands reach the process that owns a machine: one JSON line
 * each way. After `console` the stream is the console.
 */

import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { type Server, type Socket, connect, createServer } from 'node:net';
import { join } from 'node:path';
import { ToolError } from '../core/errors.ts';
import { listenPrivately } from './private-socket.ts';

const MAX_LINE = 4096;
const LINE_MILLISECONDS = 5000;

export const controlSocketOf = (runDir: string): string => join(runDir, 'control.sock');

/** What the owner of a machine does when asked. */
export interface Controlled {
  /** Ends the machine; resolves when it is gone and cleaned up. */
  stop(): Promise<void>;
  /** Takes over a stream that shows the console. @returns whether what it says reaches the guest. */
  attach(stream: Socket): boolean;
}

export interface ControlServer {
  close(): Promise<void>;
}

export async function serveControl(runDir: string, controlled: Controlled): Promise<ControlServer> {
  const path = controlSocketOf(runDir);
  const open = new Set<Socket>();
  const server: Server = createServer((socket) => {
    open.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => open.delete(socket));
    serve(socket, controlled).catch(() => socket.destroy());
  });
  await listenPrivately(server, path);
  return {
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of open) socket.end();
      // Those that wait for the end of `stop` have it now; others have nothing more to hear.
      const giveUp = setTimeout(() => open.forEach((socket) => socket.destroy()), 200);
      await closed;
      clearTimeout(giveUp);
      await rm(path, { force: true });
    },
  };
}

async function serve(socket: Socket, controlled: Controlled): Promise<void> {
  const answer = (value: object): void => void socket.write(`${JSON.stringify(value)}\n`);
  const command = commandOf(await readLine(socket, LINE_MILLISECONDS));
  switch (command) {
    case 'stop':
      // The socket is closed at the end of the machine: that is the answer's second half.
      answer({ ok: true });
      await controlled.stop();
      return;
    case 'console':
      answer({ ok: true, input: controlled.attach(socket) });
      return;
    default:
      answer({ ok: false, error: 'unknown command' });
      socket.end();
  }
}

function commandOf(line: string): unknown {
  try {
    return (JSON.parse(line) as { command?: unknown } | null)?.command;
  } catch {
    return undefined;
  }
}

/** Reads to the first newline; what follows it stays in the stream. */
function readLine(socket: Socket, milliseconds: number): Promise<string> {
  return new Promise((resolve, reject) => {
    let held = Buffer.alloc(0);
    const finish = (line: string | undefined): void => {
      clearTimeout(timer);
      socket.off('readable', read).off('end', giveUp).off('close', giveUp);
      if (line === undefined) reject(new Error('no line'));
      else resolve(line);
    };
    const giveUp = (): void => finish(undefined);
    const read = (): void => {
      for (let chunk: Buffer | null; (chunk = socket.read() as Buffer | null) !== null;) {
        held = Buffer.concat([held, chunk]);
        const end = held.indexOf(0x0a);
        if (end >= 0) {
          if (end + 1 < held.length) socket.unshift(held.subarray(end + 1));
          finish(held.toString('utf8', 0, end));
          return;
        }
        if (held.length > MAX_LINE) {
          giveUp();
          return;
        }
      }
    };
    const timer = setTimeout(giveUp, milliseconds);
    socket.on('readable', read).on('end', giveUp).on('close', giveUp);
  });
}

/**
 * Says a command to the owner of a machine.
 *
 * @param milliseconds How long it may take to answer.
 * @returns the answer and the open socket.
 * @throws {ToolError} when nobody answers, or the answer is no.
 */
export async function sayControl(
  runDir: string,
  command: 'stop' | 'console',
  milliseconds = LINE_MILLISECONDS,
): Promise<{ readonly socket: Socket; readonly answer: Readonly<Record<string, unknown>> }> {
  const socket = connect(controlSocketOf(runDir));
  try {
    await once(socket, 'connect');
    socket.on('error', () => undefined);
    socket.write(`${JSON.stringify({ command })}\n`);
    const answer = JSON.parse(await readLine(socket, milliseconds)) as Record<string, unknown>;
    if (answer['ok'] !== true) throw new Error(String(answer['error']));
    return { socket, answer };
  } catch (cause) {
    socket.destroy();
    throw new ToolError(`Cannot ${command}: its runner does not answer`, {
      argv: [],
      exitCode: null,
      signal: null,
      stderrTail: '',
      cause,
    });
  }
}

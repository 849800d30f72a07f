/**
 * The host's end of vsock without a kernel module: a vhost-user backend serves QEMU, and every port
 * is a Unix socket. The host connects to PATH and says "CONNECT port\n"; the guest's connections to
 * (2, port) arrive at PATH_port.
 *
 * @see docs/decisions/0003-vsock-backend.md
 */

import { existsSync, readFileSync } from 'node:fs';
import { type Socket, connect } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { EnvironmentError, ToolError } from '../core/errors.ts';
import { type OwnedChild, findProgram, readTail, startChild } from './child.ts';
import { RpcSessionError } from './rpc/errors.ts';

const PROGRAM = 'microbuild-vsock';
/** An attempt that gets no answer is made again: the guest was not ready to refuse it. */
const ATTEMPT_MILLISECONDS = 2000;
const RETRY_MILLISECONDS = 50;
const START_MILLISECONDS = 5000;
const POLL_MILLISECONDS = 2;
/** "OK 4294967295\n". */
const MAX_ANSWER = 32;

/**
 * Where the backend is: MICROBUILD_VSOCK, the package's own build, PATH.
 *
 * @throws {EnvironmentError} when it is in none of them.
 */
export function findVsockBackend(env: NodeJS.ProcessEnv = process.env): string {
  const named = env['MICROBUILD_VSOCK'];
  if (named !== undefined && named !== '') {
    if (existsSync(named)) return named;
    throw new EnvironmentError(PROGRAM, `Cannot find MICROBUILD_VSOCK: ${named}`);
  }
  const built = join(packageRoot(), 'target', 'release', PROGRAM);
  const found = existsSync(built) ? built : findProgram(PROGRAM, env['PATH']);
  if (found !== undefined) return found;
  throw new EnvironmentError(PROGRAM, `Cannot find ${PROGRAM}`, {
    hint: 'Run "npm run setup", or "cargo build --release --package microbuild-vsock"',
  });
}

function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json')) && dirname(folder) !== folder) {
    folder = dirname(folder);
  }
  return folder;
}

export interface VsockPaths {
  /** What QEMU connects to. */
  readonly vhostSocket: string;
  /** What the host connects to; guest connections arrive at this path with `_port`. */
  readonly hostSocket: string;
  readonly logFile: string;
}

/** How the backend is started. */
export function vsockBackendCommand(
  program: string,
  cid: number,
  { vhostSocket, hostSocket }: VsockPaths,
  { hostCid }: { readonly hostCid?: number | undefined } = {},
): readonly string[] {
  const others = hostCid === undefined ? [] : ['--host-cid', String(hostCid)];
  return [program, '--cid', String(cid), '--socket', vhostSocket, '--uds', hostSocket, ...others];
}

/**
 * Starts the backend and waits until QEMU can connect.
 *
 * @param options.hostCid As which the host appears in connections that it begins; default 2, as it should.
 * @throws {ToolError} when it ends or does not listen in time.
 */
export async function startVsockBackend(
  program: string,
  cid: number,
  paths: VsockPaths,
  options: { readonly hostCid?: number | undefined } = {},
): Promise<OwnedChild> {
  const [, ...args] = vsockBackendCommand(program, cid, paths, options);
  const { vhostSocket, logFile } = paths;
  const child = await startChild(program, args, logFile);
  const deadline = Date.now() + START_MILLISECONDS;
  while (!isListening(vhostSocket)) {
    if (!child.isRunning() || Date.now() > deadline) {
      const { code, signal } = await child.terminate(0);
      const stderrTail = await readTail(logFile);
      throw new ToolError(`${PROGRAM} did not start${stderrTail === '' ? '' : `: ${stderrTail}`}`, {
        argv: child.argv,
        exitCode: code,
        signal,
        stderrTail,
      });
    }
    await sleep(POLL_MILLISECONDS);
  }
  return child;
}

/** The file of a socket appears before it listens; the kernel's table tells both apart. */
function isListening(path: string): boolean {
  const SO_ACCEPTCON = 0x10000;
  return readFileSync('/proc/net/unix', 'utf8')
    .split('\n')
    .some((line) => {
      const [, , , flags, , , , bound] = line.split(/\s+/);
      return bound === path && (Number.parseInt(flags ?? '0', 16) & SO_ACCEPTCON) !== 0;
    });
}

export interface VsockConnectOptions {
  readonly signal?: AbortSignal | undefined;
  /** Ends the attempts, such as whether the machine still runs. Default: one attempt only. */
  readonly keepTrying?: () => boolean;
}

/**
 * Connects to a port of the guest.
 *
 * @throws {RpcSessionError} `rpc-connect` when nothing listens there, `rpc-aborted` by the signal.
 */
export async function connectVsock(
  hostSocket: string,
  port: number,
  options: VsockConnectOptions = {},
): Promise<Socket> {
  const { signal, keepTrying = () => false } = options;
  for (;;) {
    if (isAborted(signal)) {
      throw new RpcSessionError('rpc-aborted', `Gave up connecting to port ${port}`, {
        cause: signal?.reason,
      });
    }
    const socket = await attempt(hostSocket, port, signal);
    if (socket !== undefined) return socket;
    if (!isAborted(signal) && !keepTrying()) {
      throw new RpcSessionError('rpc-connect', `Cannot connect to port ${port} of the guest`, {
        hint: 'Nothing listens there; the port is in the manifest of the bundle',
      });
    }
    await sleep(RETRY_MILLISECONDS);
  }
}

const isAborted = (signal: AbortSignal | undefined): boolean => signal?.aborted === true;

/** One attempt; undefined when the guest refused it. */
function attempt(
  hostSocket: string,
  port: number,
  signal: AbortSignal | undefined,
): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect(hostSocket);
    const received: Buffer[] = [];
    const finish = (result: Socket | undefined): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', giveUp);
      socket.off('readable', read).off('close', giveUp).off('end', giveUp);
      if (result === undefined) socket.destroy();
      else socket.off('error', giveUp);
      resolve(result);
    };
    const giveUp = (): void => finish(undefined);
    const read = (): void => {
      for (let chunk: Buffer | null; (chunk = socket.read() as Buffer | null) !== null;) {
        received.push(chunk);
        const answer = Buffer.concat(received);
        const end = answer.indexOf(0x0a);
        if (end >= 0) {
          if (end + 1 < answer.length) socket.unshift(answer.subarray(end + 1));
          finish(/^OK \d+$/.test(answer.toString('latin1', 0, end)) ? socket : undefined);
          return;
        }
        if (answer.length > MAX_ANSWER) {
          giveUp();
          return;
        }
      }
    };
    const timer = setTimeout(giveUp, ATTEMPT_MILLISECONDS);
    signal?.addEventListener('abort', giveUp, { once: true });
    socket.on('readable', read).on('end', giveUp).on('close', giveUp).on('error', giveUp);
    socket.once('connect', () => socket.write(`CONNECT ${port}\n`));
  });
}

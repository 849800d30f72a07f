/** The console while a machine runs: kept in a bounded file, understood, and shown to whoever attaches. */

import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { ConsoleLog } from './console.ts';
import { FileFollower } from './file-follower.ts';
import { RotatingLog } from './rotating-log.ts';

/** A viewer that does not read loses its place, not the guest its console. */
const MAX_BEHIND = 1 << 20;

export interface ConsolePort {
  /** Shows what comes from now on. @returns whether what the viewer says reaches the guest. */
  attach(viewer: Socket): boolean;
  /** Takes in the rest. */
  close(): Promise<void>;
}

/**
 * Reads the console from the socket that the monitor inherited.
 *
 * @param input Whether viewers may type.
 */
export async function openConsolePort(
  stream: Duplex,
  path: string,
  console: ConsoleLog,
  input: boolean,
): Promise<ConsolePort> {
  const log = await RotatingLog.open(path);
  const viewers = new Set<Socket>();
  stream.on('error', () => undefined);
  const copying = (async () => {
    for await (const data of stream) {
      const chunk = data as Uint8Array;
      console.push(chunk);
      for (const viewer of viewers) show(viewer, chunk);
      await log.write(chunk);
    }
  })().catch(() => undefined);
  return {
    attach(viewer) {
      viewers.add(viewer);
      viewer.on('close', () => viewers.delete(viewer));
      if (input) viewer.on('data', (chunk) => void stream.write(chunk));
      viewer.resume();
      return input;
    },
    async close() {
      // The monitor is gone, so its end is closed: this is the rest.
      const giveUp = setTimeout(() => stream.destroy(), 2000);
      await copying;
      clearTimeout(giveUp);
      stream.destroy();
      for (const viewer of viewers) viewer.end();
      await log.close();
    },
  };
}

function show(viewer: Socket, chunk: Uint8Array): void {
  if (viewer.writableLength > MAX_BEHIND) viewer.destroy();
  else viewer.write(chunk);
}

/** The console of a monitor that writes it to a file itself. */
export function followConsoleFile(path: string, console: ConsoleLog): ConsolePort {
  const viewers = new Set<Socket>();
  const follower = new FileFollower(path, (chunk) => {
    console.push(chunk);
    // The buffer is used again.
    for (const viewer of viewers) show(viewer, Uint8Array.from(chunk));
  });
  return {
    attach(viewer) {
      viewers.add(viewer);
      viewer.on('close', () => viewers.delete(viewer));
      viewer.resume();
      return false;
    },
    async close() {
      await follower.stop();
      for (const viewer of viewers) viewer.end();
    },
  };
}

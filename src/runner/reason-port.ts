/** The second serial port, where a guest says in one line why it gives up. */

import { open } from 'node:fs/promises';

/** More than that is no reason. */
export const REASON_BYTES = 4096;

/** The first bytes of what comes, kept in a file too. Resolves when the other end is closed. */
export async function readReason(stream: NodeJS.ReadableStream, path: string): Promise<string> {
  const file = await open(path, 'wx', 0o600);
  let text = Buffer.alloc(0);
  stream.on('error', () => undefined);
  try {
    for await (const chunk of stream) {
      const part = (chunk as Buffer).subarray(0, REASON_BYTES - text.length);
      text = Buffer.concat([text, part]);
      await file.write(part);
    }
  } catch {
    // The monitor is gone: what it said stays.
  } finally {
    await file.close();
  }
  return text.toString('utf8').trim();
}

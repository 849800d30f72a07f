/** The first bytes of a file. */

import { open } from 'node:fs/promises';

/** @param length How many bytes; fewer come of a shorter file. */
export async function readHead(path: string, length: number): Promise<Uint8Array> {
  const handle = await open(path, 'r');
  try {
    const bytes = new Uint8Array(length);
    let size = 0;
    while (size < length) {
      const { bytesRead } = await handle.read(bytes, size, length - size);
      if (bytesRead === 0) break;
      size += bytesRead;
    }
    return bytes.subarray(0, size);
  } finally {
    await handle.close();
  }
}

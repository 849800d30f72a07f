/** The content of a file, into a file of its own. */

import { appendWriter } from './append-writer.ts';
import type { FileContent } from './file-tree.ts';
import { createFileSink } from './image-sink.ts';

export interface WriteContentOptions {
  /** Is shown each chunk on the way. */
  readonly see?: (chunk: Uint8Array) => void;
  /** Whether the file is brought to the device; default true. */
  readonly flush?: boolean;
}

/**
 * Writes a new file.
 *
 * @throws what the content and the system throw; the file is not whole then.
 */
export async function writeContent(
  path: string,
  content: FileContent,
  { see, flush = true }: WriteContentOptions = {},
): Promise<void> {
  const sink = await createFileSink(path);
  try {
    const out = appendWriter(sink);
    for await (const chunk of content.stream()) {
      see?.(chunk);
      await out.append(chunk);
    }
    await out.flush();
  } finally {
    await sink.close({ flush });
  }
}

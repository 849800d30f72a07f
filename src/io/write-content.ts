/** The content of a file, into a file of its own. */

import type { FileContent } from './file-tree.ts';
import { createFileSink } from './image-sink.ts';

/** @throws what the content and the system throw; the file is not whole then. */
export async function writeContent(path: string, content: FileContent): Promise<void> {
  const sink = await createFileSink(path);
  try {
    let at = 0;
    for await (const chunk of content.stream()) {
      await sink.write(at, chunk);
      at += chunk.length;
    }
  } finally {
    await sink.close();
  }
}
